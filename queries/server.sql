-- What the server as a whole counts: WAL, checkpoints, I/O; since when it runs, and as what.
--
-- grain   one row per counter, named; most are cumulative
-- feeds   sample::ServerCounter
-- since   17 (pg_stat_get_checkpointer_num_timed); server_16 and server_14 tell the same of older ones
-- needs   nothing
-- cost    some hundred counters in shared memory
/* pgjam */
select pg_catalog.statement_timestamp() as at, c.name, c.value::bigint as value
  from (values
         ('started_us', extract(epoch from pg_catalog.pg_postmaster_start_time()) * 1000000),
         ('in_recovery', pg_catalog.pg_is_in_recovery()::int),
         ('checkpoints_timed', pg_catalog.pg_stat_get_checkpointer_num_timed()),
         ('checkpoints_requested', pg_catalog.pg_stat_get_checkpointer_num_requested()),
         ('checkpoint_write_ms', pg_catalog.pg_stat_get_checkpointer_write_time()),
         ('checkpoint_sync_ms', pg_catalog.pg_stat_get_checkpointer_sync_time()),
         ('checkpoint_buffers', pg_catalog.pg_stat_get_checkpointer_buffers_written()),
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
union all
select pg_catalog.statement_timestamp(), 'io_' || c.name, pg_catalog.sum(c.value)::bigint
  from pg_catalog.pg_stat_get_io() io,
       lateral (values ('reads', io.reads), ('writes', io.writes), ('extends', io.extends),
                       ('evictions', io.evictions), ('fsyncs', io.fsyncs)) c (name, value)
 group by c.name
