-- Rendered by `failover config render` from failover.yaml: do not edit.
-- Change failover.yaml, render again, and compare with `failover config render --check`.
-- How the controllers look for ways out of this cluster, and end what streams to outside, without being
-- able to read a row, a slot's contents or a statement (invariant I7), and what refuses the DDL that
-- would open one. Run after post-bootstrap.sql, on the primary, as the superuser; again at any time.
\set ON_ERROR_STOP 1
SET client_min_messages = 'warning';

-- Nobody logs in as this one. REPLICATION and pg_signal_backend are what end_sessions() needs to drop
-- a slot and to end a session; a superuser's session it cannot end.
SELECT 'CREATE ROLE failover_cutter NOLOGIN REPLICATION'
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'failover_cutter') \gexec
GRANT pg_signal_backend, pg_read_all_stats TO failover_cutter;
-- primary_conninfo and others are hidden from ordinary roles; the functions below pass on no more than
-- a host's name, or a fingerprint.
GRANT pg_read_all_settings TO failover_functions;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules() TO failover_functions;
GRANT CONNECT ON DATABASE marketplace TO failover_observer;  -- its catalogues are scanned
GRANT CREATE, USAGE ON SCHEMA failover TO failover_cutter;  -- CREATE: to become the owner, revoked below

-- What is asked every second is in PL/pgSQL, which keeps its plans for the session; a function in SQL is
-- planned anew at every call, and that was most of its cost.
-- Who is connected from where, and what walsenders do. Sessions of clients are counted, not listed.
CREATE OR REPLACE FUNCTION failover.sessions(
    OUT kind text, OUT role text, OUT superuser boolean, OUT database text, OUT address inet,
    OUT state text, OUT slot text, OUT sessions integer, OUT sent_bytes bigint)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT backend.backend_type, role.rolname::text, coalesce(role.rolsuper, false), base.datname::text,
           backend.client_addr,
           CASE WHEN backup.pid IS NOT NULL THEN 'backup' ELSE sender.state END,
           slot.slot_name::text, count(*)::integer, max(backup.param4)
    FROM pg_stat_get_activity(NULL) AS backend
    LEFT JOIN pg_roles AS role ON role.oid = backend.usesysid
    LEFT JOIN pg_database AS base ON base.oid = backend.datid
    LEFT JOIN pg_stat_get_wal_senders() AS sender ON sender.pid = backend.pid
    LEFT JOIN pg_stat_get_progress_info('BASEBACKUP') AS backup ON backup.pid = backend.pid
    LEFT JOIN pg_get_replication_slots() AS slot ON slot.active_pid = backend.pid
    WHERE backend.pid <> pg_backend_pid()
      AND (backend.backend_type IN ('client backend', 'walsender')
           OR backend.backend_type LIKE 'logical replication % worker')
    GROUP BY 1, 2, 3, 4, 5, 6, 7;
END
$$;

-- Who is let in, by the file as it is now, whether it was loaded or not. Without the options of a line:
-- a password may stand there.
CREATE OR REPLACE FUNCTION failover.hba_rules(
    OUT line integer, OUT type text, OUT databases text[], OUT roles text[], OUT address text,
    OUT netmask text, OUT method text, OUT broken boolean)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT line_number, type, database, user_name, address, netmask, auth_method, error IS NOT NULL
    FROM pg_hba_file_rules();
END
$$;

