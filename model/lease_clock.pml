/* One host's lease in ticks. The numbers are small, their order is that of failover/timing.py; lease.pml
 * has the real ones. An age counts while the host has a grant or is about to get one; else its session
 * may end at any time. (That a permit on its way commits proves that the session lives.) */

#define DEADLINE 1
#define KILL 0 /* within the tick of the deadline */
#ifdef MUTATION_SESSION_TOO_SHORT
#define SESSION 1
#else
#define SESSION 2
#endif

#define HAS_LEASE(h) (host[h].grant || host[h].permit == committed)
#define LEASE_HOLDS(h) (!host[h].session_over && host[h].age < DEADLINE)
/* guard/minder.py: no later than KILL after the deadline nothing lives, and the grant is over */
#define MINDER_IS_DUE(h) (host[h].grant && host[h].age >= DEADLINE + KILL)

/* Without a lease there is no age, and a standby that is down is as good as one that receives nothing. */
inline settle(h) {
  if
  :: !HAS_LEASE(h) ->
       host[h].age = 0;
       if
       :: host[h].server == down && !host[h].as_primary -> host[h].server = standby
       :: else
       fi
  :: else
  fi
}

#define TICK(h) \
  :: d_step { HAS_LEASE(h) && host[h].age < SESSION && !MINDER_IS_DUE(h) -> \
       host[h].age++; printf("h%d: a tick without a renewal, %d\n", h, host[h].age); done() }

/* guard/session_keeper.py: written on the token of this session, so not after its end. (On the claim a write of
 * the next session would do just as well, as long as somebody has it.) */
#ifdef MUTATION_RENEWAL_ON_THE_CLAIM
#define RENEWAL_COMMITS(h) (!host[h].session_over || zk.claim != NOBODY)
#define COUNTS_AS_THE_SAME(h) host[h].session_over = 0;
#else
#define RENEWAL_COMMITS(h) (!host[h].session_over)
#define COUNTS_AS_THE_SAME(h)
#endif
#define RENEW(h) \
  :: d_step { HAS_LEASE(h) && host[h].age > 0 && RENEWAL_COMMITS(h) -> \
       COUNTS_AS_THE_SAME(h) \
       host[h].age = 0; printf("h%d: two renewals committed\n", h); done() }

/* The ensemble ends it when it likes from then on: an election may have restarted its timer. Who has no
 * grant and waits for no answer is as good as in a new session at once. */
#define SESSION_ENDS(h) \
  :: d_step { zk.claim == h && (host[h].age >= SESSION || !HAS_LEASE(h)) -> \
       host[h].session_over = HAS_LEASE(h); \
       zk.claim = NOBODY; settle(h); printf("h%d: session over, its claim is gone\n", h); done() }

/* logic.Guard.session_opened: what was granted under the old one is over, it is killed */
#define NEW_SESSION(h) \
  :: d_step { host[h].session_over -> \
       host[h].session_over = 0; host[h].permit = nothing; settle(h); \
       printf("h%d: has a new session\n", h); done() }
