#!/bin/sh
# The pg_ctl barrier: only a promotion has to ask the guard, everything else goes straight on. Patroni
# reloads its server in the very moment of a promotion, and a Python started for that reload would
# compete with the one that asks for the permit (0.1 s on two busy cores).
#
# Nor does a promotion ask whose hook has had its yes within the last 0.4 s: the hook leaves a pass with
# the moment (hundredths of a second since the boot) until which it holds. Whatever cannot be read
# asks. A pass is no permit: the grant stands since the yes, and its deadline kills as ever.
BIN_DIR=/usr/lib/postgresql/17/bin
RUN_DIR=/run/failover
PASS_HOLDS=40  # one that claims more is of another boot

promotes=no
data_dir=
before=
for argument in "$@"; do
    [ "$argument" = promote ] && promotes=yes
    [ "$before" = -D ] && data_dir=${argument%/}
    before=$argument
done
[ "$promotes" = yes ] || exec "$BIN_DIR/pg_ctl" "$@"

pass=$RUN_DIR/guard-${data_dir##*/}.pass
if [ -n "$data_dir" ] && [ -r "$pass" ]; then
    read -r until <"$pass"
    read -r uptime _ </proc/uptime
    now=${uptime%.*}${uptime#*.}
    rm -f "$pass"
    [ "$now" -lt "$until" ] 2>/dev/null && [ $((until - now)) -le $PASS_HOLDS ] &&
        exec "$BIN_DIR/pg_ctl" "$@"
fi
# Called by its path always; were it not, this would fail, which is a no.
exec "${0%/*}/promote" "$@"
