-- Since when pg_stat_statements counts, and how often it had no room.
--
-- grain   one row per counter, named
-- feeds   sample::ServerCounter
-- since   14
-- needs   pg_stat_statements 1.9 or newer in the connected database
-- cost    two values in shared memory
--
-- The schema of the extension is filled in for :"schema", quoted, as psql -v schema=NAME does it too.
/* pgjam */
select pg_catalog.statement_timestamp() as at, c.name, c.value::bigint as value
  from :"schema".pg_stat_statements_info() i,
       lateral (values ('statements_evictions', i.dealloc),
                       ('statements_since_us', extract(epoch from i.stats_reset) * 1000000)) c (name, value)
