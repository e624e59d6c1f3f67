/* What the host `h` may do next. Included once per host: one process means a small state. */

  TICK(h)
  RENEW(h)
  SESSION_ENDS(h)
  NEW_SESSION(h)

  /* barrier.before_promotion, barrier.promote: a standby asks */
  :: d_step { host[h].server == standby && MAY_COMMIT(h) ->
       commit_permit(h); printf("h%d: permit to promote committed\n", h); done() }
  /* barrier.start: lock, note, question. Refused at once it leaves nothing behind. */
  :: d_step { host[h].server == down && host[h].as_primary && WROTE_LAST(h) && MAY_COMMIT(h) ->
       host[h].server = starting; commit_permit(h);
       printf("h%d: permit to start committed\n", h); done() }
  :: d_step { host[h].server == starting && !host[h].grant && host[h].permit == nothing ->
       host[h].server = down; settle(h); printf("h%d: the start is refused\n", h); done() }
  :: d_step { host[h].server == standby && MAY_ASK(h) ->
       host[h].permit = on_its_way; printf("h%d: asks for a permit to promote\n", h); done() }
  :: d_step { host[h].server == down && host[h].as_primary && WROTE_LAST(h) && MAY_ASK(h) ->
       host[h].server = starting; host[h].permit = on_its_way;
       printf("h%d: asks for a permit to start\n", h); done() }
  :: d_step { host[h].permit == on_its_way && PERMIT_COMMITS(h) ->
       commit_permit(h); printf("h%d: permit committed\n", h); done() }
  :: d_step { host[h].permit == on_its_way ->
       host[h].permit = nothing; settle(h); printf("h%d: permit not committed\n", h); done() }
  /* the minder is told yes, and takes the grant before anybody else is told */
  :: d_step { host[h].permit == committed && IN_TIME(h) ->
       host[h].permit = nothing; host[h].grant = 1;
       printf("h%d: granted\n", h); done() }
  /* answer lost, too late, or nobody waits for it any more: the claim is found by its owner later */
  :: d_step { host[h].permit == committed ->
       host[h].permit = nothing; settle(h); printf("h%d: the yes is not heard\n", h); done() }

  /* logic.decide: Kill, for whatever reason; a crash looks the same. With the last process the grant is over:
   * that the minder sees it up to a tick of its own later only delays what follows. */
  :: d_step { host[h].grant && host[h].server != down ->
       host[h].clean = 0; is_down(h); printf("h%d: killed\n", h); done() }
  :: d_step { host[h].server == writable ->
       host[h].server = orphans; printf("h%d: postmaster dies, a backend lives on\n", h); done() }
#ifdef MUTATION_GRANT_FORGOTTEN
  :: d_step { host[h].server == orphans && host[h].grant ->
       host[h].grant = 0; printf("h%d: grant over\n", h); done() }
#endif
  /* a fast shutdown: a demotion, a plan's stop, an administrator */
  :: d_step { host[h].server == writable ->
       host[h].clean = 1; is_down(h); printf("h%d: shut down\n", h); done() }
  :: d_step { GIVES_BACK(h) ->
       zk.claim = NOBODY;
#ifdef MUTATION_OWNER_FROM_MEMORY
       host[h].remembers = 0;
#endif
       printf("h%d: claim given back\n", h);
       if :: PLAN_WAITS(h) -> prove(h) :: else fi;
       permit_is_returned(h);
       settle(h); done() }
  /* permits.decide_claim without a claim: create and delete it, and check who wrote last */
  :: d_step { PLAN_WAITS(h) && zk.claim == NOBODY && zk.last_writer == h && IDLE(h) -> prove(h); done() }

  :: d_step { MAY_PROMOTE(h) ->
       truth.newest_timeline++; host[h].timeline = truth.newest_timeline; becomes_writable(h);
       printf("h%d: promoted, timeline %d\n", h, truth.newest_timeline); done() }
  :: d_step { MAY_START(h) ->
       assert(host[h].timeline == truth.newest_timeline); /* I3_start_goes_on_with_the_newest_branch */
       becomes_writable(h); printf("h%d: writable again\n", h); done() }
  :: d_step { host[h].server == down ->
       host[h].server = standby; host[h].as_primary = 0;
       printf("h%d: comes up as a standby\n", h); done() }
  WRITE(h)
  SYNCHRONOUS(h)

  FOLLOW(h, 0) FOLLOW(h, 1) FOLLOW(h, 2) FOLLOW(h, 3)
  REWIND(h, 0) REWIND(h, 1) REWIND(h, 2) REWIND(h, 3)
