# Servers on local sockets in one container, with the barrier's own functions in between.
# a: the first primary; b: promoted to timeline 2; c: promoted to 3, because 2 was promised to b, of
# which it has seen nothing; d and e: standbys of a, and then of c.
# Every line of output is a fact that test_timeline_numbers.py expects.
set -e
bin=/usr/lib/postgresql/17/bin
data=/tmp/d
as() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
sql() { as $bin/psql -h /run/postgresql -p "$1" -XAtqc "$2" postgres; }
barrier() { as python3 -BISc "import sys; sys.path.insert(0, '/barrier'); import barrier; barrier.$1"; }
start() { as $bin/pg_ctl -D $data/$1 -w -o "-p $2" -l $data/$1.log start >/dev/null; }
copy() { as $bin/pg_basebackup -h /run/postgresql -p "$1" -D $data/$2 -R -c fast; }
follow() { sql "$1" "alter system set primary_conninfo = 'host=/run/postgresql port=$2'"; }
parents() { echo $(cut -f1 $data/$1/pg_wal/0000000$2.history); }
until_true() { for _ in $(seq 300); do test "$(sql "$1" "$2")" = t && return; sleep 0.1; done; false; }
trap 'tail -n 20 $data/*.log >&2' EXIT

install -d -o postgres $data /run/postgresql
as $bin/initdb -D $data/a --auth=trust --no-sync --data-checksums >/dev/null
echo "wal_keep_size = 128MB
wal_retrieve_retry_interval = 500ms" >> $data/a/postgresql.conf
start a 5431
copy 5431 base
rm $data/base/standby.signal
for one in b:5432 c:5433 d:5434 e:5435; do
    copy 5431 ${one%:*}
    start ${one%:*} ${one#*:}
done
sql 5431 "create table t (who text); insert into t values ('before')"
for port in 5432 5433 5434 5435; do until_true $port "select count(*) = 1 from pg_class where relname = 't'"; done
as mkdir $data/archive
as $bin/pg_ctl -D $data/a -w -m immediate stop >/dev/null

# b goes to 2; c must not.
as $bin/pg_ctl -D $data/b -w promote >/dev/null
sql 5432 "insert into t values ('on b'); checkpoint"
echo "b promoted: $(sql 5432 'select timeline_id from pg_control_checkpoint()')"

# A promotion that never comes about: what is reserved, PostgreSQL would take for its future.
barrier "reserve_timelines('$data/c', 3)"
for _ in $(seq 300); do grep -q 'is not a child' $data/c.log && break; sleep 0.1; done
echo "c runs on: $(grep -o 'new timeline .*' $data/c.log | tail -n 1)"
as $bin/pg_ctl -D $data/c -w -m immediate stop >/dev/null
as $bin/pg_ctl -D $data/c -w -t 5 -o '-p 5433' -l $data/c.log start >/dev/null 2>&1 ||
    echo "c comes up with it: no"
as $bin/pg_ctl -D $data/c -w -m immediate stop >/dev/null 2>&1 || true
barrier "forget_reserved('$data/c')"
start c 5433
echo "c comes up without it: $(sql 5433 'select pg_is_in_recovery()')"

# And one that does.
barrier "reserve_timelines('$data/c', 3)"
as $bin/pg_ctl -D $data/c -w promote >/dev/null
sql 5433 "insert into t values ('on c'); checkpoint"
echo "c promoted: $(sql 5433 'select timeline_id from pg_control_checkpoint()')"
echo "c's history: $(parents c 3)"

# d was on timeline 1 and streams on; e starts with half of what a receiver fetches.
follow 5434 5433
as $bin/pg_ctl -D $data/d reload >/dev/null
until_true 5434 "select count(*) = 1 from t where who = 'on c'"
echo "d follows: $(sql 5434 'select received_tli from pg_stat_wal_receiver')"
echo "d fetched: $(cd $data/d/pg_wal && echo *.history)"
follow 5435 5433
as $bin/pg_ctl -D $data/e -w -m fast stop >/dev/null
as cp $data/c/pg_wal/00000002.history $data/e/pg_wal
barrier "forget_reserved('$data/e')"
start e 5435
until_true 5435 "select count(*) = 1 from t where who = 'on c'"
echo "e, cut off half way, follows: $(sql 5435 'select received_tli from pg_stat_wal_receiver')"

# b, on the other branch, is rewound.
as $bin/pg_ctl -D $data/b -w -m fast stop >/dev/null
as $bin/pg_rewind -D $data/b -R \
    --source-server='host=/run/postgresql port=5433 user=postgres dbname=postgres' 2>$data/rewind.log
barrier "forget_reserved('$data/b')"
start b 5432
until_true 5432 "select count(*) = 1 from t where who = 'on c'"
echo "b follows: $(sql 5432 "select string_agg(who, ', ') from t")"

# A restore, from where the WAL of c was kept, but not what was reserved.
sql 5433 'select pg_switch_wal()' >/dev/null
as cp $data/a/pg_wal/00000001* $data/c/pg_wal/00000003* $data/archive
for target in latest 3; do
    as cp -r $data/base $data/to-$target
    as touch $data/to-$target/recovery.signal
    echo "restore_command = 'cp $data/archive/%f %p'
recovery_target_timeline = '$target'" >> $data/to-$target/postgresql.auto.conf
    start to-$target 5440
    until_true 5440 'select not pg_is_in_recovery()'
    echo "restored to $target: $(sql 5440 "select string_agg(who, ', ') from t")"
    as $bin/pg_ctl -D $data/to-$target -w -m immediate stop >/dev/null
done

# The next promotion, of a standby that fetched the reserved one: no gap, nothing to do.
as $bin/pg_ctl -D $data/c -w -m fast stop >/dev/null
barrier "reserve_timelines('$data/d', 4)"
as $bin/pg_ctl -D $data/d -w promote >/dev/null
sql 5434 checkpoint
echo "d promoted: $(sql 5434 'select timeline_id from pg_control_checkpoint()')"
echo "d's history: $(parents d 4)"
trap - EXIT
