-- Who is active, who waits for a heavyweight lock, and who is in the way.
--
-- grain   one row per session, lock entry, prepared transaction and safe-snapshot wait of interest, and one for the tick
-- feeds   sample::Snapshot
-- since   14 (query_id, pg_locks.waitstart)
-- needs   pg_read_all_stats, or the rows of other roles come back blank
-- cost    one pass over the activity; one over the lock table, only when somebody waits for a lock: on 15.18
--         0.3 to 0.6 ms of CPU with 100 to 500 idle sessions, 7 to 11 us a session in a queue of 100 to 1,000,
--         1 us for each other lock entry (benches/server)
--
-- $1 the instant of the last tick: who became idle since is told once more, with its last statement;
-- $2 the query ids whose text is known; $3 whether texts are wanted all the same.
--
-- Functions, not views: pg_stat_activity and pg_prepared_xacts lock catalogues, and would wait behind
-- their DDL. No text function touches query: its bytes may be invalid in this database's encoding;
-- textsend gives them as they are, as long as client_encoding is SQL_ASCII.
/* pgjam */
with activity as materialized (
    select *
      from pg_catalog.pg_stat_get_activity(null)
     where pid <> pg_catalog.pg_backend_pid()
       and application_name is distinct from 'pgjam'
),
-- The first condition speaks of nothing in pg_lock_status, so it filters once and the function is not called.
-- A fast-path entry is read apart from the rest and blocks nobody; it is kept for the table it names.
-- In front stands what every later pass reads of every entry.
entry as materialized (
    select granted, fastpath, locktype, mode, virtualtransaction as owner, pid,
           database, relation, page, tuple, virtualxid, transactionid, classid, objid, objsubid, waitstart
      from pg_catalog.pg_lock_status()
     where exists (select from activity where wait_event_type = 'Lock')
       and (not fastpath or locktype = 'relation' and mode <> 'AccessShareLock')
       and mode <> 'SIReadLock'
       and pid is distinct from pg_catalog.pg_backend_pid()
),
waiting as materialized (
    select * from entry where not granted
),
-- What is held of that which somebody waits for. Within a locktype the same columns are null, so these
-- tell targets apart. Composing a text of them takes several times as long as comparing them, IS NOT
-- DISTINCT FROM compares each with each, and xid has no order, which IN over rows would want.
held as materialized (
    select *
      from entry h
     where granted
       and not fastpath
       and exists (select
                     from waiting w
                    where w.locktype = h.locktype
                      and coalesce(w.database, 0) = coalesce(h.database, 0)
                      and coalesce(w.relation, w.classid, 0) = coalesce(h.relation, h.classid, 0)
                      and coalesce(w.objid, 0) = coalesce(h.objid, 0)
                      and coalesce(w.page, 0) = coalesce(h.page, 0)
                      and coalesce(w.tuple, w.objsubid, 0) = coalesce(h.tuple, h.objsubid, 0)
                      and coalesce(w.transactionid, '0') = coalesce(h.transactionid, '0')
                      and coalesce(w.virtualxid, '') = coalesce(h.virtualxid, ''))
),
involved as materialized (
    select owner, pid, locktype from held
    union all
    select owner, pid, locktype from waiting
),
-- Contended entries; of those involved, what leads to a gid (the transactionid of who has no
-- pid) or to a table (the rest).
-- Targets other than transactions name their relation themselves, or have none. Both sides have locked
-- the table that a transaction is waited for about.
told as (
    select *
      from entry
     where not granted
        or (locktype = 'tuple' or locktype = 'transactionid' and pid is null)
           and owner in (select owner from involved)
        or locktype = 'relation' and mode <> 'AccessShareLock'
           and owner in (select owner from involved where locktype in ('transactionid', 'spectoken'))
    union all
    select * from held
)
-- One shape for all; the fewer columns, the less each row costs.
select 'session'             as kind,
       -- A lock entry's start of the wait, a prepared transaction's PREPARE, the tick.
       null::timestamptz     as at,
       null::bigint          as server_us,
       null::bigint          as hidden,
       pid,
       -- A parallel worker's leader, who is in the way of a safe snapshot.
       leader_pid            as other_pid,
       backend_type,
       datid                 as database,
       usesysid              as role,
       application_name,
       pg_catalog.host(client_addr) as client_addr,
       state,
       wait_event_type,
       wait_event,
       query_id,
       case when $3::boolean or query_id is null or query_id not in (select pg_catalog.unnest($2::bigint[]))
            then pg_catalog.substr(pg_catalog.textsend(query), 1, 16384)
       end                   as query,
       backend_start,
       xact_start,
       query_start,
       state_change,
       -- A session's own, one that is locked, a prepared one.
       backend_xid           as xid,
       backend_xmin,
       -- An owner in the lock table, a prepared transaction's gid.
       null::text            as owner,
       null::text            as locktype,
       null::oid             as relation,
       null::integer         as page,
       null::smallint        as tuple,
       null::text            as virtualxid,
       null::oid             as classid,
       null::oid             as objid,
       null::smallint        as objsubid,
       null::text            as mode,
       null::boolean         as granted,
       null::boolean         as fastpath
  from activity
 where state in ('active', 'fastpath function call', 'idle in transaction', 'idle in transaction (aborted)')
       and backend_type <> 'walsender'
    -- The server's own processes have no state, and can be held up all the same.
    or wait_event_type in ('Lock', 'BufferPin')
    or wait_event in ('RecoveryConflictSnapshot', 'RecoveryConflictTablespace')
    or state = 'idle'
       and state_change > $1::timestamptz and state_change <= pg_catalog.statement_timestamp()
    or pid in (select i.pid from involved i)
union all
select 'lock', waitstart, null, null,
       pid, null, null, database, null, null, null, null, null, null, null, null, null, null, null, null,
       transactionid, null,
       owner, locktype, relation, page, tuple, virtualxid, classid, objid, objsubid, mode, granted, fastpath
  from told
union all
select 'prepared', p.prepared, null, null,
       null, null, null, p.dbid, p.ownerid, null, null, null, null, null, null, null, null, null, null, null,
       p.transaction, null,
       p.gid, null, null, null, null, null, null, null, null, null, null, null
  from pg_catalog.pg_prepared_xact() p
 where exists (select from held where pid is null)
   and p.transaction in (select e.transactionid
                           from entry e
                          where e.pid is null and e.owner in (select owner from held))
union all
-- A deferrable transaction waits for others without a lock; 0 is a prepared one, whose name nobody tells.
select 'safe snapshot', null, null, null,
       a.pid, blocker, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
       null, null,
       null, null, null, null, null, null, null, null, null, null, null, null
  from activity a, pg_catalog.unnest(pg_catalog.pg_safe_snapshot_blocking_pids(a.pid)) blocker
 where a.wait_event = 'SafeSnapshot'
union all
-- Last, so that the elapsed time covers the rest. statement_timestamp is read before anything else is,
-- and is what state_change was compared with: no completion falls between two ticks or into both.
select 'tick',
       pg_catalog.statement_timestamp(),
       (extract(epoch from pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp()) * 1000000)::bigint,
       (select pg_catalog.count(*) from activity where datid <> 0 and (backend_start is null or state = 'disabled')),
       null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
       null, null,
       null, null, null, null, null, null, null, null, null, null, null, null
