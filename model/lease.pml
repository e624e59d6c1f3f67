/* Theory of operation: does the deadline pass before the session can end?
 *
 * One guard's lease with the real numbers of failover/timing.py, in units of 250 ms (half a tick, which is
 * how often ZooKeeper's leader pings a follower). protocol.pml counts a lease in three ticks and takes for
 * granted what is checked here: a server under a grant is dead before the session that holds its claim ends.
 *
 * The session's clock runs at ZooKeeper's leader. The guard's client is attached to a follower, and a write
 * that a follower passes on does not touch that clock: the follower says which sessions it heard of in its
 * answers to pings. So a committed renewal alone does not prove that the clock was restarted; that
 * the renewal before it was, is what its commitment is taken for (guard/logic.py, Renewals).
 *
 * Left to chance: when the client sends, how long anything takes, the connection between client and
 * follower, and the one between follower and leader, which may stall towards the follower for up to STALL
 * (syncLimit: then the follower leaves) and go on: in order, pings and what was committed between them. An
 * election restarts the clock, and so does a client that comes back, to any server: the leader is asked
 * whether its session is valid. A client at the leader itself would only touch the clock more often.
 *
 * Two assumptions, each of which a run of its own drops (docs/reliability.md says what that finds):
 *   the connection between leader and follower does not break in one direction while commits still pass in
 *   the other (ONE_WAY: it does);
 *   the worker is steady: it gives up an unanswered renewal after ANSWER, and else sends the next one after
 *   INTERVAL and a unit at most (FROZEN_WORKER: it sends them when it likes).
 *
 * Asserted: I1_deadline_before_session_end. Ages stop at their last number that makes a difference.
 */

#ifndef SESSION
#define SESSION 24   /* 6 s */
#endif
#ifndef DEADLINE
#define DEADLINE 18  /* 4.5 s after the last but one renewal was sent */
#endif
#ifndef KILL
#define KILL 1       /* the minder looks every 50 ms, and SIGKILL takes a moment */
#endif
#ifndef INTERVAL
#define INTERVAL 2   /* 0.5 s from one renewal to the next */
#endif
#ifndef ANSWER
#define ANSWER 4     /* an unanswered one is given up after 1 s */
#endif
#ifndef STALL
#define STALL 6      /* a follower that hears nothing for syncLimit ticks leaves its leader */
#endif
#define TICK 2       /* of ZooKeeper: 0.5 s */
#define PING 1       /* its leader pings a follower twice a tick */

#ifdef MUTATION_SESSION_TOO_SHORT
#undef SESSION
#define SESSION (DEADLINE + KILL)
#endif

#define none 0
#define sent 1       /* on its way to the follower */
#define passed_on 2  /* the follower has heard it */
#define committed 3  /* on its way back from the leader */
#define answered 4   /* on its way back from the follower */

typedef Session {
  unsigned age : 7;        /* at the leader, since its clock was restarted */
  bit heard;               /* the follower heard of it since its last answer to a ping */
  unsigned ping_age : 1;   /* since the leader's last ping */
  bit ping_first;          /* a ping is stalled, before what was committed */
  bit ping_later;          /* and one behind it */
  unsigned stalled : 3;    /* leader to follower: 0, or units and one */
  bit broken;              /* follower to leader (ONE_WAY) */
  bit connected;           /* client and follower */
}
Session session;

typedef Guard {
  unsigned renewal : 3;
  unsigned sent_age : 7;   /* since the present or the last renewal was sent */
  unsigned last_age : 7;   /* since the last committed one was sent */
  unsigned base_age : 7;   /* and the one before it */
  bit alive;               /* the server, under a grant */
}
Guard guard;

#define AGE_MAX (DEADLINE + KILL + 1)
#define OLDER(age) ((age) < AGE_MAX -> (age) + 1 : AGE_MAX)

#ifdef MUTATION_DEADLINE_FROM_NEWEST
#define LEASE_AGE guard.last_age
#else
#define LEASE_AGE guard.base_age
#endif
#ifdef MUTATION_RENEWALS_TOO_CLOSE
#define FAR_APART true
#else
#define FAR_APART (guard.last_age - guard.sent_age >= TICK)
#endif

#define MINDER_IS_DUE (guard.alive && LEASE_AGE >= DEADLINE + KILL)
/* What is not stalled arrives. */
#define FOLLOWER_IS_DUE (!session.stalled && (session.ping_first || guard.renewal == committed))
#define PING_IS_DUE (session.ping_age >= PING)
#ifdef FROZEN_WORKER
#define WORKER_IS_DUE false
#else
#define WORKER_IS_DUE \
  ((guard.renewal != none && guard.sent_age >= ANSWER) || \
   (guard.renewal == none && session.connected && guard.sent_age > INTERVAL && guard.sent_age < AGE_MAX))
