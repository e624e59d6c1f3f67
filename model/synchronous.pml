/* The synchronous modes: whom commits wait for, and who is on record with everything (decision 0014). */

#ifndef SYNC

#define MAY_LOSE true
#define IN_SYNC(h) true
#define RECORDED(h) true
#define PLANS true
#define NOBODY_ON_RECORD true
#define OTHER_SITE_IN_SYNC false
#define WRITE(h) \
  :: d_step { CAN_ACKNOWLEDGE(h) && truth.writes < WRITES -> \
       host[h].wal = host[h].wal | (1 << truth.writes); \
       truth.acknowledged = truth.acknowledged | (1 << truth.writes); truth.writes++; \
       printf("h%d: acknowledges write %d\n", h, truth.writes); done() }
#define SYNCHRONOUS(h)
inline nobody_on_record() { skip }
inline list_ends() { skip }
inline permitted_under_this_judgement(h) { skip }
inline permit_was_used() { skip }
inline permit_is_returned(h) { skip }
inline judged_anew() { skip }
inline loss_is_accepted() { skip }

#else

#define MAY_LOSE false
#ifdef PLANNED
#define PLANS true
#else
#define PLANS false
#endif
#define NOBODY_ON_RECORD (zk.have == 0)
#define BIT(h) (1 << (h))
#define LISTED(h) ((zk.listed & BIT(h)) != 0)
#define RECORDED(h) ((zk.have & BIT(h)) != 0)
#define OTHER_SITE_IN_SYNC ((zk.have & (12 >> (2 * zk.active_site))) != 0)

/* permits._not_in_sync, last_writer.permitted_hosts. Until the promotion is on record `min_lsn` decides who is the
 * first, and from his permit on it is only he. */
#ifdef MUTATION_FIRST_PERMIT_BINDS_NOBODY
#define NOT_PROMOTED_IN_SYNC(h) true
#else
#define NOT_PROMOTED_IN_SYNC(h) (!zk.first_permitted || zk.last_writer == (h))
#endif
#ifdef MUTATION_PERMIT_NOT_IN_SYNC
#define PROMOTED_IN_SYNC(h) true
#else
#define PROMOTED_IN_SYNC(h) (RECORDED(h) || zk.last_writer == (h))
#endif
#define IN_SYNC(h) ((zk.promoted && PROMOTED_IN_SYNC(h)) || (!zk.promoted && NOT_PROMOTED_IN_SYNC(h)))

#ifdef MUTATION_SECOND_PERMIT_COUNTS_AS_FIRST
#define NOTHING_BEFORE true
#else
#define NOTHING_BEFORE (!zk.first_permitted || truth.unused)
#endif

/* last_writer's judged_unix_s, which is, or is not, that of `state`. Once the promotion is on record nobody asks. */
inline permitted_under_this_judgement(h) {
  if
  :: !zk.promoted ->
       truth.unused = (host[h].server == standby) && NOTHING_BEFORE;
       zk.first_permitted = 1
  :: else
  fi
}
inline judged_anew() { zk.first_permitted = 0; truth.unused = 0 }

/* permits._unused: a guard that gives its claim back after a promotion that was not made says so. Its host has no
 * history file of the timeline that it was promised, which stands for truth.unused here; a start leaves no such trace,
 * and what was written under an earlier permit of the same judgement stays written (LastWriter.first). */
inline permit_was_used() { truth.unused = 0 }
#ifdef MUTATION_RETURNED_THOUGH_USED
#define RETURNED(h) (zk.first_permitted && zk.last_writer == (h))
#else
#define RETURNED(h) (zk.first_permitted && zk.last_writer == (h) && truth.unused)
#endif
inline permit_is_returned(h) {
  if
  :: RETURNED(h) ->
       zk.first_permitted = 0; truth.unused = 0; no_permit_commits(); no_takeover_commits();
       printf("h%d: its permit was not used\n", h)
  :: else
  fi
}

