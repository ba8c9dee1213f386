//! What a network does between the program and a server that is well.

use std::time::Duration;

use crate::proxy::{Proxy, Weather};
use crate::stage::{Scene, WATCHER, Watch, pass};

/// A server that is reached through a network of ours.
struct Remote {
    scene: Scene,
    proxy: Proxy,
}

impl Remote {
    fn set() -> Self {
        let scene = Scene::set();
        let proxy = Proxy::to(&scene.socket());
        Self { scene, proxy }
    }

    fn watch(&self) -> Watch {
        let port = self.proxy.port;
        let dsn = format!(
            "host=127.0.0.1 port={port} dbname=postgres user={WATCHER} \
             sslmode=disable connect_timeout=2"
        );
        Watch::start(&dsn, &self.scene.to())
    }
}

pub(crate) fn a_connection_that_is_reset_is_found_again() {
    let remote = Remote::set();
    let _load = remote.scene.load();
    let mut watch = remote.watch();
    for _ in 0..3 {
        watch.hear("watching ");
        pass(0.7);
        remote.proxy.cut();
        watch.hear("trying again in ");
    }
    watch.hear("watching ");
    pass(0.7);
    watch.ends_well();
    remote.scene.is_left_alone();
    let ledger = remote.scene.ledger();
    ledger.balances(1);
    assert_eq!(ledger.lost("lost_connections"), 3);
}

pub(crate) fn a_server_that_refuses_for_a_while_is_knocked_at_until_it_lets_in() {
    let remote = Remote::set();
    let _load = remote.scene.load();
    let mut watch = remote.watch();
    watch.hear("watching ");
    pass(0.7);
    remote.proxy.turn(Weather::Refuses);
    remote.proxy.cut();
    watch.hear("check that the server runs");
    watch.hear("trying again in ");
    remote.proxy.turn(Weather::Clear);
    watch.hear("watching ");
    pass(0.7);
    watch.ends_well();
    let ledger = remote.scene.ledger();
    ledger.balances(1);
    assert_eq!(ledger.lost("lost_connections"), 1);
    assert!(ledger.lost("failed_connections") >= 1);
}

/// The server's answers vanish in the middle of a watch, and so does every new connection.
pub(crate) fn a_network_that_swallows_everything_is_noticed_within_patience() {
    let remote = Remote::set();
    let _load = remote.scene.load();
    let mut watch = remote.watch();
    watch.hear("watching ");
    pass(0.7);
    remote.proxy.turn(Weather::Hole);
    let noticed = watch.hear("the way to it hangs");
    assert!(noticed < Duration::from_secs(12), "{noticed:?}");
    watch.hear("gave no answer within 2 s");
    remote.proxy.turn(Weather::Clear);
    watch.hear("watching ");
    pass(0.7);
    watch.ends_well();
    remote.scene.is_left_alone();
    let ledger = remote.scene.ledger();
    ledger.balances(1);
    assert!(ledger.longest_gap() > 10.0);
    assert_eq!(ledger.lost("lost_connections"), 1);
}

/// A hole that closes again before anybody lost patience is a gap, and the connection stays.
pub(crate) fn a_short_silence_is_waited_out() {
    let remote = Remote::set();
    let _load = remote.scene.load();
    let mut watch = remote.watch();
    watch.hear("watching ");
    pass(0.7);
    remote.proxy.turn(Weather::Hole);
    pass(2.5);
    remote.proxy.turn(Weather::Clear);
    pass(1.0);
    watch.ends_well();
    let ledger = remote.scene.ledger();
    ledger.balances(1);
    assert!(ledger.longest_gap() > 1.5);
    assert_eq!(ledger.lost("lost_connections"), 0);
}

pub(crate) fn the_end_does_not_wait_for_a_network_that_swallows_everything() {
    let remote = Remote::set();
    let mut watch = remote.watch();
    watch.hear("watching ");
    pass(0.7);
    remote.proxy.turn(Weather::Hole);
    pass(0.3);
    watch.ends_well();
    // The server is told when the network is back.
    remote.proxy.turn(Weather::Clear);
    remote.scene.is_left_alone();
    remote.scene.ledger().balances(1);
}

pub(crate) fn the_end_comes_while_a_connection_is_awaited() {
    let remote = Remote::set();
    let mut watch = remote.watch();
    watch.hear("watching ");
    pass(0.7);
    remote.proxy.turn(Weather::Hole);
    remote.proxy.cut();
    watch.hear("trying again in ");
    pass(1.0);
    watch.ends_well();
    remote.scene.ledger().balances(1);
}

/// Half a second each way: a tick a second at best, and each of the others is counted.
pub(crate) fn a_slow_network_makes_gaps_and_no_lies() {
    let remote = Remote::set();
    let _load = remote.scene.load();
    let mut watch = remote.watch();
    watch.hear("watching ");
    pass(0.7);
    remote.proxy.turn(Weather::Slow(Duration::from_millis(500)));
    pass(6.0);
    remote.proxy.turn(Weather::Clear);
    pass(1.0);
    watch.ends_well();
    let ledger = remote.scene.ledger();
    ledger.balances(1);
    assert_eq!(ledger.lost("lost_connections"), 0);
    assert!(ledger.lost("missed_ticks") > 20);
}

pub(crate) fn bytes_that_come_one_by_one_are_a_tick_all_the_same() {
    let remote = Remote::set();
    let _load = remote.scene.load();
    remote.proxy.turn(Weather::Torn);
    let mut watch = remote.watch();
    watch.hear("watching ");
    pass(3.0);
    watch.ends_well();
    remote.scene.is_left_alone();
    let ledger = remote.scene.ledger();
    ledger.balances(1);
    assert_eq!(ledger.lost("lost_connections"), 0);
}