-- Settings that run a command, load a library or name a place, where they are set: their fingerprint.
CREATE OR REPLACE FUNCTION failover.out_settings(OUT name text, OUT sha256 text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT wanted.name, encode(sha256(convert_to(current_setting(wanted.name), 'UTF8')), 'hex')
    FROM unnest(ARRAY['archive_command', 'archive_library', 'archive_cleanup_command', 'recovery_end_command', 'restore_command', 'ssl_passphrase_command', 'shared_preload_libraries', 'session_preload_libraries', 'local_preload_libraries', 'log_destination', 'log_directory', 'dynamic_library_path']) AS wanted (name)
    WHERE current_setting(wanted.name, true) <> ''
      AND NOT (wanted.name = 'archive_command' AND current_setting('archive_mode') = 'off');
END
$$;

-- Where this server receives from, or would: hosts alone. '?' where it says none that can be told.
CREATE OR REPLACE FUNCTION failover.upstreams() RETURNS SETOF text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH setting AS (SELECT current_setting('primary_conninfo') AS conninfo),
    named AS (
        SELECT unnest(string_to_array(trim(BOTH '''' FROM found.value[1]), ',')) AS host
        FROM setting, regexp_matches(
            conninfo, '(?:^|\s)(?:host|hostaddr)\s*=\s*(''(?:[^''\\]|\\.)*''|\S+)', 'g') AS found (value)
        WHERE conninfo !~ '^\s*postgres(ql)?://'
    )
    SELECT host FROM named
    UNION
    SELECT '?' FROM setting WHERE conninfo <> '' AND NOT EXISTS (SELECT FROM named)
    UNION
    SELECT '?' FROM setting WHERE conninfo ~ '(^|\s)service\s*='
    UNION
    SELECT sender_host FROM pg_stat_wal_receiver WHERE sender_host IS NOT NULL;
END
$$;

-- Ends the sessions from one address (NULL: walsenders through the local socket that send something),
-- and drops the slots they held but for those in kept_slots. Says what it did.
CREATE OR REPLACE FUNCTION failover.end_sessions(
    outside inet, walsenders_only boolean, kept_slots text[],
    OUT kind text, OUT role text, OUT slot text, OUT ended boolean, OUT slot_dropped boolean)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT backend.pid, backend.backend_type, role.rolname, role.rolsuper,
               held.slot_name, held.temporary
        FROM pg_stat_get_activity(NULL) AS backend
        LEFT JOIN pg_roles AS role ON role.oid = backend.usesysid
        LEFT JOIN pg_stat_get_wal_senders() AS sender ON sender.pid = backend.pid
        LEFT JOIN pg_get_replication_slots() AS held ON held.active_pid = backend.pid
        WHERE backend.client_addr IS NOT DISTINCT FROM outside
          AND backend.pid <> pg_backend_pid()
          AND CASE backend.backend_type
                  WHEN 'walsender' THEN outside IS NOT NULL OR sender.state <> 'startup'
                  WHEN 'client backend' THEN outside IS NOT NULL AND NOT walsenders_only
                  ELSE false
              END
    LOOP
        kind := found.backend_type;
        role := found.rolname;
        slot := found.slot_name;
        ended := false;
        slot_dropped := false;
        IF NOT coalesce(found.rolsuper, false) THEN
            ended := pg_terminate_backend(found.pid, 500);
        END IF;
        IF ended AND slot IS NOT NULL AND NOT found.temporary AND NOT slot = ANY (kept_slots) THEN
            BEGIN
                PERFORM pg_drop_replication_slot(slot);
                slot_dropped := true;
            EXCEPTION WHEN object_in_use OR undefined_object THEN
                slot_dropped := false;
            END;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

ALTER FUNCTION failover.sessions() OWNER TO failover_functions;
ALTER FUNCTION failover.hba_rules() OWNER TO failover_functions;
ALTER FUNCTION failover.out_settings() OWNER TO failover_functions;
ALTER FUNCTION failover.upstreams() OWNER TO failover_functions;
ALTER FUNCTION failover.end_sessions(inet, boolean, text[]) OWNER TO failover_cutter;
REVOKE CREATE ON SCHEMA failover FROM failover_cutter;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA failover FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA failover TO failover_observer;

\connect postgres
SET client_min_messages = 'warning';
CREATE SCHEMA IF NOT EXISTS failover;
CREATE OR REPLACE FUNCTION failover.refuse_way_out() RETURNS event_trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made text;
BEGIN
    IF tg_event = 'ddl_command_start' THEN
        RAISE EXCEPTION '% is refused: customer data stays in declared networks', tg_tag
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'docs/residency.md says how a way is declared';
    END IF;
    SELECT string_agg(object_identity, ', ') INTO made
    FROM pg_event_trigger_ddl_commands()
    WHERE object_type = 'extension' AND object_identity = ANY (ARRAY['dblink', 'postgres_fdw', 'file_fdw', 'mysql_fdw', 'oracle_fdw', 'tds_fdw', 'mongo_fdw', 'redis_fdw', 'jdbc_fdw', 'odbc_fdw', 'sqlite_fdw', 'multicorn', 'parquet_s3_fdw', 'http', 'pg_net', 'pgsql_http', 'aws_s3', 'aws_lambda', 'pg_curl', 'pg_amqp', 'pglogical', 'pg_tle', 'plproxy', 'adminpack', 'plpython3u', 'plpythonu', 'plperlu', 'pltclu', 'plsh', 'pljava', 'plr', 'pllua']);
    IF made IS NOT NULL THEN
        RAISE EXCEPTION 'extension % is refused: customer data stays in declared networks', made
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'docs/residency.md says how a way is declared';
    END IF;
END
$$;
DROP EVENT TRIGGER IF EXISTS failover_refuse_way_out;
CREATE EVENT TRIGGER failover_refuse_way_out ON ddl_command_start
    WHEN TAG IN ('CREATE SUBSCRIPTION', 'ALTER SUBSCRIPTION', 'CREATE PUBLICATION', 'ALTER PUBLICATION', 'CREATE SERVER', 'ALTER SERVER', 'CREATE USER MAPPING', 'ALTER USER MAPPING', 'CREATE FOREIGN DATA WRAPPER', 'ALTER FOREIGN DATA WRAPPER', 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'IMPORT FOREIGN SCHEMA')
    EXECUTE FUNCTION failover.refuse_way_out();
ALTER EVENT TRIGGER failover_refuse_way_out ENABLE ALWAYS;
DROP EVENT TRIGGER IF EXISTS failover_refuse_extension;
CREATE EVENT TRIGGER failover_refuse_extension ON ddl_command_end
    WHEN TAG IN ('CREATE EXTENSION')
    EXECUTE FUNCTION failover.refuse_way_out();
ALTER EVENT TRIGGER failover_refuse_extension ENABLE ALWAYS;

\connect template1
SET client_min_messages = 'warning';
CREATE SCHEMA IF NOT EXISTS failover;
CREATE OR REPLACE FUNCTION failover.refuse_way_out() RETURNS event_trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made text;
BEGIN
    IF tg_event = 'ddl_command_start' THEN
        RAISE EXCEPTION '% is refused: customer data stays in declared networks', tg_tag
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'docs/residency.md says how a way is declared';
    END IF;
    SELECT string_agg(object_identity, ', ') INTO made
    FROM pg_event_trigger_ddl_commands()
    WHERE object_type = 'extension' AND object_identity = ANY (ARRAY['dblink', 'postgres_fdw', 'file_fdw', 'mysql_fdw', 'oracle_fdw', 'tds_fdw', 'mongo_fdw', 'redis_fdw', 'jdbc_fdw', 'odbc_fdw', 'sqlite_fdw', 'multicorn', 'parquet_s3_fdw', 'http', 'pg_net', 'pgsql_http', 'aws_s3', 'aws_lambda', 'pg_curl', 'pg_amqp', 'pglogical', 'pg_tle', 'plproxy', 'adminpack', 'plpython3u', 'plpythonu', 'plperlu', 'pltclu', 'plsh', 'pljava', 'plr', 'pllua']);
    IF made IS NOT NULL THEN
        RAISE EXCEPTION 'extension % is refused: customer data stays in declared networks', made
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'docs/residency.md says how a way is declared';
    END IF;
END
$$;
DROP EVENT TRIGGER IF EXISTS failover_refuse_way_out;
CREATE EVENT TRIGGER failover_refuse_way_out ON ddl_command_start
    WHEN TAG IN ('CREATE SUBSCRIPTION', 'ALTER SUBSCRIPTION', 'CREATE PUBLICATION', 'ALTER PUBLICATION', 'CREATE SERVER', 'ALTER SERVER', 'CREATE USER MAPPING', 'ALTER USER MAPPING', 'CREATE FOREIGN DATA WRAPPER', 'ALTER FOREIGN DATA WRAPPER', 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'IMPORT FOREIGN SCHEMA')
    EXECUTE FUNCTION failover.refuse_way_out();
ALTER EVENT TRIGGER failover_refuse_way_out ENABLE ALWAYS;
DROP EVENT TRIGGER IF EXISTS failover_refuse_extension;
CREATE EVENT TRIGGER failover_refuse_extension ON ddl_command_end
    WHEN TAG IN ('CREATE EXTENSION')
    EXECUTE FUNCTION failover.refuse_way_out();
ALTER EVENT TRIGGER failover_refuse_extension ENABLE ALWAYS;

\connect marketplace
SET client_min_messages = 'warning';
CREATE SCHEMA IF NOT EXISTS failover;
CREATE OR REPLACE FUNCTION failover.refuse_way_out() RETURNS event_trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made text;
BEGIN
    IF tg_event = 'ddl_command_start' THEN
        RAISE EXCEPTION '% is refused: customer data stays in declared networks', tg_tag
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'docs/residency.md says how a way is declared';
    END IF;
    SELECT string_agg(object_identity, ', ') INTO made
    FROM pg_event_trigger_ddl_commands()
    WHERE object_type = 'extension' AND object_identity = ANY (ARRAY['dblink', 'postgres_fdw', 'file_fdw', 'mysql_fdw', 'oracle_fdw', 'tds_fdw', 'mongo_fdw', 'redis_fdw', 'jdbc_fdw', 'odbc_fdw', 'sqlite_fdw', 'multicorn', 'parquet_s3_fdw', 'http', 'pg_net', 'pgsql_http', 'aws_s3', 'aws_lambda', 'pg_curl', 'pg_amqp', 'pglogical', 'pg_tle', 'plproxy', 'adminpack', 'plpython3u', 'plpythonu', 'plperlu', 'pltclu', 'plsh', 'pljava', 'plr', 'pllua']);
    IF made IS NOT NULL THEN
        RAISE EXCEPTION 'extension % is refused: customer data stays in declared networks', made
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'docs/residency.md says how a way is declared';
    END IF;
END
$$;
DROP EVENT TRIGGER IF EXISTS failover_refuse_way_out;
CREATE EVENT TRIGGER failover_refuse_way_out ON ddl_command_start
    WHEN TAG IN ('CREATE SUBSCRIPTION', 'ALTER SUBSCRIPTION', 'CREATE PUBLICATION', 'ALTER PUBLICATION', 'CREATE SERVER', 'ALTER SERVER', 'CREATE USER MAPPING', 'ALTER USER MAPPING', 'CREATE FOREIGN DATA WRAPPER', 'ALTER FOREIGN DATA WRAPPER', 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'IMPORT FOREIGN SCHEMA')
    EXECUTE FUNCTION failover.refuse_way_out();
ALTER EVENT TRIGGER failover_refuse_way_out ENABLE ALWAYS;
DROP EVENT TRIGGER IF EXISTS failover_refuse_extension;
CREATE EVENT TRIGGER failover_refuse_extension ON ddl_command_end
    WHEN TAG IN ('CREATE EXTENSION')
    EXECUTE FUNCTION failover.refuse_way_out();
ALTER EVENT TRIGGER failover_refuse_extension ENABLE ALWAYS;
