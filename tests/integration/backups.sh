# Servers on local sockets in one container, each with pgBackRest; a repository is a directory.
# a: the primary of jakarta; b: makassar's standby, promoted to timeline 3 because 2 was promised to somebody
# it has seen nothing of; c: jakarta's other host, promoted to 2; d and f: two that are promoted without a promise.
# Repositories: jakarta (a pushes), makassar (b pushes), mirror (a copy of jakarta's, as makassar pulls it), and
# shared, the arrangement that the guide warns of: a, b and c push into it; twice: d and f do.
# Every line of output is a fact that test_backups.py expects.
set -e
bin=/usr/lib/postgresql/17/bin
data=/tmp/d
as() { setpriv --reuid=postgres --regid=postgres --clear-groups env HOME=/tmp "$@"; }
sql() { as $bin/psql -h /run/postgresql -p "$1" -XAtqc "$2" postgres; }
barrier() { as python3 -BISc "import sys; sys.path.insert(0, '/barrier'); import barrier; barrier.$1"; }
start() { as $bin/pg_ctl -D $data/$1 -w -o "-p $2" -l $data/$1.log start >/dev/null; }
kill_now() { as $bin/pg_ctl -D $data/$1 -w -m immediate stop >/dev/null; }
rest() { as pgbackrest --config=$data/$1.conf --stanza=main "${@:2}" 2>&1; }
until_true() { for _ in $(seq 300); do test "$(sql "$1" "$2")" = t && return; sleep 0.1; done; echo "never: $2" >&2; false; }
rows() { sql "$1" "select string_agg(who, ', ' order by id) from t"; }
archived() { # every segment that is complete is in the repositories
    last=$(sql "$1" "select pg_walfile_name(pg_switch_wal())")
    until_true "$1" "select last_archived_wal >= '$last' from pg_stat_archiver"
}
names() { (cd $data/repo/$1/archive/main/17-1 && find . -type f | sed 's|.*/||; s/-[0-9a-f]\{40\}//; s/\.gz$//' | LC_ALL=C sort); }
sums() { (cd $data/repo && find . -path '*/archive/main/17-1/*' -type f -exec sha256sum {} + | LC_ALL=C sort); }
part() { # a standby hears no more
    sql $1 "alter system set primary_conninfo = ''"
    sql $1 "select pg_reload_conf()" >/dev/null
    until_true $1 "select count(*) = 0 from pg_stat_wal_receiver"
}
refused() { grep -q 'already exists in the .* archive with a different checksum' $data/$1.log && echo refused; }
config() { # of whom: repositories, then ports of the servers that it looks for the primary
    who=$1; repositories=$2; shift 2
    { echo "[global]"
      echo "log-level-file=off"; echo "lock-path=$data/$who.lock"; echo "archive-timeout=30"; echo "compress-level=1"
      number=0
      for repository in $repositories; do
          number=$((number + 1))
          echo "repo$number-path=$data/repo/$repository"; echo "repo$number-retention-full=9"
      done
      echo "[main]"
      number=0
      for one in "$@"; do
          number=$((number + 1))
          echo "pg$number-path=$data/${one%:*}"; echo "pg$number-port=${one#*:}"
          echo "pg$number-socket-path=/run/postgresql"; echo "pg$number-user=postgres"
      done
    } | as tee $data/$who.conf >/dev/null
}
restore() { # what it is, name, whose configuration, repository's number, options
    what=$1; shift
    rest $2 --repo=$3 --pg1-path=$data/$1 "${@:4}" --log-level-console=error restore >&2
    as sed -i '/^archive_mode/d' $data/$1/postgresql.auto.conf
    echo "archive_mode = off" >> $data/$1/postgresql.auto.conf # nothing that is tried out may push
    start $1 5450
    until_true 5450 "select not pg_is_in_recovery()"
    echo "$what: $(rows 5450)"
    kill_now $1
}
trap 'tail -n 20 $data/*.log >&2' EXIT

