//! A throw-away server of each major version that pgjam watches.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pgjam::lab::server::{Options, ThrowAway};

use crate::majors::{MAJORS, binaries};

/// One server a version, started when first asked for and stopped with the value.
#[derive(Debug, Default)]
pub(crate) struct Servers([Mutex<Option<ThrowAway>>; MAJORS.len()]);

impl Servers {
    /// Gives the server of a version to one user at a time.
    pub(crate) fn of(&self, major: u32) -> Borrowed<'_> {
        let place = MAJORS.iter().position(|&known| known == major).unwrap();
        // Whoever panicked with it was a test that failed.
        let mut server = self.0[place].lock().unwrap_or_else(PoisonError::into_inner);
        server.get_or_insert_with(|| start(&binaries(major)));
        Borrowed(server)
    }

    /// Stops them all.
    pub(crate) fn stop(self) {
        for server in self.0 {
            let server = server.into_inner().unwrap_or_else(PoisonError::into_inner);
            if let Some(server) = server {
                server.stop().unwrap();
            }
        }
    }
}

/// A server that nobody else uses now.
#[derive(Debug)]
pub(crate) struct Borrowed<'s>(MutexGuard<'s, Option<ThrowAway>>);

impl Borrowed<'_> {
    pub(crate) fn server(&self) -> &ThrowAway {
        self.0.as_ref().unwrap()
    }
}

fn start(binaries: &Path) -> ThrowAway {
    let settings = [
        ("max_prepared_transactions", "64"),
        ("compute_query_id", "on"),
        ("synchronous_commit", "off"),
        ("autovacuum", "off"),
        ("log_lock_waits", "on"),
        ("lc_messages", "C"),
        // What waits here waits until a test has looked.
        ("deadlock_timeout", "1h"),
        ("max_parallel_workers", "16"),
        ("max_worker_processes", "24"),
    ];
    ThrowAway::start(&Options {
        pg_bin: Some(binaries.to_path_buf()),
        fsync: false,
        max_connections: 150,
        settings: settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Options::default()
    })
    .unwrap()
}
