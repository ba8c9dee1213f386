//! The statements, one a line.

/// What they are about.
pub(crate) const SCHEMA: &str = "
    create table a (id int primary key, n int not null default 0, note text, ref int);
    create index a_n on a (n);
    create unique index a_u on a (id, n);
    create table b (id int primary key, a int constraint b_a references a, n int);
    create table c (id int primary key, n int);
    alter table b add constraint b_n check (n > 0) not valid;
    alter table c add constraint c_a foreign key (n) references a not valid;
    create type pair as (id int, n int);
    create table whole (id int, day int) partition by range (day);
    create table part partition of whole for values from (0) to (10);
    create table loose (id int, day int);
    create table old (id int, day int);
    create table heir () inherits (loose);
    create table typed of pair;
    create view shown as select * from a;
    create materialized view kept as select id, n from a;
    create unique index kept_id on kept (id);
    create function nothing() returns trigger language plpgsql as 'begin return new; end';
    create trigger a_trigger before update on a for each row execute function nothing();
    create rule a_rule as on delete to c do also nothing;
    create policy a_policy on a;
    create sequence numbers;
    create statistics a_stats on n, note from a;
    create schema s;
    insert into a values (1, 1), (2, 2), (4, 4);
    insert into b values (1, 1, 1), (2, 4, 2);
    insert into c values (1, 4);
";

/// Statements that run in a transaction.
pub(crate) const IN_TRANSACTION: &str = "
    select * from a
    select * from a join b on b.a = a.id where exists (select from c)
    select * from a for update
    select * from a for no key update
    select * from a for share
    select * from a for key share
    select * from a join b on b.a = a.id for update of b
    select * from (select * from a) as x for update
    select * from a where id in (select id from b for share)
    with x as (select * from a for update) select * from x, b
    select (select max(n) from b) from a limit (select count(*) from c)
    table a
    insert into a values (3)
    insert into a values (1) on conflict do nothing
    insert into a values (1) on conflict (id) do update set n = 1
    insert into a values (3) on conflict (id) do update set n = (select n from c limit 1)
    insert into a values ((select 7 + count(*) from b))
    insert into a (id) select 20 + id from b returning (select max(n) from c)
    insert into b values (9, 1, 1) -- and: a
    update a set n = n + 1
    update a set n = b.n from b where b.a = a.id
    update a set (ref, note) = (select c.n, 'x' from c limit 1)
    update a set id = 5 where id = 2 -- and: b, c
    delete from a where id = 2 -- and: b, c
    delete from a using b where b.a = a.id and false
    with gone as (delete from b returning *) insert into a (id) select id + 30 from gone
    merge into a using b on a.id = b.id when matched then update set n = 1 when not matched then insert values (9) -- since 15
    merge into b using c on c.id = b.id when matched then delete when not matched by source then update set n = 1 -- since 17
    update whole set id = 1 -- and: part
    insert into whole values (1, 1) -- and: part
    insert into shown (id) values (8) -- and: a
    truncate b
    truncate a cascade -- and: b, c
    lock a
    lock a in access share mode
    lock a in row share mode
    lock a in row exclusive mode
    lock a in share update exclusive mode
    lock a in share mode
    lock a in share row exclusive mode
    lock a in exclusive mode
    lock a, b in access exclusive mode nowait
    copy a to '/dev/null'
    copy (select * from a) to '/dev/null'
    copy a from '/dev/null'
    explain select * from a
    explain analyze update a set n = 1
    prepare p as update a set n = 1
    declare x cursor for select * from a for update
    analyze a
    analyze -- and: a, b, c, kept, heir, loose, old, part, whole, typed
    create index on a (n)
    create unique index on a (id, n)
    drop index a_n -- and: a
    alter index a_n rename to a_m
    alter index a_n set (fillfactor = 70)
    reindex table a
    reindex index a_n -- and: a
    cluster a using a_pkey
    refresh materialized view kept -- and: a
    refresh materialized view concurrently kept -- and: a
    create table new (id int)
    create table new (a int references a)
    create table new (id int, foreign key (id) references a, foreign key (id) references c)
    create table new (like a including all)
    create table new () inherits (loose)
    create table new partition of whole for values from (10) to (20)
    create table new as select * from a
    select * into new from a -- and: new
    create view new as select * from a
    create materialized view new as select * from a
    create trigger x before update on a for each row execute function nothing()
    create constraint trigger x after update on a from b for each row execute function nothing()
    create rule x as on insert to a do also nothing
    create policy x on a
    alter policy a_policy on a using (true)
    create statistics x on id, n from a
    alter trigger a_trigger on a rename to y
    alter policy a_policy on a rename to y
    drop trigger a_trigger on a
    drop rule a_rule on c
    drop policy a_policy on a
    drop statistics a_stats -- and: a
    drop table c -- and: a
    drop table a cascade -- and: b, c, kept, shown
    drop view shown
    drop materialized view kept
    drop table part -- and: whole
    drop table whole -- and: part
    drop function nothing() cascade -- and: a
    comment on table a is 'x'
    comment on column a.n is 'x'
    grant select on a to public -- and: a
    alter table a add column x int
    alter table a add column x int default 5
    alter table a add column x int references c
    alter table a drop column note cascade -- and: shown
    alter table c alter column n type int using n + 1 -- and: a
    alter table b alter column n type bigint
    alter table a alter n set default 5
    alter table a alter n drop default
    alter table a alter n set not null
    alter table a alter n drop not null
    alter table a alter n set statistics 100
    alter table a alter n set (n_distinct = 5)
    alter table a alter n reset (n_distinct)
    alter table a alter note set storage external
    alter table a alter note set compression pglz
    alter table a add constraint x check (n >= 0)
    alter table a add constraint x check (n >= 0) not valid
    alter table a add unique (note)
    alter table a add constraint x unique using index a_u
    alter table c add foreign key (n) references a
    alter table c add foreign key (n) references a not valid
    alter table b validate constraint b_n
    alter table c validate constraint c_a -- and: a
    alter table b alter constraint b_a deferrable
    alter table b drop constraint b_a -- and: a
    alter table a drop constraint a_pkey cascade -- and: b, c
    alter table a disable trigger a_trigger
    alter table a enable trigger a_trigger
    alter table a enable always trigger a_trigger
    alter table a enable replica trigger a_trigger
    alter table a disable trigger all
    alter table a enable trigger user
    alter table c disable rule a_rule
    alter table c enable rule a_rule
    alter table c enable always rule a_rule
    alter table a enable row level security
    alter table a disable row level security
    alter table a force row level security
    alter table a no force row level security
    alter table a cluster on a_pkey
    alter table a set without cluster
    alter table c set unlogged
    alter table a set logged
    alter table a set tablespace pg_default
    alter table a set access method heap -- since 15
    alter table a set (fillfactor = 70)
    alter table a reset (fillfactor)
    alter table a set (autovacuum_enabled = off)
    alter table a set (user_catalog_table = true)
    alter table heir no inherit loose
    alter table loose inherit old -- and: heir
    alter table a owner to postgres
    alter table a replica identity full
    alter table a replica identity using index a_pkey
    alter table a rename to z
    alter table a rename column note to z -- and: shown
    alter table a rename constraint a_pkey to z
    alter table a set schema s
    alter table a alter id add generated always as identity
    alter table c alter id add generated by default as identity
    alter table c of pair
    alter table typed not of
    alter table a set (fillfactor = 70), alter n set statistics 5
    alter table a alter n set statistics 5, add column x int
    alter table whole attach partition old for values from (20) to (30)
    alter table whole detach partition part
    alter view shown set (security_barrier = true)
    alter view shown rename to z
    alter materialized view kept rename to z
    alter materialized view kept set (fillfactor = 70)
    alter sequence numbers owned by a.id -- and: a
    alter statistics a_stats set statistics 10
