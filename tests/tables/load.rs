//! Applications that wait for each other's rows in every way in which one can.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use pgjam::lab::server::ThrowAway;
use postgres::{Client, Config, NoTls};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What the applications share.
pub(crate) const SCHEMA: &str = "
    create table account (id int primary key, n int not null default 0, note text);
    insert into account select generate_series(1, 6);

    create table parent (id int primary key, code int unique, n int not null default 0);
    insert into parent select g, g from generate_series(1, 4) g;
    create table child (id bigserial primary key, parent int not null references parent, n int);
    create index on child (parent);

    create table owner (id int primary key, n int not null default 0);
    create table item (id bigserial primary key, owner int references owner on delete cascade, n int);
    insert into owner select generate_series(1, 3);

    create table claim (key int primary key, n int not null default 0);
    create table voucher (id bigserial primary key, code int unique, parent int references parent);

    create table ledger (id int, day int, n int not null default 0, primary key (id, day))
        partition by range (day);
    create table ledger_old partition of ledger for values from (0) to (10);
    create table ledger_new partition of ledger for values from (10) to (20) partition by range (day);
    create table ledger_new_1 partition of ledger_new for values from (10) to (15);
    create table ledger_new_2 partition of ledger_new for values from (15) to (20);
    insert into ledger select i, d from generate_series(1, 2) i, unnest('{5, 12, 17}'::int[]) d;

    create table watched (id int primary key, n int not null default 0);
    insert into watched select generate_series(1, 4);
    create table total (id int primary key, n int not null default 0);
    insert into total values (1);
    create function count_up() returns trigger language plpgsql as
        'begin update total set n = n + 1 where id = 1; return new; end';
    create trigger count_up after update on watched for each row execute function count_up();

    create function pay(a int) returns void language plpgsql as
        'begin update account set n = n + 1 where id = a; update parent set n = n + 1 where id = 1; end';

    create table base (id int primary key, n int not null default 0);
    create table special (extra text, primary key (id)) inherits (base);
    insert into base select generate_series(1, 2);
    insert into special select generate_series(11, 12);

    -- A row for each application, which nobody else touches.
    insert into account select generate_series(101, 199);
    insert into parent select g, g from generate_series(101, 199) g;
    insert into ledger select i, d from generate_series(101, 199) i, unnest('{5, 12, 17}'::int[]) d;
    insert into owner select generate_series(101, 199);
    insert into claim select generate_series(101, 199);
";

