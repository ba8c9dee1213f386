//! What a watch makes the server write: WAL, and transaction ids used up.

use std::time::Duration;

use pgjam::lab::server::ThrowAway;
use postgres::Client;

use crate::watcher::Watcher;

/// Where the server's writing stands.
struct Stand {
    wal: i64,
    next_transaction: i64,
}

fn stand(control: &mut Client) -> anyhow::Result<Stand> {
    let sql = "select (pg_current_wal_insert_lsn() - '0/0')::bigint, \
               pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
    let row = control.query_one(sql, &[])?;
    Ok(Stand {
        wal: row.get(0),
        next_transaction: row.get(1),
    })
}

/// Counts what each watcher makes an otherwise idle server write, from its first connection to
/// after its last.
pub(crate) fn count(
    server: &ThrowAway,
    watchers: &[Watcher],
    lasts: Duration,
) -> anyhow::Result<()> {
    println!();
    println!(
        "{:<26}  {:>9}  {:>15}   in {} s, connecting and leaving included",
        "written on the server",
        "WAL bytes",
        "transaction ids",
        lasts.as_secs()
    );
    let mut control = server.connect("postgres")?;
    // Whoever reads a catalogue first may prune and hint it.
    control.batch_execute("vacuum (freeze)")?;
    control.batch_execute("checkpoint")?;
    for watcher in watchers {
        let before = stand(&mut control)?;
        let watching = watcher.begin(server)?;
        std::thread::sleep(lasts);
        watching.end()?;
        let after = stand(&mut control)?;
        println!(
            "{:<26}  {:>9}  {:>15}",
            watcher.to_string(),
            after.wal - before.wal,
            after.next_transaction - before.next_transaction
        );
    }
    Ok(())
}
