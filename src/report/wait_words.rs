//! Wait events in words, each as the graph writes it: `LWLock: WALWrite`.

/// Says what a session waits for in the midst of its work.
pub(super) fn at_work(event: &str) -> &'static str {
    let (kind, name) = event.split_once(": ").unwrap_or((event, ""));
    match (kind, name) {
        ("Client", "ClientWrite") => "waits for its client to take the result",
        ("Client", _) => "waits for its client to go on",
        ("Timeout", "PgSleep") => "sleeps in pg_sleep",
        ("Timeout", "VacuumDelay") => "pauses between two steps of its vacuum",
        ("Timeout", _) => "pauses",
        ("IPC", "SyncRep") => "its commit waits for the synchronous standby",
        ("IPC", "ExecuteGather" | "ParallelFinish" | "BgworkerShutdown" | "BgWorkerShutdown") => {
            "waits for its parallel workers"
        }
        ("IPC", _) => "waits for another process of the server",
        ("IO", name) if name.to_ascii_lowercase().starts_with("wal") => {
            "waits for the write-ahead log to be written"
        }
        ("IO", _) => "waits for the disk",
        ("LWLock", _) => "waits for an internal lock of the server",
        ("BufferPin" | "Buffer", _) => "waits for a page that others have in use",
        ("Lock", _) => "waits for a lock itself; for whom was not seen",
        ("Extension", _) => "waits inside an extension",
        ("Activity", _) => "waits for something to do",
        _ => "waits",
    }
}

/// Says what a wait for what nobody holds means to who reads of it.
pub(super) fn without_holder(event: &str) -> &'static str {
    let (kind, name) = event.split_once(": ").unwrap_or((event, ""));
    match (kind, name) {
        ("LWLock", _) => {
            "an internal lock that passes from hand to hand within moments. Many such waits mean \
             a busy server, not somebody in the way"
        }
        ("BufferPin" | "Buffer", _) => {
            "a page that others have in use, such as an open cursor; the server does not say whose"
        }
        ("IPC", "SyncRep") => {
            "commits that the synchronous standby has yet to confirm: look at pg_stat_replication"
        }
        ("IPC", "SafeSnapshot") => "serializable writers under way; which ones was not seen",
        ("IPC", name) if name.starts_with("RecoveryConflict") => {
            "replay waits for queries on this standby that need what the primary has removed; \
             max_standby_streaming_delay ends them"
        }
        ("IPC", _) => "other commits at their very end, a matter of moments",
        _ => "nobody holds it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_the_log_and_the_standby_are_told_apart() {
        let said = [
            "IO: DataFileRead",
            "IO: WALSync",
            "IO: WalSync",
            "IPC: SyncRep",
        ]
        .map(at_work);
        assert_eq!(
            said,
            [
                "waits for the disk",
                "waits for the write-ahead log to be written",
                "waits for the write-ahead log to be written",
                "its commit waits for the synchronous standby",
            ]
        );
    }

    #[test]
    fn an_event_of_a_later_release_has_words_too() {
        assert_eq!(at_work("New: Thing"), "waits");
        assert_eq!(at_work(""), "waits");
        assert_eq!(without_holder("New: Thing"), "nobody holds it");
    }
}
