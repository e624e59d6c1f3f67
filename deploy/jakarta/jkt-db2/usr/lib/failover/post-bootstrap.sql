-- Rendered by `failover config render` from failover.yaml: do not edit.
-- Change failover.yaml, render again, and compare with `failover config render --check`.
-- The roles that Patroni does not create, the clients' database, and the narrow functions through
-- which the controllers see replication without being able to read a row (invariant I7).
\getenv observer_password FAILOVER_OBSERVER_PASSWORD
\getenv client_password FAILOVER_CLIENT_PASSWORD
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';

CREATE ROLE failover_observer LOGIN CONNECTION LIMIT 20 PASSWORD :'observer_password';
GRANT pg_use_reserved_connections TO failover_observer;
CREATE ROLE marketplace LOGIN PASSWORD :'client_password';
CREATE DATABASE marketplace OWNER marketplace;
REVOKE ALL ON DATABASE marketplace FROM PUBLIC;

-- Dead peers are noticed. Here, and not in Patroni's configuration, because Patroni would take these
-- for changed whenever it is told anything (patroni.yml says why). Every copy of the cluster has them.
ALTER SYSTEM SET tcp_keepalives_idle = '5s';
ALTER SYSTEM SET tcp_keepalives_interval = '2s';
ALTER SYSTEM SET tcp_keepalives_count = 3;
ALTER SYSTEM SET tcp_user_timeout = '10s';
SELECT pg_catalog.pg_reload_conf();

-- pg_stat_wal_receiver and pg_stat_replication hide everything from ordinary roles, and pg_monitor
-- would show other sessions' statements. So: an owner nobody can log in as, and functions that
-- return just these columns, and one that has a checkpoint made.
CREATE ROLE failover_functions NOLOGIN;
GRANT pg_read_all_stats, pg_checkpoint TO failover_functions;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_waldir() TO failover_functions;
CREATE SCHEMA failover;
REVOKE ALL ON SCHEMA failover FROM PUBLIC;
GRANT USAGE ON SCHEMA failover TO failover_observer;

CREATE FUNCTION failover.wal_receiver(
    OUT status text, OUT sender_host text, OUT sender_port integer, OUT slot_name text,
    OUT received_tli integer, OUT flushed_lsn pg_lsn, OUT last_message_age_s double precision)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT status, sender_host, sender_port, slot_name, received_tli, flushed_lsn,
           extract(epoch FROM clock_timestamp() - last_msg_receipt_time)
    FROM pg_catalog.pg_stat_wal_receiver
$$;

-- The timeline of the WAL at hand. A standby whose receiver is gone says so nowhere else: what its
-- control file names is as old as its last restartpoint. NULL where the next byte starts a segment.
CREATE FUNCTION failover.wal_timeline() RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT max(split.timeline_id)::integer
    FROM pg_catalog.pg_ls_waldir() AS file
    CROSS JOIN LATERAL pg_catalog.pg_split_walfile_name(file.name) AS split
    WHERE file.name ~ '^[0-9A-F]{24}$'
      AND split.segment_number = pg_catalog.trunc(
          (greatest(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
           - '0/0'::pg_catalog.pg_lsn)
          / pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size')))
$$;

CREATE FUNCTION failover.walsenders(
    OUT application_name text, OUT client_addr inet, OUT state text, OUT sent_lsn pg_lsn,
    OUT flush_lsn pg_lsn, OUT replay_lsn pg_lsn, OUT sync_state text)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT application_name, client_addr, state, sent_lsn, flush_lsn, replay_lsn, sync_state
    FROM pg_catalog.pg_stat_replication
$$;

-- Whether the checkpointer stands where it has taken in every setting. It sets the mark that makes
-- commits wait for standbys, and may be busy when the setting comes. NULL: there is none.
CREATE FUNCTION failover.checkpointer_idle() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT wait_event IS NOT DISTINCT FROM 'CheckpointerMain'
           OR wait_event IS NOT DISTINCT FROM 'CheckpointWriteDelay'
    FROM pg_catalog.pg_stat_activity WHERE backend_type = 'checkpointer'
$$;

-- What a new copy of the cluster has to carry (`failover reseed`): one number.
CREATE FUNCTION failover.databases_bytes() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sum(pg_catalog.pg_database_size(oid))::bigint FROM pg_catalog.pg_database
$$;

-- What is dirty is written out while customers still write (`failover switchover`): a server that stops
-- writes it out too, and nobody writes then.
CREATE FUNCTION failover.checkpoint() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CHECKPOINT;
END
$$;

ALTER FUNCTION failover.wal_receiver() OWNER TO failover_functions;
ALTER FUNCTION failover.wal_timeline() OWNER TO failover_functions;
ALTER FUNCTION failover.walsenders() OWNER TO failover_functions;
ALTER FUNCTION failover.checkpointer_idle() OWNER TO failover_functions;
ALTER FUNCTION failover.databases_bytes() OWNER TO failover_functions;
ALTER FUNCTION failover.checkpoint() OWNER TO failover_functions;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA failover FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA failover TO failover_observer;
