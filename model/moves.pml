/* The transactions that begin, make and abandon a move: planning/transactions.py, and
 * planning/switchover_transactions.py. Each is atomic, as ZooKeeper makes it. */

/* _proof_of_no_claim: create and delete writers/<cluster> */
#ifdef MUTATION_NO_PROOF_OF_NO_CLAIM
#define NO_CLAIM true
#else
#define NO_CLAIM (zk.claim == NOBODY)
#endif

/* What is down at the old site can only come up as a standby, so it may as well have. */
inline stays_down(h) {
#ifdef MUTATION_NO_START_BARRIER
  skip
#else
  if
  :: SITE(h) != zk.active_site && host[h].server == down ->
       host[h].server = standby; host[h].as_primary = 0
  :: else
  fi
#endif
}

/* `epoch`: the one that was judged, counted from 0 */
inline moved(new_site, epoch) {
  assert(epoch == zk.moves);       /* I2_epoch_rises */
  zk.active_site = new_site; zk.moves = epoch + 1; zk.promoted = 0; zk.plan = 0;
  zk.proof = no_proof; zk.proof_lsn = 0; zk.proof_timeline = 0; truth.proved = 0;
  zk.last_writer = NOBODY; /* it names a host of the old site, which is nobody at the new one */
  stays_down(0); stays_down(1); stays_down(2); stays_down(3);
  list_ends();
  judged_anew();
  only_proof_of(NOBODY);
  state_written()
}

/* transactions.takeover. `seen`: what was acknowledged when it was judged */
inline take_over(new_site, epoch, leader_lsn, leader_timeline, leader_wal, seen) {
  assert(NOBODY_ACKNOWLEDGES);     /* I2_proof */
  assert(truth.acknowledged == seen);    /* I3_loss_was_judged */
  if
  :: OTHER_SITE_IN_SYNC -> truth.needed = truth.acknowledged
  :: else -> truth.needed = leader_wal & truth.acknowledged
  fi;
  loss_is_accepted();
  zk.min_lsn = leader_lsn; zk.min_timeline = leader_timeline;
  moved(new_site, epoch);
  zk.quarantine = 1; zk.fence = 1; zk.fence_child = 1;
#ifdef MUTATION_NO_FENCE
  zk.fence = 0; zk.fence_child = 0;
#endif
#ifdef MUTATION_FENCE_WITHOUT_CHILD
  zk.fence_child = 0;
#endif
  printf("controller: takeover by site %d, min_lsn %d on timeline %d\n",
         zk.active_site, zk.min_lsn, zk.min_timeline)
}

/* switchover_transactions.commit */
inline commit_plan(new_site, epoch, leader_lsn, leader_timeline) {
  assert(NOBODY_ACKNOWLEDGES);     /* I2_proof */
  truth.needed = truth.acknowledged;
  zk.min_lsn = leader_lsn; zk.min_timeline = leader_timeline; /* at the end in the proof or past it */
  moved(new_site, epoch);
  printf("controller: the plan is committed, site %d, min_lsn %d on timeline %d\n",
         zk.active_site, zk.min_lsn, zk.min_timeline)
}

/* switchover_transactions.abandon, and _as_before. `seen`: the proof, or none, as it was judged. A server that was
 * killed binds only where the plan was a switchover (`planned`) and nobody is on record; it may have been a
 * standby that had just got its permit, and lacks what a local failover loses. */
#define BINDS(proof, planned) ((proof) == shut_down || ((proof) == killed && (planned) && NOBODY_ON_RECORD))

inline abandon_plan(seen, planned) {
  if
  :: zk.proof == shut_down -> truth.needed = truth.acknowledged
  :: zk.proof == killed && BINDS(zk.proof, planned) -> truth.needed = truth.proved
  :: else
  fi;
  if
  :: BINDS(seen, planned) ->
       zk.promoted = 0; nobody_on_record(); judged_anew();
#ifndef MUTATION_ABANDON_WITHOUT_MIN_LSN
       zk.min_lsn = zk.proof_lsn; zk.min_timeline = zk.proof_timeline
#endif
  :: else
  fi;
  zk.plan = 0; zk.proof = no_proof; zk.proof_lsn = 0; zk.proof_timeline = 0; truth.proved = 0;
  state_written();
  printf("controller: the plan is abandoned, min_lsn %d\n", zk.min_lsn)
}