/* What a takeover was judged to lose is lost: it is no longer asked of anybody. */
inline loss_is_accepted() { truth.acknowledged = truth.needed }

#define HAS_ALL_OF(other, h) \
  (!(host[h].waits_for & BIT(other)) || ((other) != (h) && WITHIN(host[h].wal, host[other].wal)))
#define NOBODY_TO_WAIT_FOR(h) \
  (HAS_ALL_OF(0, h) && HAS_ALL_OF(1, h) && HAS_ALL_OF(2, h) && HAS_ALL_OF(3, h))
#define SHOWS_LIST(other) \
  (!LISTED(other) || SITE(other) != zk.active_site || host[other].waits_for == zk.listed)
#ifdef MUTATION_RECORD_BEFORE_IN_FORCE
#define IN_FORCE(h) true
#else
#define IN_FORCE(h) \
  (host[h].waits_for == zk.listed && NOBODY_TO_WAIT_FOR(h) && \
   SHOWS_LIST(0) && SHOWS_LIST(1) && SHOWS_LIST(2) && SHOWS_LIST(3))
#endif

#define WRITE(h) \
  :: d_step { host[h].server == writable && truth.writes < WRITES -> \
       host[h].wal = host[h].wal | (1 << truth.writes); truth.writes++; \
       printf("h%d: write %d\n", h, truth.writes); done() }

/* The steps of planning/protection.py are the controller's; each needs the primary at work, and no plan. To keep
 * this small only the second host of Jakarta and the first of Makassar, its standby leader, may be listed, there are
 * no lists after the last move, and plans only where PLANNED. A mode that degrades: any host may leave at any time.
 * That a list is in force is seen in one instant here, by what is true; how it is proved from looks
 * (health/protection.py, coordination/sync_memory.py) is played by tests/unit/test_sync_replay.py. */
#define AT_WORK(h) \
  (zk.claim == (h) && host[h].server == writable && zk.promoted && zk.moves < MOVES && !zk.plan)
#define LIST_AND_DROP(h, other) \
  :: d_step { AT_WORK(h) && (h) != (other) && !LISTED(other) && host[other].server == standby && \
              (SITE(other) == zk.active_site || !zk.quarantine) -> \
       zk.listed = zk.listed | BIT(other); \
       printf("controller: commits are to wait for h%d\n", other); done() } \
  :: d_step { AT_WORK(h) && LISTED(other) -> \
       zk.listed = zk.listed & ~BIT(other); drop_record(other); \
       printf("controller: h%d leaves list and record\n", other); done() }

inline drop_record(other) {
#ifndef MUTATION_LIST_SHRINKS_BEFORE_RECORD
  if
  :: RECORDED(other) -> zk.have = zk.have & ~BIT(other); state_written()
  :: else
  fi
#else
  skip
#endif
}

#define SYNCHRONOUS(h) \
  :: d_step { CAN_ACKNOWLEDGE(h) && NOBODY_TO_WAIT_FOR(h) && \
              !WITHIN(host[h].wal, truth.acknowledged) -> \
       truth.acknowledged = truth.acknowledged | host[h].wal; \
       printf("h%d: acknowledges what it has\n", h); done() } \
  :: d_step { SITE(h) == zk.active_site && host[h].waits_for != zk.listed -> \
       host[h].waits_for = zk.listed; printf("h%d: takes in the list %d\n", h, zk.listed); done() } \
  :: d_step { AT_WORK(h) && zk.have != zk.listed && IN_FORCE(h) -> \
       zk.have = zk.listed; state_written(); \
       printf("controller: list %d is on record\n", zk.listed); done() } \
  LIST_AND_DROP(h, 1) LIST_AND_DROP(h, 2)

inline nobody_on_record() { zk.have = 0 }

/* A move ends the lists of both scopes. What stands in an old server's file is never read again here. */
inline list_ends() {
  zk.have = 0; zk.listed = 0;
  host[0].waits_for = 0; host[1].waits_for = 0; host[2].waits_for = 0; host[3].waits_for = 0
}

#endif
