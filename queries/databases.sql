-- How much is done in each database, as the server counted it.
--
-- grain   one row per database that somebody is connected to, and one of database 0 for what all share; cumulative
-- feeds   sample::DatabaseCounters
-- since   14
-- needs   nothing: these counters are open to everyone
-- cost    one pass over the activity array
--
-- Functions, not pg_stat_database, which locks a catalogue. Nothing happens in a database that nobody is
-- connected to, but what autovacuum does.
/* pgjam */
select pg_catalog.statement_timestamp() as at,
       d.oid                                             as database,
       pg_catalog.pg_stat_get_db_xact_commit(d.oid)      as commits,
       pg_catalog.pg_stat_get_db_xact_rollback(d.oid)    as rollbacks,
       pg_catalog.pg_stat_get_db_blocks_fetched(d.oid)
         - pg_catalog.pg_stat_get_db_blocks_hit(d.oid)   as blocks_read,
       pg_catalog.pg_stat_get_db_blocks_hit(d.oid)       as blocks_hit,
       pg_catalog.pg_stat_get_db_tuples_returned(d.oid)  as rows_returned,
       pg_catalog.pg_stat_get_db_tuples_fetched(d.oid)   as rows_fetched,
       pg_catalog.pg_stat_get_db_tuples_inserted(d.oid)  as inserted,
       pg_catalog.pg_stat_get_db_tuples_updated(d.oid)   as updated,
       pg_catalog.pg_stat_get_db_tuples_deleted(d.oid)   as deleted,
       pg_catalog.pg_stat_get_db_conflict_all(d.oid)     as conflicts,
       pg_catalog.pg_stat_get_db_temp_files(d.oid)       as temp_files,
       pg_catalog.pg_stat_get_db_temp_bytes(d.oid)       as temp_bytes,
       pg_catalog.pg_stat_get_db_deadlocks(d.oid)        as deadlocks,
       pg_catalog.pg_stat_get_db_stat_reset_time(d.oid)  as stats_reset
  from (select distinct coalesce(a.datid, 0)::oid as oid
          from pg_catalog.pg_stat_get_activity(null) a
        union
        select 0::oid) d
