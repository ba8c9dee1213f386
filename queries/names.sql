-- What the oids of databases, roles and relations mean, and what hangs on the relations.
--
-- grain   one row per oid that exists, an index or a TOAST table told as its table; one per table above
--         a partition; one per foreign key of or to such a table
-- feeds   sample::Name
-- since   14
-- needs   nothing: the catalogues are open to everyone
-- cost    index look-ups; for a TOAST table one pass over pg_class
--
-- $1 databases, $2 roles, $3 relations of the connected database. It locks catalogues in the weakest
-- mode and so can wait behind their DDL: run it with a lock_timeout, apart from the tick.
/* pgjam */
with asked as materialized (
    select c.oid,
           case h.relkind
               when 't' then (select o.oid from pg_catalog.pg_class o where o.reltoastrelid = h.oid)
               else h.oid
           end as table_oid
      from pg_catalog.pg_class c
      left join pg_catalog.pg_index i on i.indexrelid = c.oid
      join pg_catalog.pg_class h on h.oid = coalesce(i.indrelid, c.oid)
     where c.oid = any ($3::oid[])
),
relation as materialized (
    select oid, table_oid
      from asked
    union
    select above.relid, above.relid
      from asked
     cross join lateral pg_catalog.pg_partition_ancestors(asked.table_oid) above
     where above.relid <> asked.table_oid
)
select 'database'       as kind,
       d.oid,
       null::name       as schema,
       d.datname        as name,
       null::oid        as "table",
       null::boolean    as superuser,
       null::boolean    as usable,
       null::"char"     as relkind,
       null::oid        as parent,
       null::oid        as topmost,
       null::boolean    as triggers,
       null::oid        as refers_to,
       null::name[]     as columns,
       null::boolean    as cascades
  from pg_catalog.pg_database d
 where d.oid = any ($1::oid[])
union all
select 'role', r.oid, null, r.rolname, null,
       r.rolsuper, pg_catalog.pg_has_role(r.oid, 'USAGE'), null, null, null, null, null, null, null
  from pg_catalog.pg_roles r
 where r.oid = any ($2::oid[])
union all
select 'relation', relation.oid, n.nspname, t.relname, t.oid,
       null, null, t.relkind,
       (select up.inhparent from pg_catalog.pg_inherits up where up.inhrelid = t.oid and up.inhseqno = 1),
       case when t.relispartition then pg_catalog.pg_partition_root(t.oid) end,
       -- Keys have internal triggers; to 14 those that a partition got from above are internal too.
       t.relhasrules or exists (select
                                  from pg_catalog.pg_trigger own
                                 where own.tgrelid = t.oid and own.tgenabled <> 'D'
                                   and (own.tgconstraint = 0 or not own.tgisinternal)),
       null,
       array(select distinct a.attname
               from pg_catalog.pg_index k
               join pg_catalog.pg_attribute a
                 on a.attrelid = k.indrelid
                and a.attnum = any ((k.indkey::smallint[])[0:k.indnkeyatts - 1])
              where k.indrelid = t.oid and k.indisunique and k.indpred is null and k.indexprs is null
              order by 1),
       null
  from relation
  join pg_catalog.pg_class t on t.oid = relation.table_oid
  join pg_catalog.pg_namespace n on n.oid = t.relnamespace
union all
select 'foreignkey', k.oid, null, k.conname, k.conrelid,
       null, null, null, null, null, null, k.confrelid,
       array(select a.attname
               from pg_catalog.pg_attribute a
              where a.attrelid = k.conrelid and a.attnum = any (k.conkey)
              order by 1),
       k.confdeltype in ('c', 'n', 'd') or k.confupdtype in ('c', 'n', 'd')
  from pg_catalog.pg_constraint k
 -- The triggers of a foreign key stand on both its tables, where an index finds them.
 where k.contype = 'f'
   and k.oid in (select own.tgconstraint
                   from pg_catalog.pg_trigger own
                  where own.tgrelid in (select table_oid from relation) and own.tgconstraint <> 0)
