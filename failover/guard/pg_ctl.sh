#!/bin/sh
# The pg_ctl barrier: only a promotion has to ask the guard, everything else goes straight on. Patroni
# reloads its server in the very moment of a promotion, and a Python started for that reload would
# compete with the one that asks for the permit (0.1 s on two busy cores).
BIN_DIR=/usr/lib/postgresql/17/bin

for argument in "$@"; do
    # Called by its path always; were it not, this would fail, which is a no.
    [ "$argument" = promote ] && exec "${0%/*}/promote" "$@"
done
exec "$BIN_DIR/pg_ctl" "$@"