";

/// Statements that run in no transaction.
pub(crate) const ALONE: &str = "
    vacuum a
    vacuum (analyze) a
    vacuum full a
    vacuum (full) a
    vacuum (full false) a
    vacuum (full off, verbose) a
    create index concurrently x on a (note)
    drop index concurrently a_n -- and: a
    reindex table concurrently a
    reindex (concurrently) table a
    reindex index concurrently a_n -- and: a
    alter table whole detach partition part concurrently -- and: part
    cluster a
";

/// Statements that lock the row of `a` with the id 1.
pub(crate) const OF_A_ROW: &str = "
    select * from a where id = 1 for update
    select * from a where id = 1 for no key update
    select * from a where id = 1 for share
    select * from a where id = 1 for key share
    select * from a join c on true where a.id = 1 for share of c for update of a
    select * from (select * from a where id = 1) as x for key share
    update a set note = 'y' where id = 1
    update a set note = 'y', ref = 1 where id = 1
    update a set id = 7 where id = 1 -- key
    update a set (note, id) = ('y', 7) where id = 1 -- key
    delete from a where id = 1
    insert into a values (1, 1) on conflict (id) do update set note = 'y'
    insert into a values (1, 1) on conflict (id) do update set id = 7 -- key
    with x as (update a set note = 'y' where id = 1 returning id) select * from x
    merge into a using c on a.id = 1 when matched then update set note = 'y' -- since 15
    merge into a using c on a.id = 1 when matched then update set id = 7 -- since 15 -- key
    merge into a using c on a.id = 1 when matched then delete -- since 15
    insert into b values (7, 1, 1) -- refers
    insert into c values (7, 1) -- refers
    update b set a = 1 where id = 2 -- refers
";
