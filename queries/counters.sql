-- How often each statement ran, and what it took, as pg_stat_statements counted it.
--
-- grain   one row per database and statement, summed over users; one with nulls when there are none
-- feeds   sample::Counters
-- since   14
-- needs   pg_stat_statements in the connected database; pg_read_all_stats, or the ids of other roles come back null
-- cost    12 ms at 5,000 statements; texts are not read
--
-- Only what clients called themselves is counted, since an activity's query_id is that of the
-- outermost statement. Before 1.9 the extension has no column toplevel: there the name means the
-- outer one, which is true.
--
-- The schema of the extension is filled in for :"schema", quoted, as psql -v schema=NAME does it too.
/* pgjam */
select pg_catalog.statement_timestamp() as at,
       s.*
  from (values (true)) always (toplevel)
  left join lateral (
       select dbid                          as database,
              queryid                       as query_id,
              sum(calls)::bigint            as calls,
              sum(total_exec_time)          as exec_ms,
              sum(rows)::bigint             as rows,
              sum(shared_blks_hit)::bigint  as blocks_hit,
              sum(shared_blks_read)::bigint as blocks_read,
              sum(wal_bytes)::bigint        as wal_bytes
         from :"schema".pg_stat_statements(false)
        where toplevel
        group by dbid, queryid) s on true