install -d -o postgres $data $data/repo /run/postgresql
config a "jakarta shared" a:5431
config b "makassar shared" b:5432
config m "makassar mirror" b:5432 # to restore only: a push goes into every repository of its configuration
config e "makassar mirror-early" b:5432
config c "shared" c:5433
config both "jakarta" a:5431 b:5432
config d "twice" d:5434
config f "twice" f:5436
as $bin/initdb -D $data/a --auth=trust --no-sync --data-checksums >/dev/null
echo "wal_keep_size = 512MB
wal_retrieve_retry_interval = 500ms
wal_log_hints = on
archive_mode = on
archive_command = 'pgbackrest --config=$data/a.conf --stanza=main archive-push %p'" >> $data/a/postgresql.conf
start a 5431
rest a --log-level-console=error stanza-create
for one in b:5432 c:5433 d:5434; do
    as $bin/pg_basebackup -h /run/postgresql -p 5431 -D $data/${one%:*} -R -c fast
    as sed -i "s|$data/a.conf|$data/${one%:*}.conf|" $data/${one%:*}/postgresql.conf
    start ${one%:*} ${one#*:}
done
rest b --no-online --log-level-console=error stanza-create >&2
sql 5431 "create table t (id int generated always as identity, who text); insert into t (who) values ('old')"
rest a --repo=1 --type=full --log-level-console=error backup >&2
rest a --repo=2 --type=full --log-level-console=error backup >&2
sql 5431 "insert into t (who) values ('before')"
archived 5431
until_true 5432 "select pg_last_wal_replay_lsn() >= '$(sql 5431 'select pg_current_wal_lsn()')'"
as cp -r $data/repo/jakarta $data/repo/mirror-early
# Complete in jakarta's repository and received in makassar, and the mirror was pulled before it.
sql 5431 "insert into t (who) values ('late')"
archived 5431
sql 5431 "select pg_logical_emit_message(true, 'of the segment', 'that the others have more of')" >/dev/null
until_true 5433 "select pg_last_wal_replay_lsn() >= '$(sql 5431 'select pg_current_wal_lsn()')'"
part 5433
sql 5431 "insert into t (who) values ('last')"
at=$(sql 5431 'select pg_current_wal_insert_lsn()')
for port in 5432 5434; do until_true $port "select pg_last_wal_replay_lsn() >= '$at'"; done
as cp -r $data/repo/jakarta $data/repo/mirror
echo "a standby's own pushes: $(names makassar 2>/dev/null | wc -l)"

# The sites part. The old primary goes on for as long as its lease, and archives.
part 5432
part 5434
split=$(sql 5431 "select pg_walfile_name(pg_current_wal_insert_lsn())")
for n in 1 2 3; do sql 5431 "insert into t (who) values ('on a $n')"; archived 5431; done
sums | tee $data/before.sums >/dev/null
echo "old primary archived after the split: $(names shared | awk -v s=$split '$0 >= s' | grep -c '^00000001')"

echo "a backup at the standby site: $(rest b --repo=1 backup | grep -o 'unable to find primary cluster')"

# The takeover, to the number that was promised.
barrier "reserve_timelines('$data/b', 3)"
as $bin/pg_ctl -D $data/b -w promote >/dev/null
sql 5432 "insert into t (who) values ('on b'); checkpoint"
archived 5432
echo "new timeline: $(sql 5432 'select timeline_id from pg_control_checkpoint()')"
echo "makassar archived: $(names makassar | sed 's/^\(0000000.\)[0-9A-F]*$/\1/; s/^\(0000000.\)[0-9A-F]*\.partial/\1.partial/' | uniq | tr '\n' ' ')"
echo "the split segment of the old timeline: $(names shared | grep "^$split" | sed "s/^$split/split/" | tr '\n' ' ')"
echo "a backup with both asked: $(rest both --repo=1 backup | grep -o 'more than one primary cluster found')"
rest b --repo=1 --type=full --log-level-console=error backup >&2
sql 5432 "insert into t (who) values ('after the backup')"
archived 5432
# a goes on once more, into a repository that the survivor uses
sql 5431 "insert into t (who) values ('on a 4')"
archived 5431

# What a backup gives back.
echo "new primary: $(rows 5432)"
# The backup in one repository, WAL in two: --target-timeline would look for the history in the first alone,
# and so would the restore_command that is written for --repo.
across() { restore "$1" $2 $3 2 --recovery-option=recovery_target_timeline=3 \
    --recovery-option="restore_command=pgbackrest --config=$data/$3.conf --stanza=main --pg1-path=$data/$2 archive-get %f \"%p\""; }
restore "new backup" r1 b 1 --target-timeline=3
across "old backup, mirror and own" r2 m
restore "old backup, shared" r3 b 2 --target-timeline=3
restore "old backup, shared, latest" r4 b 2 --target-timeline=latest
across "old backup, mirror too early" r5 e
echo "it says: $(grep -c 'archive recovery complete' $data/r5.log) complete, $(grep -cE 'FATAL|ERROR' $data/r5.log) errors"
missing=$(LC_ALL=C comm -13 <(names mirror-early) <(names mirror) | grep '^00000001')
for one in $missing; do rest b --pg1-path=$data/b --log-level-console=error archive-push $data/b/pg_wal/$one >&2; done
echo "pushed by hand: $(echo $missing | wc -w)"
across "old backup, mirror too early, gap pushed" r6 e

# The old primary returns: in quarantine it is a standby without an upstream.
sql 5431 "alter system set archive_command = 'false'"
sql 5431 "select pg_reload_conf()" >/dev/null
sql 5431 "insert into t (who) values ('on a 5')"
sql 5431 "select pg_switch_wal()" >/dev/null
for _ in $(seq 100); do ls $data/a/pg_wal/archive_status/*.ready >/dev/null 2>&1 && break; sleep 0.1; done
kill_now a
as sed -i /archive_command/d $data/a/postgresql.auto.conf
had=$(names shared | wc -l)
echo "restore_command = 'false'" >> $data/a/postgresql.auto.conf
as touch $data/a/standby.signal
start a 5431
echo "in quarantine, to be archived: $(ls $data/a/pg_wal/archive_status | grep -c ready)"
echo "in quarantine, archivers: $(sql 5431 "select count(*) from pg_stat_activity where backend_type = 'archiver'")"
as $bin/pg_ctl -D $data/a -w -m fast stop >/dev/null
echo "in quarantine, pushed: $(($(names shared | wc -l) - had))"
as $bin/pg_rewind -D $data/a -R --source-server='host=/run/postgresql port=5432 user=postgres dbname=postgres' 2>$data/rewind.log
barrier "forget_reserved('$data/a')"
as sed -i "s|$data/b.conf|$data/a.conf|" $data/a/postgresql.conf
start a 5431
until_true 5431 "select count(*) = 1 from t where who = 'after the backup'"
echo "rewound, to be archived: $(ls $data/a/pg_wal/archive_status | grep -c ready || true)"
# It goes back: a switchover, and what it archives then.
as $bin/pg_ctl -D $data/b -w -m fast stop >/dev/null
barrier "reserve_timelines('$data/a', 4)"
as $bin/pg_ctl -D $data/a -w promote >/dev/null
sql 5431 "insert into t (who) values ('back on a'); checkpoint"
archived 5431
for n in 1 2 3; do sql 5431 "insert into t (who) values ('back on a')"; archived 5431; sql 5431 checkpoint; done
echo "back: $(sql 5431 'select timeline_id from pg_control_checkpoint()'), failed $(sql 5431 'select failed_count from pg_stat_archiver where last_failed_time > last_archived_time' | grep -c . || true)"

sums | tee $data/after.sums >/dev/null
echo "archived before and changed since: $(LC_ALL=C comm -23 $data/before.sums $data/after.sums | wc -l)"
for each in jakarta makassar shared; do echo "names given twice in $each: $(names $each | uniq -d | wc -l)"; done

kill_now a
as $bin/pg_ctl -D $data/a -w -o "-p 5431 -c archive_mode=always" -l $data/a.log start >/dev/null
echo "archive_mode always: $(rest a check | grep -o 'archive_mode=always not supported')"
kill_now a

# Jakarta's own local failover, of the same segment, to the number that it was promised: in one repository the
# rest of the old timeline (.partial) is there already.
as $bin/pg_ctl -D $data/c -w -m fast stop >/dev/null
as cp -r $data/c $data/f
barrier "reserve_timelines('$data/c', 2)"
start c 5433
as $bin/pg_ctl -D $data/c -w promote >/dev/null
sql 5433 "checkpoint; select pg_switch_wal()" >/dev/null
until_true 5433 "select failed_count > 0 from pg_stat_archiver"
echo "two promotions from one segment: stuck at $(sql 5433 "select regexp_replace(last_failed_wal, '^00000001[0-9A-F]{16}', '1') from pg_stat_archiver"), $(refused c)"

# Without the promise: two standbys that take the same number.
for one in d f; do
    as sed -i "s|$data/[a-f].conf|$data/$one.conf|" $data/$one/postgresql.conf
    rest $one --no-online --log-level-console=error stanza-create >&2
done
kill_now c
start f 5436
as $bin/pg_ctl -D $data/f -w promote >/dev/null
archived 5436
sql 5434 "select pg_reload_conf()" >/dev/null
as $bin/pg_ctl -D $data/d -w promote >/dev/null
sql 5434 "checkpoint; select pg_switch_wal()" >/dev/null
until_true 5434 "select failed_count > 0 from pg_stat_archiver"
echo "one number twice: $(sql 5434 'select timeline_id from pg_control_checkpoint()') and $(sql 5436 'checkpoint; select timeline_id from pg_control_checkpoint()' | tail -n 1), $(refused d)"
trap - EXIT
