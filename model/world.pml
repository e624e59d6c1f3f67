/* What there is: znodes, servers, and what only the checker knows. */

#ifndef WRITES
#define WRITES 2
#endif
#ifndef TIMELINES
#define TIMELINES 3
#endif
#ifndef MOVES
#define MOVES 2
#endif

#define HOSTS 4
#define SITE(h) ((h) >> 1)
#define OTHER(site) (1 - (site))
#define NOBODY HOSTS       /* of zk.claim */

/* Small numbers and bit fields: a state of the model is a few dozen bytes then. */
#define down 5          /* 0: before the first step */
#define standby 1
#define starting 2      /* the barrier holds the lock, and asks */
#define writable 3
#define orphans 4       /* the postmaster is gone, a backend is not */

#define nothing 0
#define on_its_way 1
#define committed 2

#define no_proof 0
#define shut_down 1
#define killed 2

/* One database host: its server, its guard, its session. */
typedef Host {
  unsigned server : 3;
  bit as_primary;        /* the data directory has no standby.signal */
  bit clean;             /* it was shut down, so the end of its WAL is certain */
  unsigned wal : 3;      /* a set of writes. A write is appended to one history, so subset is prefix */
  unsigned timeline : 3;
  bit grant;
  unsigned permit : 2;
  unsigned age : 2;      /* ticks since the last but one renewal was sent */
  bit session_over;      /* and the guard has not learned it yet */
#ifdef SYNC
  unsigned waits_for : 4; /* the hosts its server has in synchronous_standby_names */
#endif
#ifdef MUTATION_OWNER_FROM_MEMORY
  bit remembers;         /* "the claim is mine" */
#endif
}
Host host[HOSTS];

/* ZooKeeper. */
typedef Ensemble {
  unsigned claim : 3 = NOBODY; /* writers/<cluster>: the host whose session owns it */
  unsigned last_writer : 3;    /* who got the claim last; NOBODY of the active site after a move */
  bit active_site;             /* state: the active site, 0 is Jakarta */
  unsigned moves : 2;          /* state: the epoch, counted from 0 */
  bit plan;                    /* state: a plan, always from the active site (controller_steps.pml) */
  bit promoted;                /* state: the epoch's first promotion is on record */
  unsigned min_lsn : 2;
  unsigned min_timeline : 3;
  bit quarantine;              /* state, and the other scope's config */
  bit fence;                   /* the other scope's leader znode, */
  bit fence_child;             /* and what is under it */
  unsigned proof : 2;          /* stopped/<cluster>, under this plan */
  unsigned proof_lsn : 2;
  unsigned proof_timeline : 3;
#ifdef SYNC
  unsigned listed : 4;         /* synchronous_standby_names in the active scope's config */
  unsigned have : 4;           /* state: who surely has everything */
  bit first_permitted;         /* last_writer got its permit under the present judgement of state, which is not
                                * promoted yet */
#endif
}
Ensemble zk;

/* What the slow controller judged, and has yet to commit. */
#define none 0
#define takes_over 1
#define commits 2
#define abandons 3
typedef Judgement {
  unsigned what : 2;
  bit to;                      /* the new site */
  unsigned moves : 2;
  unsigned proof : 2;
  unsigned lsn : 2;            /* of the standby leader it looked at */
  unsigned timeline : 3;
  unsigned wal : 3;
  unsigned acknowledged : 3;   /* the checker's: at that moment */
}
Judgement judged;

/* Only the checker knows these. */
typedef Truth {
  unsigned writes : 2;          /* so many were made */
  unsigned acknowledged : 3;    /* and not lost by an asynchronous failover, which may lose */
  unsigned needed : 3;          /* what a promotion must have until the epoch's is on record */
  unsigned proved : 3;          /* of what was acknowledged, what the host with the stopped-proof had */
  unsigned newest_timeline : 3;
#ifdef SYNC
  bit unused;                   /* of the permits since zk.first_permitted was set none was used, or was for a start */
#endif
}
Truth truth;

#define CAN_ACKNOWLEDGE(h) (host[h].server == writable || host[h].server == orphans)
#define NOBODY_ACKNOWLEDGES \
  (!CAN_ACKNOWLEDGE(0) && !CAN_ACKNOWLEDGE(1) && !CAN_ACKNOWLEDGE(2) && !CAN_ACKNOWLEDGE(3))
