/* What the controllers, and the Patroni of a fenced site, may do next. */

  MOVE(0) MOVE(1) MOVE(2) MOVE(3)

  JUDGE(0) JUDGE(1) JUDGE(2) JUDGE(3)
  :: d_step { judged.what == none && zk.plan -> judge(abandons, 0); judged.lsn = 0; judged.timeline = 0;
       printf("slow controller: judges that the plan is to be abandoned\n"); done() }
  :: d_step { judged.what == takes_over && NO_CLAIM ->
       take_over(judged.to, judged.moves, judged.lsn, judged.timeline, judged.wal, judged.acknowledged);
       forget(); done() }
  :: d_step { judged.what == commits && NO_CLAIM && PROOF_AS_JUDGED ->
       commit_plan(judged.to, judged.moves, judged.lsn, judged.timeline); forget(); done() }
  :: d_step { judged.what == abandons && SAME_PROOF ->
       abandon_plan(judged.proof, true); forget(); done() }
  :: d_step { judged.what == abandons && SAME_PROOF && judged.proof == killed ->
       abandon_plan(judged.proof, false); forget(); done() }
  :: d_step { judged.what != none -> forget(); printf("slow controller: not committed\n"); done() }

  /* switchover_transactions.begin and begin_takeover. One plan stands for both: where a server was killed
   * a switchover can only be abandoned, a takeover can also be made. */
  :: d_step { PLANS && !zk.plan && zk.promoted && !zk.quarantine && zk.claim != NOBODY ->
       zk.plan = 1; state_written(); printf("controller: a plan is begun\n"); done() }
  /* its deadline has passed, or a server was killed; the plan has a deadline at any time */
  :: d_step { zk.plan -> abandon_plan(zk.proof, true); done() }
  :: d_step { zk.plan && zk.proof == killed -> abandon_plan(zk.proof, false); done() }

  /* transactions.record_promotion */
  :: d_step { !zk.promoted && AT_WORK_SOMEWHERE ->
       zk.promoted = 1; zk.min_lsn = 0; zk.min_timeline = 0; truth.needed = 0; judged_anew(); state_written();
       printf("controller: the promotion is on record\n"); done() }
  /* transactions.reinstate */
  :: d_step { zk.quarantine && zk.promoted && AT_WORK_SOMEWHERE ->
       zk.quarantine = 0; zk.fence = 0; zk.fence_child = 0; state_written();
       printf("controller: site %d is reinstated\n", OTHER(zk.active_site)); done() }

  /* A Patroni of the old site: zookeeper.py's _update_leader deletes a key without a version; it cannot
   * where there is a child. Where there is no key somebody takes it. */
  :: d_step { zk.fence && !zk.fence_child -> zk.fence = 0; printf("patroni: deletes the fence\n"); done() }
  :: d_step { zk.quarantine && !zk.fence -> assert(false) /* fence_holds */ }
