/* Theory of operation: who may write, and when, in every order in which things can happen.
 *
 * Two data sites of two hosts each, one cluster, an ensemble, and two controllers that race. The model
 * is the *protocol*, so everything that the protocol does not rely on is left to chance, which is more
 * than the real parts ever do:
 *
 *   Patroni    promotes, restarts in place, demotes, stops and rewinds whenever it likes, on whatever it
 *              believes; only the guard's barriers and, where it rewinds, the configuration bind it.
 *   network    an answer may be lost after its write was committed; a renewal may fail at any time, for
 *              any time; what observers see is never evidence (a controller may move the group whenever
 *              the transaction lets it), except where a rule about loss says when a look was taken.
 *   processes  a server, or all of it but one backend, may die between any two steps. A controller may
 *              stand still between its judgement and its transaction for any time.
 *   time       every host's lease has its own clock: ticks since its last but one committed renewal was
 *              sent, in any order with everything else. A tick waits for one thing only, the minder: a
 *              server under a grant is dead KILL ticks after the deadline. That the session cannot end
 *              before is not assumed here but follows from DEADLINE + KILL < SESSION, and that a lease's
 *              clock may be counted like that is what lease.pml checks, with the real numbers.
 *
 * What makes it exhaustive and small:
 *   a version check is modelled by taking away, at the write, whatever was judged before it. So nothing
 *   counts versions, and plans, sessions and crashes have no limit;
 *   of two slow requests for a permit the second one's version is old when the first has committed, so one
 *   host at a time is slow and the others ask and get in an instant; likewise the two controllers;
 *   the two hosts of a site are alike, and sorted (SORTED);
 *   limited are the writes (WRITES), the promotions (TIMELINES) and the changes of the active site (MOVES).
 *
 * What is asserted (docs/architecture.md, Invariants); the names are the comments behind the assertions:
 *   I1  a server becomes writable: no other one can acknowledge, and its site is the active one.
 *   I2  the active site changes: at that instant nobody can acknowledge.
 *   I3  the first promotion of an epoch has what its transaction was committed for: all that was
 *       acknowledged where it was planned, or in sync on record; else what the judged host had, and
 *       nothing was acknowledged after the judgement. In a synchronous mode no promotion, the first of an
 *       epoch or a later one, lacks anything that was acknowledged, but for what a takeover was judged to lose.
 *   fence, quarantine: until the old site is reinstated it gets no leader, and nobody there is rewound.
 *
 * SYNC is a synchronous mode (synchronous.pml); without it, max-performance. MUTATION_* each take one
 * rule away (scripts/model_cases.py has the list). The comments name what each step stands for in the code.
 *
 * Not in it (docs/model.md has the whole list): several clusters, more than two hosts at a site; a host that is
 * frozen whole (the acknowledgement barrier); what a hand does (pg_ctl promote, a claim deleted, a takeover of an
 * epoch that was not promoted, a rebuilt quorum, the pause of a scope); the first arming of a guard beside a running
 * primary; disks older than they were; `status` and the election it can block, local recovery's time, salvage behind
 * the rewind barrier, residency: the simulation's. And it says nothing of liveness.
 *
 * One instant instead of two, because the second adds no order of its own:
 *   the minder sees that nothing lives, and the grant is over (what follows only comes later in truth);
 *   the record of a promotion, a reinstatement and the beginning of a plan are judged and written at once: what they
 *   were judged on was true a moment before, and what they write is no more than was allowed then;
 *   the claim is given back, with its proof: a guard does one thing at a time, lock in hand.
 */
#include "world.pml"
#include "synchronous.pml"
#include "lease_clock.pml"
#include "host.pml"
#include "moves.pml"
#include "controller.pml"

init {
#ifdef JUST_MOVED
  /* Jakarta has just been made the active site, by a takeover or as planned; nobody is promoted yet */
  d_step {
    zk.last_writer = NOBODY;
    host[0].server = standby; host[1].server = standby; host[2].server = standby; host[3].server = standby
  }
  if
  :: d_step { zk.quarantine = 1; zk.fence = 1; zk.fence_child = 1 }
  :: true
  fi;
#else
  d_step { /* Jakarta's first host is the primary of the first epoch */
    zk.claim = 0; zk.promoted = 1;
    host[0].server = writable; host[0].as_primary = 1; host[0].grant = 1;
    host[1].server = standby; host[2].server = standby; host[3].server = standby
  }
#endif
end: /* nothing is asked of liveness */
  do
#define h 0
#include "host_steps.pml"
#undef h
#define h 1
#include "host_steps.pml"
#undef h
#define h 2
#include "host_steps.pml"
#undef h
#define h 3
#include "host_steps.pml"
#undef h
#include "controller_steps.pml"
  od
}
