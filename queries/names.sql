-- What the oids of databases, roles and relations mean.
--
-- grain   one row per oid that exists, with the table behind an index or a TOAST table
-- feeds   sample::Name
-- since   14
-- needs   nothing: the catalogues are open to everyone
-- cost    index look-ups; for a TOAST table one pass over pg_class
--
-- $1 databases, $2 roles, $3 relations of the connected database. It locks catalogues in the weakest
-- mode and so can wait behind their DDL: run it with a lock_timeout, apart from the tick.
/* pgjam */
select 'database' as kind, d.oid, null::name as schema, d.datname as name, null::oid as "table"
  from pg_catalog.pg_database d
 where d.oid = any ($1::oid[])
union all
select 'role', r.oid, null, r.rolname, null
  from pg_catalog.pg_roles r
 where r.oid = any ($2::oid[])
union all
select 'relation', found.oid, n.nspname, t.relname, t.oid
  from (select c.oid,
               case h.relkind
                   when 't' then (select o.oid from pg_catalog.pg_class o where o.reltoastrelid = h.oid)
                   else h.oid
               end as table_oid
          from pg_catalog.pg_class c
          left join pg_catalog.pg_index i on i.indexrelid = c.oid
          join pg_catalog.pg_class h on h.oid = coalesce(i.indrelid, c.oid)
         where c.oid = any ($3::oid[])) found
  join pg_catalog.pg_class t on t.oid = found.table_oid
  join pg_catalog.pg_namespace n on n.oid = t.relnamespace
