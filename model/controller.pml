/* Two controllers. One does each step in an instant, the other stands still between its judgement and its
 * transaction for as long as it likes: of two that are slow, the second one's version is old anyway. */

inline judge(decision, leader) {
  judged.what = decision; judged.to = OTHER(zk.active_site); judged.moves = zk.moves;
  judged.proof = zk.proof; judged.lsn = LSN(host[leader].wal); judged.timeline = host[leader].timeline;
  if
  :: decision == takes_over -> judged.wal = host[leader].wal; judged.acknowledged = truth.acknowledged
  :: else
  fi
}

/* gates.cluster_gates, gray_failure_gates.killed_gates. In sync on record only a host on record is judged,
 * looked at after the claim had gone (seen_since_the_claim). */
#define TAKEOVER_JUDGED(leader) \
  (zk.moves < MOVES && !zk.quarantine && SITE(leader) != zk.active_site && host[leader].server == standby && \
   zk.promoted && CLAIM_GONE && (!zk.plan || zk.proof == killed) && \
   (!OTHER_SITE_IN_SYNC || RECORDED(leader)))
#ifdef MUTATION_LOOKED_BEFORE_CLAIM_GONE
#define CLAIM_GONE true
#else
#define CLAIM_GONE (zk.claim == NOBODY)
#endif

/* switchover_gates.commit_gates: proved to be shut down, and replayed past that */
#ifdef MUTATION_SWITCHOVER_WITHOUT_PROOF
#define PROVED_TO_STOP (SITE(zk.last_writer) == zk.active_site && host[zk.last_writer].clean && \
  (host[zk.last_writer].server == down || host[zk.last_writer].server == starting))
#define STOPPED_AT LSN(host[zk.last_writer].wal)
#define STOPPED_ON host[zk.last_writer].timeline
#define PROOF_AS_JUDGED true
#else
#define PROVED_TO_STOP (zk.proof == shut_down && zk.claim == NOBODY)
#define STOPPED_AT zk.proof_lsn
#define STOPPED_ON zk.proof_timeline
#define PROOF_AS_JUDGED (judged.proof == zk.proof)
#endif
#define COMMIT_JUDGED(leader) \
  (zk.moves < MOVES && zk.plan && PROVED_TO_STOP && SITE(leader) != zk.active_site && \
   host[leader].server == standby && LSN(host[leader].wal) >= STOPPED_AT && \
   host[leader].timeline == STOPPED_ON)

#define MOVE(leader) \
  :: d_step { TAKEOVER_JUDGED(leader) && NO_CLAIM -> \
       take_over(OTHER(zk.active_site), zk.moves, LSN(host[leader].wal), host[leader].timeline, \
                 host[leader].wal, truth.acknowledged); done() } \
  :: d_step { COMMIT_JUDGED(leader) && NO_CLAIM -> \
       commit_plan(OTHER(zk.active_site), zk.moves, LSN(host[leader].wal), host[leader].timeline); done() }

#define JUDGE(leader) \
  :: d_step { judged.what == none && TAKEOVER_JUDGED(leader) -> judge(takes_over, leader); \
       printf("slow controller: judges that h%d takes over, at %d\n", leader, judged.lsn); done() } \
  :: d_step { judged.what == none && COMMIT_JUDGED(leader) -> judge(commits, leader); \
       printf("slow controller: judges that the plan is fit, h%d at %d\n", leader, judged.lsn); done() }

#define AT_WORK_SOMEWHERE (zk.claim != NOBODY && host[zk.claim].server == writable)

/* _no_proof_left: one that comes in this instant refuses the transaction */
#ifdef MUTATION_ABANDON_IGNORES_NEW_PROOF
#define SAME_PROOF true
#else
#define SAME_PROOF (judged.proof == zk.proof)
#endif
