//! What the server itself says of each wait: the lines of `log_lock_waits`.

use std::collections::HashMap;

/// How lines must begin for this reader.
pub(crate) const PREFIX: &str = "%n %p ";

/// A wait that was logged.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    /// Seconds since 1970, to the millisecond.
    pub(crate) began: f64,
    /// None where it was not granted: a deadlock, a cancellation.
    pub(crate) ended: Option<f64>,
    /// What the server did as it began to wait, where it says so.
    pub(crate) context: Option<Context>,
}

/// `while updating tuple (0,1) in relation "account"`, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Context {
    pub(crate) doing: String,
    pub(crate) row: String,
    pub(crate) relation: String,
}

/// All waits by process and by what they were for, in the words of the log.
pub(crate) type Log = HashMap<(i32, String), Vec<Logged>>;

/// Reads a log with [`PREFIX`].
pub(crate) fn read(text: &str) -> Log {
    let mut log = Log::new();
    let mut last: Option<(i32, String)> = None;
    for line in text.lines() {
        let mut words = line.splitn(3, ' ');
        let (Some(at), Some(pid), Some(said)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let (Ok(at), Ok(pid)) = (at.parse::<f64>(), pid.parse::<i32>()) else {
            continue;
        };
        if let Some(said) = said.strip_prefix("LOG:  ") {
            last = waited(said).map(|(target, after, granted)| {
                let key = (pid, target.to_owned());
                let waits = log.entry(key.clone()).or_default();
                let began = at - after / 1e3;
                match waits.last_mut() {
                    Some(open) if open.ended.is_none() && (open.began - began).abs() < 0.005 => {}
                    _ => waits.push(Logged {
                        began,
                        ended: None,
                        context: None,
                    }),
                }
                if granted && let Some(wait) = waits.last_mut() {
                    wait.ended = Some(at);
                }
                key
            });
        } else if let Some(said) = said.strip_prefix("CONTEXT:  ")
            && let Some(key) = last.as_ref().filter(|key| key.0 == pid)
            && let Some(wait) = log.get_mut(key).and_then(|waits| waits.last_mut())
        {
            wait.context = context(said);
        }
    }
    log
}

/// Takes apart `process 7 still waiting for ShareLock on transaction 764 after 1.0 ms`: what
/// for, for how many milliseconds, and whether it was granted.
fn waited(said: &str) -> Option<(&str, f64, bool)> {
    let (_, said) = said.strip_prefix("process ")?.split_once(' ')?;
    let granted = said.starts_with("acquired ");
    if !granted && !said.starts_with("still waiting for ") {
        return None;
    }
    let (_, said) = said.split_once("Lock on ")?;
    let (target, after) = said.rsplit_once(" after ")?;
    Some((target, after.strip_suffix(" ms")?.parse().ok()?, granted))
}

fn context(said: &str) -> Option<Context> {
    let (doing, said) = said.strip_prefix("while ")?.split_once(" tuple ")?;
    let (row, relation) = said.split_once(" in relation ")?;
    Some(Context {
        doing: doing.to_owned(),
        row: row.to_owned(),
        relation: relation.trim_matches('"').to_owned(),
    })
}

pub(crate) fn a_wait_is_read_with_its_context() {
    let text = "\
100.010 7 LOG:  process 7 still waiting for ShareLock on transaction 764 after 1.000 ms
100.010 7 DETAIL:  Process holding the lock: 8. Wait queue: 7.
100.010 7 CONTEXT:  while updating tuple (0,1) in relation \"account\"
100.020 7 LOG:  process 7 acquired ShareLock on transaction 764 after 11.000 ms
100.020 7 CONTEXT:  while updating tuple (0,1) in relation \"account\"
";
    let log = read(text);
    let wait = &log[&(7, "transaction 764".to_owned())][..];
    let [wait] = wait else { panic!("{wait:?}") };
    assert!((wait.began - 100.009).abs() < 1e-6);
    assert_eq!(wait.ended, Some(100.020));
    assert_eq!(
        wait.context,
        Some(Context {
            doing: "updating".into(),
            row: "(0,1)".into(),
            relation: "account".into(),
        })
    );
}
