//! A server that moves: its standby is promoted, and the recording goes on.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pgjam::lab::server::ThrowAway;
use pgjam::recording::Recording;
use postgres::{Client, NoTls};
use rustix::process::Signal;

use crate::stage::{SOON, Scene, WATCHER, Watch, pass};

/// A primary with a standby that was copied from it.
struct Pair {
    // In the order in which they end.
    standby: ThrowAway,
    primary: Scene,
}

impl Pair {
    fn set() -> Self {
        let primary = Scene::with(&[
            ("wal_level", "replica"),
            ("wal_keep_size", "256MB"),
            ("hot_standby", "on"),
            ("autovacuum", "off"),
        ]);
        // A cluster of its own at first, whose data then gives way to the copy.
        let standby = Scene::start_server(&[], None);
        standby.halt(Signal::INT).unwrap();
        let (from, to) = (data(&primary.server), data(&standby));
        let mut backup = primary.superuser();
        backup
            .query_one("select pg_backup_start('standby', true)::text", &[])
            .unwrap();
        let own = fs::read(to.join("postgresql.conf")).unwrap();
        fs::remove_dir_all(&to).unwrap();
        copy(&from, &to);
        let label: String = backup
            .query_one("select labelfile from pg_backup_stop()", &[])
            .unwrap()
            .get(0);
        fs::write(to.join("backup_label"), label).unwrap();
        fs::write(to.join("postgresql.conf"), own).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o700)).unwrap();
        let pair = Self { standby, primary };
        follow(&pair.standby, &pair.primary.server);
        pair.standby.resume().unwrap();
        pair
    }

    /// Names both, the primary first.
    fn dsn(&self, attributes: &str) -> String {
        let hosts = [self.primary.server.folder(), self.standby.folder()];
        let [first, second] = hosts.map(|folder| folder.display().to_string());
        format!(
            "host={first},{second} port=5432 dbname=postgres user={WATCHER} \
             target_session_attrs={attributes}"
        )
    }

    fn watch(&self, attributes: &str) -> Watch {
        Watch::start(&self.dsn(attributes), &self.primary.to())
    }

    #[track_caller]
    fn balances(&self) -> crate::ledger::Ledger {
        let ledger = self.primary.ledger_with(&[&self.standby.log_path()]);
        ledger.balances(1);
        ledger
    }
}

fn data(server: &ThrowAway) -> PathBuf {
    server.folder().join("data")
}

fn client(server: &ThrowAway) -> Client {
    Client::connect(&server.dsn("postgres", "postgres"), NoTls).unwrap()
}

/// Makes one server a standby of the other when it is started next.
fn follow(standby: &ThrowAway, primary: &ThrowAway) {
    let settings = format!(
        "primary_conninfo = '{}'\n",
        primary.dsn("postgres", "postgres").replace('\'', "''")
    );
    fs::write(data(standby).join("postgresql.auto.conf"), settings).unwrap();
    fs::write(data(standby).join("standby.signal"), "").unwrap();
    let _ = fs::remove_file(data(standby).join("postmaster.pid"));
    own(&data(standby), standby.folder());
}

/// Waits until the standby has all that the primary has written.
#[track_caller]
fn caught_up(standby: &ThrowAway, primary: &ThrowAway) {
    let written: String = client(primary)
        .query_one("select pg_current_wal_flush_lsn()::text", &[])
        .unwrap()
        .get(0);
    let behind = format!("select coalesce(pg_last_wal_replay_lsn() < '{written}', true)");
    let mut replay = client(standby);
    let begun = Instant::now();
    while replay.query_one(&behind, &[]).unwrap().get(0) {
        assert!(begun.elapsed() < SOON, "the standby stays behind");
        pass(0.01);
    }
}

fn promote(server: &ThrowAway) {
    client(server)
        .execute("select pg_promote(true, 30)", &[])
        .unwrap();
}

pub(crate) fn a_promoted_standby_is_watched_on_in_the_same_recording_and_back_again() {
    let pair = Pair::set();
    let (first, second) = (&pair.primary.server, &pair.standby);
    let mut watch = pair.watch("read-write");
    watch.hear("watching ");
    pass(1.0);
    // A stopped primary has sent its standby everything.
    first.halt(Signal::INT).unwrap();
    promote(second);
    watch.hear("watching ");
    pass(1.0);
    follow(first, second);
    first.resume().unwrap();
    caught_up(first, second);
    second.halt(Signal::INT).unwrap();
    promote(first);
    watch.hear("watching ");
    pass(1.0);
    watch.ends_well();
    let ledger = pair.balances();
    assert_eq!(ledger.lost("lost_connections"), 2);
    let moved = ledger.events();
    let moved = moved.iter().filter(|kind| **kind == "server-role");
    assert_eq!(moved.count(), 2);
    assert!(
        !Recording::open(&pair.primary.to())
            .unwrap()
            .server
            .in_recovery
    );
}

/// The session of a standby lives on when that is promoted, and so does the watch.
pub(crate) fn a_standby_that_is_promoted_under_the_watch_goes_on() {
    let pair = Pair::set();
    let mut watch = pair.watch("standby");
    watch.hear("watching ");
    pass(1.0);
    pair.primary.server.halt(Signal::QUIT).unwrap();
    promote(&pair.standby);
    let noticed = watch.hear("it is a primary now");
    assert!(noticed < Duration::from_secs(15), "{noticed:?}");
    pass(1.0);
    let to = pair.primary.to();
    assert!(!Recording::open(&to).unwrap().server.in_recovery);
    watch.ends_well();
    let ledger = pair.balances();
    assert_eq!(ledger.lost("lost_connections"), 0);
    let moved = ledger.events();
    let moved = moved.iter().filter(|kind| **kind == "server-role");
    assert_eq!(moved.count(), 1);
}

pub(crate) fn a_standby_is_preferred_and_its_primary_watched_while_it_is_away() {
    let pair = Pair::set();
    let mut watch = pair.watch("prefer-standby");
    watch.hear("watching ");
    pass(1.0);
    pair.standby.halt(Signal::INT).unwrap();
    watch.hear("watching ");
    pass(1.0);
    watch.ends_well();
    let ledger = pair.balances();
    assert_eq!(ledger.lost("lost_connections"), 1);
}

/// Copies a data folder of a server that writes to it: what vanishes meanwhile is not missed.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => copy(&from, &to),
            Ok(kind) if kind.is_file() => {
                let _ = fs::copy(&from, &to);
            }
            _ => {}
        }
    }
}

/// Gives a folder with all in it to the user that another one belongs to.
fn own(path: &Path, like: &Path) {
    use std::os::unix::fs::MetadataExt as _;
    let owner = fs::metadata(like).unwrap();
    chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap().flatten() {
            own(&entry.path(), like);
        }
    }
}
