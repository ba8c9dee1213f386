-- What keeps the oldest row versions alive, and who owns it.
--
-- grain   one row per backend, prepared transaction, replication slot or standby that holds a horizon, the oldest 3 of each kind
-- feeds   sample::Horizon
-- since   14
-- needs   pg_read_all_stats, or the backends of other roles do not show
-- cost    one pass over the activity array, the prepared transactions and the slots
--
-- Functions, not views, which lock catalogues.
/* pgjam */
with horizon as (
    select case a.backend_type when 'walsender' then 'standby' else 'backend' end as kind,
           a.pid,
           a.application_name                       as owner,
           a.datid                                  as database,
           coalesce(a.backend_xmin, a.backend_xid)  as xid,
           a.xact_start                             as since
      from pg_catalog.pg_stat_get_activity(null) a
     where a.pid <> pg_catalog.pg_backend_pid()
       and a.application_name is distinct from 'pgjam'
    union all
    select 'prepared', null, p.gid, p.dbid, p.transaction, p.prepared
      from pg_catalog.pg_prepared_xact() p
    union all
    select 'slot', s.active_pid, s.slot_name::text, s.datoid, x.xid, null
      from pg_catalog.pg_get_replication_slots() s, lateral (values (s.xmin), (s.catalog_xmin)) x (xid)
),
aged as (
    select *,
           pg_catalog.age(xid) as age,
           pg_catalog.row_number() over (partition by kind order by pg_catalog.age(xid) desc, pid, owner) as place
      from horizon
     where xid is not null
)
select pg_catalog.statement_timestamp() as at, kind, pid, owner, database, xid, age, since
  from aged
 where place <= 3
