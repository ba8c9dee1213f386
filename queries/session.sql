-- Where the observer is connected, and what it finds there.
--
-- grain   one row
-- feeds   sample::live::Source
-- since   14
-- needs   nothing
-- cost    a few catalogue look-ups, once per connection, and each minute while pg_stat_statements is missing
/* pgjam */
select pg_catalog.statement_timestamp() as at,
       (select a.datid from pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) a) as database,
       (extract(epoch from pg_catalog.current_setting('deadlock_timeout')::interval) * 1000000)::bigint as deadlock_us,
       pg_catalog.current_setting('server_version_num')::integer as version,
       pg_catalog.pg_size_bytes(pg_catalog.current_setting('track_activity_query_size')) as text_bytes,
       (select n.nspname
          from pg_catalog.pg_extension e
          join pg_catalog.pg_namespace n on n.oid = e.extnamespace
         where e.extname = 'pg_stat_statements'
           and pg_catalog.has_schema_privilege(n.oid, 'USAGE')
           and (select pg_catalog.bool_and(pg_catalog.has_function_privilege(f.oid, 'EXECUTE'))
                  from pg_catalog.pg_proc f
                 where f.pronamespace = n.oid and f.proname = 'pg_stat_statements')) as statements_schema,
       exists (select from pg_catalog.pg_extension e
                 join pg_catalog.pg_proc f on f.pronamespace = e.extnamespace
                where e.extname = 'pg_stat_statements'
                  and f.proname = 'pg_stat_statements_info'
                  and pg_catalog.has_function_privilege(f.oid, 'EXECUTE')) as statements_info