/// A step of a transaction.
enum Step {
    /// A statement, with its parameters in the text.
    Run(String),
    /// A statement that is prepared first; its parameters are whole numbers.
    Bound(&'static str, Vec<i32>),
    /// The application works elsewhere.
    Away(u64),
}

use Step::{Away, Bound, Run};

fn run(sql: impl Into<String>) -> Step {
    Run(sql.into())
}

/// Draws what an application does first, on its own rows: both sides of a later wait then have
/// locked more tables than the one that it is about.
fn beginning(rng: &mut StdRng, own: u64) -> Vec<Step> {
    let steps = [
        format!("update account set n = n + 1 where id = {own}"),
        format!("insert into child (parent, n) values ({own}, 1)"),
        format!("update public.parent as p set n = p.n + 1 where p.id = {own}"),
        format!("update ledger set n = n + 1 where id = {own} and day in (5, 12, 17)"),
        format!("update claim set n = n + 1 where key = {own}"),
        format!("select * from owner where id = {own} for update"),
        format!("insert into item (owner, n) values ({own}, 0)"),
    ];
    let drawn = steps.into_iter().filter(|_| rng.random_bool(0.3));
    drawn.map(Run).collect()
}

/// Draws one transaction.
#[expect(
    clippy::too_many_lines,
    reason = "one arm for each kind of transaction"
)]
fn transaction(rng: &mut StdRng) -> Vec<Step> {
    let hold = rng.random_range(2..12);
    let account = rng.random_range(1..=2);
    let other = rng.random_range(3..=6);
    let parent = rng.random_range(1..=2);
    let day = [5, 12, 17][rng.random_range(0..3)];
    let key = rng.random_range(1..=3);
    match rng.random_range(0..33) {
        // One row that everybody updates: queues, and rechecks of what was updated meanwhile.
        0..4 => vec![
            Bound("update account set n = n + 1 where id = $1", vec![account]),
            Away(hold),
        ],
        4 => vec![
            run(format!(
                "update account set note = 'x' where id = {account}"
            )),
            Away(hold),
            run(format!("update account set n = n - 1 where id = {other}")),
            Away(2),
        ],
        5 => vec![
            run(format!(
                "select * from account where id = {account} for update"
            )),
            Away(hold),
            run(format!("update account set n = n + 1 where id = {account}")),
        ],
        // Several at a time, in the way of one: multixacts, and upgrades out of them.
        6 => vec![
            run(format!(
                "select n from account where id = {account} for share"
            )),
            Away(hold),
        ],
        7 => vec![
            run(format!(
                "select n from account where id = {account} for key share"
            )),
            Away(hold),
        ],
        8 => vec![
            run(format!(
                "select n from account where id = {account} for share"
            )),
            Away(2),
            run(format!("update account set n = n + 1 where id = {account}")),
            Away(hold),
        ],
        9 => vec![
            run(format!("delete from account where id = {account}")),
            run(format!("insert into account (id) values ({account})")),
            Away(hold),
        ],
        // Who refers, and who is referred to.
        10 | 11 => vec![
            Bound("insert into child (parent, n) values ($1, 1)", vec![parent]),
            Away(hold),
        ],
        12 => vec![
            run(format!("update parent set code = code where id = {parent}")),
            run(format!(
                "update parent set code = {parent} + 100 where id = {parent}"
            )),
            run(format!(
                "update parent set code = {parent} where id = {parent}"
            )),
            Away(hold),
        ],
        13 => vec![
            Bound("update parent set n = n + 1 where id = $1", vec![parent]),
            Away(2),
            Bound("insert into child (parent, n) values ($1, 2)", vec![parent]),
            Away(hold),
        ],
        14 => vec![
            run(format!(
                "insert into owner values ({key}) on conflict do nothing"
            )),
            run(format!("insert into item (owner, n) values ({key}, 1)")),
            Away(hold),
        ],
        15 => vec![
            run(format!("delete from owner where id = {key}")),
            Away(hold),
        ],
        // Keys that only one may have.
        16 | 26 | 27 => vec![
            run(format!("insert into claim values ({key})")),
            Away(hold),
            run(format!("delete from claim where key = {key}")),
        ],
        17 | 28 => vec![
            run(format!(
                "insert into claim values ({key}) on conflict (key) do update set n = claim.n + 1"
            )),
            Away(hold),
        ],
        18 | 29 => vec![
            run(format!(
                "insert into claim values ({key}) on conflict do nothing"
            )),
            Away(hold),
        ],
        19 | 30 => vec![
            run(format!(
                "insert into voucher (code, parent) values ({key}, {parent})"
            )),
            Away(hold),
            run(format!("delete from voucher where code = {key}")),
        ],
        // Tables that consist of parts, or inherit.
        20 | 21 => vec![
            run(format!(
                "update ledger set n = n + 1 where id = 1 and day = {day}"
            )),
            Away(hold),
            run("update ledger set n = n + 1 where id = 2 and day = 5"),
        ],
        22 => vec![
            run(format!(
                "update base set n = n + 1 where id in ({parent}, {parent} + 10)"
            )),
            Away(hold),
        ],
        // What no text tells: triggers, and functions. Of two tables that both sides have locked
        // nothing tells which one a function waits in: that stays open, and is rare here.
        23 => vec![
            run(format!(
                "update watched set n = n + 1 where id = {other} - 2"
            )),
            Away(hold),
        ],
        24 if rng.random_bool(0.3) => {
            vec![run(format!("select pay({account})")), Away(hold)]
        }
        // One transaction through many tables.
        _ => vec![
            run(format!(
                "insert into child (parent, n) values ({parent}, 3)"
            )),
            run(format!("update account set n = n + 1 where id = {other}")),
            Away(2),
            run(format!(
                "update ledger set n = n + 1 where id = 1 and day = {day}"
            )),
            Away(hold),
            run(format!("update parent set n = n + 1 where id = {parent}")),
        ],
    }
}

/// The applications, until they are dropped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(server: &ThrowAway, clients: u64, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..clients)
            .map(|number| {
                let mut config: Config = server.dsn("postgres", "postgres").parse().unwrap();
                let mut client = config
                    .application_name(&format!("system-{}", number % 5))
                    .connect(NoTls)
                    .unwrap();
                let stop = Arc::clone(&stop);
                let mut rng = StdRng::seed_from_u64(seed * 1_000 + number);
                std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let mut steps = Vec::new();
                        if rng.random_bool(0.5) {
                            steps = beginning(&mut rng, 101 + number);
                        }
                        steps.extend(transaction(&mut rng));
                        let committed = work(&mut client, &steps);
                        // Whoever hit a deadlock or a key that is taken gives up, as applications do.
                        let end = if committed.is_ok() {
                            "commit"
                        } else {
                            "rollback"
                        };
                        let _ = client.batch_execute(end);
                    }
                })
            })
            .collect();
        Self { stop, threads }
    }
}

fn work(client: &mut Client, steps: &[Step]) -> Result<(), postgres::Error> {
    client.batch_execute("begin")?;
    for step in steps {
        match step {
            Run(sql) => client.batch_execute(sql)?,
            Bound(sql, parameters) => {
                let parameters: Vec<_> = parameters
                    .iter()
                    .map(|parameter| parameter as &(dyn postgres::types::ToSql + Sync))
                    .collect();
                client.execute(*sql, &parameters)?;
            }
            Away(millis) => std::thread::sleep(Duration::from_millis(*millis)),
        }
    }
    Ok(())
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