#define NO_OTHER_ACKNOWLEDGES(h) \
  ((h == 0 || !CAN_ACKNOWLEDGE(0)) && (h == 1 || !CAN_ACKNOWLEDGE(1)) && \
   (h == 2 || !CAN_ACKNOWLEDGE(2)) && (h == 3 || !CAN_ACKNOWLEDGE(3)))
#define LSN(wal) (((wal) & 1) + (((wal) >> 1) & 1) + (((wal) >> 2) & 1))
#define WITHIN(a, b) (((a) & ~(b)) == 0)

/* A write of `state`, or of `last_writer`. Whoever read it before has an old version and will not commit,
 * so what it has on its way is taken away at once: that is all that a version check is. */
inline state_written() {
#ifndef MUTATION_PERMIT_BY_A_READ
  no_permit_commits();
#endif
#ifndef MUTATION_EPOCH_NOT_CHECKED
  forget()
#else
  skip
#endif
}

inline writer_written(h) {
  zk.last_writer = h;
  permitted_under_this_judgement(h);
#ifndef MUTATION_PERMIT_IGNORES_LAST_WRITER
  no_permit_commits();
#endif
  no_takeover_commits();
  only_proof_of(h)
}

inline no_takeover_commits() {
#ifndef MUTATION_MOVE_IGNORES_LAST_WRITER
#ifndef MUTATION_NO_PROOF_OF_NO_CLAIM
  if
  :: judged.what == takes_over -> forget()
  :: else
  fi
#else
  skip
#endif
#else
  skip
#endif
}

inline no_permit_commits() {
  not_committed(0); not_committed(1); not_committed(2); not_committed(3)
}

inline not_committed(h) {
  if
  :: host[h].permit == on_its_way -> host[h].permit = nothing; settle(h)
  :: else
  fi
}

/* Of the others nobody will ask how they ended. */
inline only_proof_of(h) {
  if :: h != 0 -> host[0].clean = 0 :: else fi;
  if :: h != 1 -> host[1].clean = 0 :: else fi;
  if :: h != 2 -> host[2].clean = 0 :: else fi;
  if :: h != 3 -> host[3].clean = 0 :: else fi
}

inline forget() {
  judged.what = none; judged.to = 0; judged.moves = 0; judged.proof = no_proof; judged.lsn = 0;
  judged.timeline = 0; judged.wal = 0; judged.acknowledged = 0
}

/* The two hosts of a site are alike, so which of them is which is not part of a state: sorted after every
 * step, where SORTED (the exhaustive runs; a counterexample is easier to read without). */
#ifdef SORTED
#define EXCHANGE(field, h) \
  host[h].field = host[h].field ^ host[h + 1].field; \
  host[h + 1].field = host[h].field ^ host[h + 1].field; \
  host[h].field = host[h].field ^ host[h + 1].field
#define KEY(h) \
  (host[h].server + (host[h].as_primary << 3) + (host[h].clean << 4) + (host[h].wal << 5) + \
   (host[h].timeline << 8) + (host[h].grant << 11) + (host[h].permit << 13) + \
   (host[h].age << 15) + (host[h].session_over << 17) + ((zk.claim == h) << 18) + \
   ((zk.last_writer == h) << 19))

inline sort(h) {
  if
  :: KEY(h) > KEY(h + 1) ->
       EXCHANGE(server, h); EXCHANGE(as_primary, h); EXCHANGE(clean, h); EXCHANGE(wal, h);
       EXCHANGE(timeline, h); EXCHANGE(grant, h); EXCHANGE(permit, h);
       EXCHANGE(age, h); EXCHANGE(session_over, h);
       if
       :: zk.claim == h -> zk.claim = h + 1
       :: zk.claim == h + 1 -> zk.claim = h
       :: else
       fi;
       if
       :: zk.last_writer == h -> zk.last_writer = h + 1
       :: zk.last_writer == h + 1 -> zk.last_writer = h
       :: else
       fi
  :: else
  fi
}

inline done() { sort(0); sort(2) }
#else
inline done() { skip }
#endif
