#!/bin/sh
# PostgreSQL's recovery_end_command, set by the start barrier: called before a promoted server takes
# its first write, whoever promoted it. Argument: the cluster.
#
# Behind a leased door nothing has to be asked: what is written when the lease is over is acknowledged
# to nobody. A shut one may be free for reads a moment later. Otherwise the guard must say yes. An exit
# code of 1 to 125 is only a warning to PostgreSQL, above it ends the server: so does whatever fails
# here, a Python that cannot start too.
RUN_DIR=/run/failover
STAY_DOWN=200

door=
[ -r "$RUN_DIR/guard-$1.door" ] && read -r door <"$RUN_DIR/guard-$1.door"
[ "$door" = leased ] && exit 0
"${0%/*}/recovery_end" "$@" || exit "$STAY_DOWN"
