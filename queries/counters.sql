-- How often each statement ran, and what it took, as pg_stat_statements counted it.
--
-- grain   one row per database and statement, summed over users and nesting; one with nulls when there are none
-- feeds   sample::Counters
-- since   14
-- needs   pg_stat_statements in the connected database; pg_read_all_stats, or the ids of other roles come back null
-- cost    12 ms at 5,000 statements; texts are not read
--
-- The schema of the extension is filled in for :"schema", quoted, as psql -v schema=NAME does it too.
/* pgjam */
select pg_catalog.statement_timestamp() as at,
       s.*
  from (values (1)) always
  left join (select dbid                          as database,
                    queryid                       as query_id,
                    sum(calls)::bigint            as calls,
                    sum(total_exec_time)          as exec_ms,
                    sum(rows)::bigint             as rows,
                    sum(shared_blks_hit)::bigint  as blocks_hit,
                    sum(shared_blks_read)::bigint as blocks_read,
                    sum(wal_bytes)::bigint        as wal_bytes
               from :"schema".pg_stat_statements(false)
              group by dbid, queryid) s on true
