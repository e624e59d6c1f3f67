/* One database host: guard (worker and minder), server, and a Patroni that does what it likes. */

/* ---------------------------------------------------------------- permits */

/* permits._behind: at least min_lsn, on min_timeline or a newer one, until the promotion is on record */
#ifdef MUTATION_NO_MIN_LSN
#define FAR_ENOUGH(h) true
#else
#define FAR_ENOUGH(h) \
  (zk.promoted || (LSN(host[h].wal) >= zk.min_lsn && host[h].timeline >= zk.min_timeline))
#endif

/* permits._forbidden */
#ifdef MUTATION_PLAN_NOT_CHECKED
#define FORBIDDEN(h) (SITE(h) != zk.active_site)
#else
#define FORBIDDEN(h) (SITE(h) != zk.active_site || zk.plan)
#endif

/* permits._not_last_writer: a start in place goes on with its timeline, so nobody may have written since */
#ifdef MUTATION_START_BY_ANOTHER
#define WROTE_LAST(h) true
#else
#define WROTE_LAST(h) (zk.last_writer == (h))
#endif

/* permits.decide_permit: what is read. The rest is the transaction's. */
#define REQUEST_SEEN(h) (host[h].permit == on_its_way)
#define MAY_ASK(h) \
  (!REQUEST_SEEN(0) && !REQUEST_SEEN(1) && !REQUEST_SEEN(2) && !REQUEST_SEEN(3) && MAY_COMMIT(h))
#define MAY_COMMIT(h) \
  (host[h].permit == nothing && !host[h].session_over && !FORBIDDEN(h) && FAR_ENOUGH(h) && \
   IN_SYNC(h) && (zk.claim == NOBODY || zk.claim == (h)))

/* Check(state), Check(sessions/<id>), Create or Set(writers/<cluster>), Set(last_writer): a request whose
 * versions are old is gone by now (world.pml) */
#define PERMIT_COMMITS(h) \
  (!host[h].session_over && (zk.claim == NOBODY || zk.claim == (h)))

inline commit_permit(h) {
  zk.claim = h;
  host[h].permit = nothing;
  writer_written(h);
#ifdef MUTATION_OWNER_FROM_MEMORY
  host[h].remembers = 1;
#endif
  host[h].permit = committed
}

/* logic.Guard.permitted: an answer that comes after the deadline, or for another session, grants nothing */
#ifdef MUTATION_LATE_ANSWER_GRANTS
#define IN_TIME(h) true
#else
#define IN_TIME(h) LEASE_HOLDS(h)
#endif

/* ---------------------------------------------------------------- the end of a grant, and of a claim */

/* logic._decide_granted: a grant is over when the lock is free, or the barrier has held it since */
inline is_down(h) { host[h].server = down; host[h].grant = 0; settle(h) }

/* desk._give_back: no grant, no permit under way, nothing lives or it came up as a standby */
#ifdef MUTATION_GRANT_FORGOTTEN
#define FORGOTTEN(h) (host[h].server == orphans)
#else
#define FORGOTTEN(h) false
#endif
#define IDLE(h) \
  (!host[h].session_over && !host[h].grant && host[h].permit == nothing && \
   (host[h].server == down || host[h].server == standby || FORGOTTEN(h)))
#ifdef MUTATION_CLAIM_DELETED_EARLY
#define GIVES_BACK(h) (!host[h].session_over && zk.claim == (h) && host[h].permit == nothing)
#else
#ifdef MUTATION_OWNER_FROM_MEMORY
#define GIVES_BACK(h) (IDLE(h) && host[h].remembers && zk.claim != NOBODY)
#else
#define GIVES_BACK(h) (IDLE(h) && zk.claim == (h))
#endif
#endif

#define PLAN_WAITS(h) (zk.plan && SITE(h) == zk.active_site && zk.proof == no_proof)

/* permits._proof: kind and end of WAL of the server that was stopped */
inline prove(h) {
  truth.proved = host[h].wal & truth.acknowledged;
  zk.proof_lsn = LSN(host[h].wal); zk.proof_timeline = host[h].timeline;
  if
  :: host[h].clean -> zk.proof = shut_down; printf("h%d: stopped-proof, shut down at %d\n", h, zk.proof_lsn)
  :: else -> zk.proof = killed; printf("h%d: stopped-proof, killed at %d\n", h, zk.proof_lsn)
  fi
}

/* ---------------------------------------------------------------- the server */

/* Until its first promotion is on record an epoch's promotion must have what it was committed for. */
inline becomes_writable(h) {
  assert(NO_OTHER_ACKNOWLEDGES(h));          /* I1_single_writer */
  assert(SITE(h) == zk.active_site);         /* I1_active_site */
  assert(WITHIN(truth.needed, host[h].wal)); /* I3_promoted_has_what_was_judged */
  assert(MAY_LOSE || WITHIN(truth.acknowledged, host[h].wal)); /* I3_in_sync_loses_nothing */
  truth.acknowledged = truth.acknowledged & host[h].wal; /* an asynchronous failover loses, that is its price */
  permit_was_used();
  host[h].server = writable; host[h].as_primary = 1; host[h].clean = 0
}

#ifdef MUTATION_NO_PERMIT
#define MAY_PROMOTE(h) (host[h].server == standby && truth.newest_timeline < TIMELINES)
#else
#define MAY_PROMOTE(h) \
  (host[h].server == standby && host[h].grant && truth.newest_timeline < TIMELINES)
#endif
#ifdef MUTATION_NO_START_BARRIER
#define MAY_START(h) (host[h].server == down && host[h].as_primary)
#else
#define MAY_START(h) (host[h].server == starting && host[h].grant)
#endif

/* Streaming, with what is received replayed; from a cascading standby too. */
#define SAME_SCOPE(h, from) (SITE(h) == SITE(from))
#ifdef MUTATION_QUARANTINE_WITH_ADDRESS
#define HAS_UPSTREAM(h) (SITE(h) != zk.active_site || zk.plan)
#else
#define HAS_UPSTREAM(h) \
  ((SITE(h) != zk.active_site && !zk.quarantine) || (SITE(h) == zk.active_site && zk.plan))
#endif
#define REACHES(h, from) \
  ((h) != (from) && host[h].server == standby && (SAME_SCOPE(h, from) || HAS_UPSTREAM(h)))

#define FOLLOW(h, from) \
  :: d_step { REACHES(h, from) && (host[from].server == writable || host[from].server == standby) && \
              WITHIN(host[h].wal, host[from].wal) && host[h].timeline <= host[from].timeline && \
              (host[h].wal != host[from].wal || host[h].timeline != host[from].timeline) -> \
       host[h].wal = host[from].wal; host[h].timeline = host[from].timeline; host[h].clean = 0; \
       printf("h%d: has all of h%d\n", h, from); done() }

/* pg_rewind, from a primary only. Its barrier salvages first; not even that is asked for in quarantine. */
inline rewind(h, from) {
  assert(SITE(h) == zk.active_site || !zk.quarantine); /* quarantine_keeps_wal */
  host[h].wal = host[from].wal; host[h].timeline = host[from].timeline; host[h].clean = 0;
  printf("h%d: rewound to h%d\n", h, from)
}

#define REWIND(h, from) \
  :: d_step { REACHES(h, from) && host[from].server == writable && !HAS_LEASE(h) && \
              !(WITHIN(host[h].wal, host[from].wal) && host[h].timeline <= host[from].timeline) -> \
       rewind(h, from); done() }
