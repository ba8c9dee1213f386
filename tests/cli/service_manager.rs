//! What systemd is told, by a socket that stands in for it.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::stage::{Running, pgjam, server};

/// The manager's end of the socket.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        let patience = Some(Duration::from_millis(100));
        socket.set_read_timeout(patience).unwrap();
        Self {
            socket,
            heard: Vec::new(),
        }
    }

    /// Hears what comes until one line begins so, and gives that.
    #[track_caller]
    fn hear(&mut self, words: &str) -> String {
        let begun = Instant::now();
        loop {
            let mut message = [0; 4_096];
            if let Ok(length) = self.socket.recv(&mut message) {
                let message = String::from_utf8_lossy(&message[..length]).into_owned();
                self.heard.extend(message.lines().map(str::to_owned));
                if let Some(line) = message.lines().find(|line| line.starts_with(words)) {
                    return line.to_owned();
                }
            }
            assert!(
                begun.elapsed() < Duration::from_secs(40),
                "{words}: {:?}",
                self.heard
            );
        }
    }
}

#[test]
fn it_tells_when_it_is_ready_how_it_stands_and_that_it_lives() {
    let server = server(&[]);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut manager = Manager::at(path("notify").as_ref());
    let dsn = server.dsn("postgres", "postgres");
    let data = folder.path().display();
    let config = format!(
        "data_dir = \"{data}\"\n[servers.calm]\ndsn = \"{dsn}\"\n\
         [servers.away]\ndsn = \"host=/nonexistent user=a dbname=b\"\n"
    );
    fs::write(path("pgjam.toml"), config).unwrap();
    let arguments = ["record", "--config", &path("pgjam.toml")];
    let socket = path("notify");
    let environment = [("NOTIFY_SOCKET", &*socket), ("WATCHDOG_USEC", "600000")];
    let watch = Running::start_with(&arguments, &environment);

    manager.hear("READY=1");
    let status = manager.hear("STATUS=watching 1 of 2 servers");
    assert!(status.contains("; away: "), "{status}");
    manager.hear("WATCHDOG=1");
    manager.hear("WATCHDOG=1");
    watch.reload();
    manager.hear("RELOADING=1");
    manager.hear("READY=1");
    watch.terminate();
    manager.hear("STOPPING=1");
    watch.end().well();
    assert!(
        manager
            .heard
            .iter()
            .any(|line| line.starts_with("MONOTONIC_USEC="))
    );
}

#[test]
fn the_unit_fits_what_it_is_told() {
    let unit = pgjam(&["record", "--print-systemd-unit"]).well().out;
    for line in [
        "Type=notify",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "WatchdogSec=60s",
        "StateDirectory=pgjam",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
    ] {
        assert!(
            unit.lines().any(|known| known == line),
            "{line} is not in {unit}"
        );
    }
}
