#!/bin/sh
# PostgreSQL's recovery_end_command, set by the start barrier: called before a promoted server takes
# its first write, whoever promoted it. Argument: the cluster.
#
# Where the acknowledgement barrier stands (its door is shut, or leased) nothing has to be asked: what
# is written without a grant is acknowledged to nobody. Otherwise the guard must say yes. An exit code
# above 125 ends the server; so does this script where it cannot be run.
RUN_DIR=/run/failover

door=
[ -r "$RUN_DIR/guard-$1.door" ] && read -r door <"$RUN_DIR/guard-$1.door"
case $door in
shut | leased) exit 0 ;;
esac
exec "${0%/*}/recovery_end" "$@"
