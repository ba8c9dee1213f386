-- What the server as a whole counts: WAL and checkpoints; since when it runs, and as what.
--
-- grain   one row per counter, named; most are cumulative
-- feeds   sample::ServerCounter
-- since   14 to 15, which count no I/O: server_16.sql tells the same of 16
-- needs   nothing
-- cost    a few counters in shared memory
/* pgjam */
select pg_catalog.statement_timestamp() as at, c.name, c.value::bigint as value
  from (values
         ('started_us', extract(epoch from pg_catalog.pg_postmaster_start_time()) * 1000000),
         ('in_recovery', pg_catalog.pg_is_in_recovery()::int),
         ('checkpoints_timed', pg_catalog.pg_stat_get_bgwriter_timed_checkpoints()),
         ('checkpoints_requested', pg_catalog.pg_stat_get_bgwriter_requested_checkpoints()),
         ('checkpoint_write_ms', pg_catalog.pg_stat_get_checkpoint_write_time()),
         ('checkpoint_sync_ms', pg_catalog.pg_stat_get_checkpoint_sync_time()),
         ('checkpoint_buffers', pg_catalog.pg_stat_get_bgwriter_buf_written_checkpoints()),
         ('bgwriter_buffers', pg_catalog.pg_stat_get_bgwriter_buf_written_clean()),
         ('bgwriter_halts', pg_catalog.pg_stat_get_bgwriter_maxwritten_clean()),
         ('buffers_allocated', pg_catalog.pg_stat_get_buf_alloc())) c (name, value)
union all
-- Told by the file that is written now: a promotion shows.
select pg_catalog.statement_timestamp(), 'timeline',
       ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::bigint
 where not pg_catalog.pg_is_in_recovery()
union all
select pg_catalog.statement_timestamp(), c.name, c.value::bigint
  from pg_catalog.pg_stat_get_wal() w,
       lateral (values ('wal_records', w.wal_records),
                       ('wal_full_pages', w.wal_fpi),
                       ('wal_bytes', w.wal_bytes),
                       ('wal_buffers_full', w.wal_buffers_full)) c (name, value)