#endif

/* logic.renewed: a committed renewal, by when it was sent */
inline renewed() {
  if
  :: FAR_APART -> guard.base_age = guard.last_age; guard.last_age = guard.sent_age
  :: else
  fi
}

/* The follower answers a ping, with the sessions it has heard of. */
inline pinged() {
  if
  :: session.heard && !session.broken -> session.age = 0
  :: else
  fi;
  session.heard = 0
}

inline no_connection() {
  session.connected = 0; session.heard = 0; session.ping_first = 0; session.ping_later = 0;
  session.stalled = 0; session.broken = 0; guard.renewal = none
}

init {
  d_step { session.connected = 1; guard.alive = 1; guard.last_age = TICK; guard.base_age = 2 * TICK }
end:
  do
  :: d_step { guard.alive && session.age < SESSION && session.stalled <= STALL && !MINDER_IS_DUE &&
              !PING_IS_DUE && !WORKER_IS_DUE && !FOLLOWER_IS_DUE ->
       if :: session.stalled -> session.stalled = session.stalled + 1 :: else fi;
       session.age++; session.ping_age = session.ping_age + 1;
       guard.sent_age = OLDER(guard.sent_age); guard.last_age = OLDER(guard.last_age);
       guard.base_age = OLDER(guard.base_age);
       printf("clock: session %d, lease %d\n", session.age, LEASE_AGE) }

  /* guard/session_keeper.py */
  :: d_step { guard.alive && session.connected && guard.renewal == none && guard.sent_age >= INTERVAL ->
       guard.renewal = sent; guard.sent_age = 0; printf("guard: sends a renewal\n") }
  :: d_step { guard.alive && guard.renewal == sent ->
       session.heard = 1; guard.renewal = passed_on; printf("follower: hears it\n");
#ifdef MUTATION_DEADLINE_FROM_A_READ
       guard.renewal = answered
#endif
     }
  :: d_step { guard.alive && guard.renewal == passed_on && !session.broken ->
       guard.renewal = committed; printf("leader: committed\n") }
  :: d_step { guard.alive && guard.renewal == committed && !session.ping_first && !session.stalled ->
       guard.renewal = answered; session.ping_first = session.ping_later; session.ping_later = 0;
       printf("follower: passes the answer on\n") }
  :: d_step { guard.alive && guard.renewal == answered ->
       renewed(); guard.renewal = none; printf("guard: renewed, lease %d\n", LEASE_AGE) }
  :: d_step { guard.alive && session.connected -> no_connection(); printf("guard: drops its connection\n") }
  :: d_step { guard.alive && !session.connected ->
       session.connected = 1; session.age = 0; printf("guard: has its session again, at another server\n") }

  /* ZooKeeper */
  :: d_step { guard.alive && session.connected && PING_IS_DUE && !session.stalled && !session.ping_first ->
       session.ping_age = 0; pinged(); printf("follower: answers a ping\n") }
  :: d_step { guard.alive && session.connected && PING_IS_DUE && session.stalled ->
       session.ping_age = 0;
       if
       :: guard.renewal == committed -> session.ping_later = 1
       :: else -> session.ping_first = 1
       fi;
       printf("leader: a ping is stalled\n") }
  :: d_step { guard.alive && !session.connected && PING_IS_DUE -> session.ping_age = 0 }
  :: d_step { guard.alive && session.ping_first && !session.stalled ->
       session.ping_first = 0; pinged(); printf("follower: answers a stalled ping\n") }
  :: d_step { guard.alive && session.connected && !session.stalled ->
       session.stalled = 1; printf("network: leader to follower stalls\n") }
  :: d_step { guard.alive && session.stalled -> session.stalled = 0; printf("network: and goes on\n") }
#ifdef ONE_WAY
  :: d_step { guard.alive && session.connected && !session.broken ->
       session.broken = 1; printf("network: follower to leader breaks\n") }
#endif
  :: d_step { guard.alive -> no_connection(); session.age = 0; printf("zookeeper: an election\n") }
  :: d_step { guard.alive && session.age >= SESSION ->
       printf("zookeeper: ends the session, while the server may still acknowledge\n");
       assert(!guard.alive) /* I1_deadline_before_session_end */ }

  /* guard/minder.py */
  :: d_step { guard.alive && LEASE_AGE >= DEADLINE -> guard.alive = 0; printf("minder: kills\n") }
  od
}
