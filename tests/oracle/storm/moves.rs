//! What a session does next, by chance.

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use super::player::State;

/// Few tables and rows, so that everybody is in everybody's way.
pub(crate) const WORLD: &str = "
create table parent (id int primary key, n int);
insert into parent select id, 0 from generate_series(1, 6) id;
create table kin (id serial primary key, parent int not null references parent);
create table taken (key int primary key);
create table t1 (id int);
create table t2 (id int);
create table t3 (id int);
insert into t2 values (1);
create table wide as select id from generate_series(1, 20000) id;
alter table wide set (parallel_workers = 3);
create function peek(id int) returns int language plpgsql parallel safe
  as 'begin perform from t2; return id; end';
analyze wide;";

/// A query whose workers take a lock of their own on `t2`.
const PARALLEL: &str = "
set local parallel_setup_cost = 0;
set local parallel_tuple_cost = 0;
set local min_parallel_table_scan_size = 0;
set local parallel_leader_participation = off;
set local max_parallel_workers_per_gather = 3;
select sum(peek(id)) from wide";

const MODES: [&str; 8] = [
    "access share",
    "row share",
    "row exclusive",
    "share update exclusive",
    "share",
    "share row exclusive",
    "exclusive",
    "access exclusive",
];

const STRENGTHS: [&str; 4] = ["update", "no key update", "share", "key share"];

/// Draws the next statement of a session that is not in one, and what it is afterwards.
pub(crate) fn next(chance: &mut StdRng, state: State, gid: usize) -> (String, State) {
    if state == State::Open {
        match chance.random_range(0..100) {
            0..7 => return ("commit".to_owned(), State::Free),
            7..12 => return ("rollback".to_owned(), State::Free),
            12..14 => return (format!("prepare transaction 'storm {gid}'"), State::Free),
            _ => {}
        }
    }
    let begin = if state == State::Free { "begin; " } else { "" };
    let savepoint = if chance.random_range(0..8) == 0 {
        "savepoint s; "
    } else {
        ""
    };
    let act = act(chance);
    (format!("{begin}{savepoint}{act}"), State::Open)
}

fn act(chance: &mut StdRng) -> String {
    let row = chance.random_range(1..=6);
    let key = chance.random_range(1..=4);
    match chance.random_range(0..100) {
        0..40 => {
            let table = ["t1", "t2", "t3"].choose(chance).unwrap();
            let mode = MODES.choose(chance).unwrap();
            format!("lock table {table} in {mode} mode")
        }
        40..55 => {
            let strength = STRENGTHS.choose(chance).unwrap();
            format!("select from parent where id = {row} for {strength}")
        }
        55..65 => format!("update parent set n = n + 1 where id = {row}"),
        65..69 => format!("delete from parent where id = {row}"),
        69..76 => format!("insert into kin (parent) values ({row})"),
        76..82 => format!("insert into taken values ({key})"),
        82..85 => format!("insert into taken values ({key}) on conflict do nothing"),
        85..90 => format!("select pg_advisory_xact_lock({key})"),
        90..94 => format!("select pg_advisory_xact_lock_shared({key})"),
        94..97 => format!("select pg_advisory_xact_lock({key}, 7)"),
        _ => PARALLEL.to_owned(),
    }
}
