-- What the server is, and what this role may see of it.
--
-- grain   one row
-- feeds   doctor::Facts
-- since   14 (compute_query_id)
-- needs   nothing: what is lacking is the answer
-- cost    a few catalogue look-ups
SELECT pg_is_in_recovery() AS in_recovery,
       (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8 AS started_at,
       current_user AS role,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_others,
       pg_has_role(current_user, 'pg_read_all_stats', 'MEMBER') AS is_member,
       (SELECT own.rolsuper FROM pg_roles AS own WHERE own.rolname = current_user) AS superuser,
       -- True for a superuser as well; whom else it may signal, its own roles' sessions, is not asked.
       pg_has_role(current_user, 'pg_signal_backend', 'USAGE') AS may_signal,
       -- Null before 18, which has no such role.
       (SELECT pg_has_role(current_user, power.oid, 'USAGE')
          FROM pg_roles AS power
         WHERE power.rolname = 'pg_signal_autovacuum_worker') AS may_signal_autovacuum,
       current_setting('track_activities')::bool AS track_activities,
       pg_size_bytes(current_setting('track_activity_query_size'))::int8 AS query_size,
       current_setting('compute_query_id') AS compute_query_id,
       current_setting('log_lock_waits')::bool AS log_lock_waits,
       (extract(epoch FROM current_setting('deadlock_timeout')::interval) * 1000000)::int8 AS deadlock_timeout,
       current_setting('max_connections')::int4 AS max_connections,
       -- Where the library is not loaded the setting is unknown or a mere placeholder;
       -- shared_preload_libraries itself is not for every role to read.
       EXISTS (SELECT FROM pg_show_all_settings() AS setting
                WHERE setting.name = 'pg_stat_statements.max' AND setting.context = 'postmaster') AS statements_preloaded,
       statements.schema AS statements_schema,
       coalesce(statements.readable, false) AS statements_readable
  FROM (SELECT) AS one
  LEFT JOIN (SELECT namespace.nspname AS schema,
                    has_schema_privilege(namespace.oid, 'USAGE')
                    AND bool_and(has_function_privilege(function.oid, 'EXECUTE')) AS readable
               FROM pg_extension AS extension
               JOIN pg_namespace AS namespace ON namespace.oid = extension.extnamespace
               JOIN pg_proc AS function ON function.pronamespace = namespace.oid
                                       AND function.proname = 'pg_stat_statements'
              WHERE extension.extname = 'pg_stat_statements'
              GROUP BY namespace.oid, namespace.nspname) AS statements ON true
