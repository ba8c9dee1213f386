-- How much is done to each table of the connected database, as the server counted it.
--
-- grain   one row per table that is asked for or was written or read whole, the busiest 200; counters are cumulative
-- feeds   sample::TableCounters
-- since   14
-- needs   nothing: the catalogue and these counters are open to everyone
-- cost    one pass over pg_class, 5 counters of each table: see the pause in sample::slow
--
-- $1 tables that are of interest however little is done to them, and those of the system.
-- It locks pg_class in the weakest mode, and no table: the counters come from functions by oid. It can
-- wait behind DDL on the catalogue itself: run it with a lock_timeout, apart from the tick.
/* pgjam */
with busy as materialized (
    select c.oid,
           pg_catalog.pg_stat_get_tuples_inserted(c.oid) as inserted,
           pg_catalog.pg_stat_get_tuples_updated(c.oid)  as updated,
           pg_catalog.pg_stat_get_tuples_deleted(c.oid)  as deleted,
           pg_catalog.pg_stat_get_numscans(c.oid)        as seq_scans,
           pg_catalog.pg_stat_get_tuples_returned(c.oid) as seq_rows
      from pg_catalog.pg_class c
     where c.relkind in ('r', 'm') and c.oid >= 16384
        or c.oid = any ($1::oid[])
),
told as (
    select *
      from busy
     where inserted + updated + deleted + seq_scans > 0
     order by oid = any ($1::oid[]) desc, inserted + updated + deleted + seq_rows desc, oid
     limit 200
)
select pg_catalog.statement_timestamp() as at,
       told.oid as "table",
       inserted,
       updated,
       deleted,
       pg_catalog.pg_stat_get_tuples_hot_updated(told.oid) as hot_updated,
       seq_scans,
       seq_rows,
       (select coalesce(pg_catalog.sum(pg_catalog.pg_stat_get_numscans(i.indexrelid)), 0)::bigint
          from pg_catalog.pg_index i
         where i.indrelid = told.oid)                        as index_scans,
       pg_catalog.pg_stat_get_live_tuples(told.oid)          as live_rows,
       pg_catalog.pg_stat_get_dead_tuples(told.oid)          as dead_rows,
       pg_catalog.pg_stat_get_vacuum_count(told.oid)         as vacuums,
       pg_catalog.pg_stat_get_autovacuum_count(told.oid)     as autovacuums,
       pg_catalog.pg_stat_get_last_autovacuum_time(told.oid) as last_autovacuum,
       pg_catalog.pg_stat_get_last_autoanalyze_time(told.oid) as last_autoanalyze
  from told
