//! What happened while we watched: systems that began to write, or do much more, and what was declared.
//!
//! A system is onboarded when its first connection is younger than the watch and it
//! writes. Reconnecting is not an onboarding: a system seen before stays known, and one
//! that opens a connection for each request must have been away for several times its
//! usual pause.
//! Events that follow each other more closely than a window can be cut form one
//! group: what each did directly is known, what they did together only for all.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::attribution::window::{Cuts, Window};
use crate::names::{Names, Statements};
use crate::recording::{Event, Recording};
use crate::sample::Session;
use crate::statement::{Kind, Statement};
use crate::system::Naming;
use crate::time::{Span, Timestamp};

/// The kind of event that a system's arrival is.
pub(super) const ONBOARDED: &str = Event::ONBOARDED;

/// Events closer than this cannot be told apart by time.
pub(super) const APART: Span = Span::from_secs(10);
/// What a new system needs to come up to its pace.
const SETTLE: Span = Span::from_secs(1);
/// A first write so soon after the connection dates the onboarding by the connection: a
/// quick writer is mostly seen between its writes, so the first that is seen is not the first.
const PROMPT: Span = Span::from_secs(120);

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Happening {
    pub(super) at: Timestamp,
    pub(super) kind: &'static str,
    pub(super) label: Arc<str>,
    pub(super) declared: bool,
    /// The calls a second before and after, where they stepped up.
    pub(super) rates: Option<[f64; 2]>,
}

impl Happening {
    /// Tells whether it is something that a system began to do.
    pub(super) fn is_of_a_system(&self) -> bool {
        [ONBOARDED, Event::RATE].contains(&self.kind)
    }
}

/// Events that time alone cannot tell apart, and the windows around them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct EventGroup {
    /// Places in the list of events.
    pub(super) members: Vec<usize>,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) before: Option<Window>,
    pub(super) after: Option<Window>,
}

/// Who connects anew all the time was away for so many of its usual pauses, or was there.
const PAUSES: i64 = 5;
/// With fewer pauses than this a system has a pool that grew, rather than a habit.
const MANY_PAUSES: usize = 5;

/// What is known of a system as the rows go by.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// When its sessions connected.
    pub(super) connected: BTreeSet<Timestamp>,
    /// When it first wrote, as far as was seen.
    wrote: Option<Timestamp>,
}

impl Seen {
    /// Takes in one of its sessions.
    pub(super) fn see(&mut self, session: &Session, statements: &Statements) {
        self.connected.insert(session.backend_start);
        let statement = session.statement.and_then(|id| statements.get(id));
        let writes = |statement: &Statement| statement.writes() || is_two_phase(statement);
        if session.backend_xid.is_some() || statement.is_some_and(writes) {
            let when = session.query_start.unwrap_or(session.backend_start);
            self.wrote = Some(self.wrote.map_or(when, |wrote| wrote.min(when)));
        }
    }

    /// Dates its onboarding; none where it never wrote, or was there when the watch began.
    pub(super) fn onboarded(&self, start: Timestamp) -> Option<Timestamp> {
        let (connected, wrote) = (self.arrived(start)?, self.wrote?);
        let is_prompt = wrote.since(connected) < PROMPT;
        Some(if is_prompt { connected } else { wrote })
    }

    /// Tells whether it came and went so often that its habit is known.
    pub(super) fn is_known_well(&self) -> bool {
        self.connected.len() > MANY_PAUSES
    }

    /// Gives the first connection, if it was not just one of many that come and go.
    fn arrived(&self, start: Timestamp) -> Option<Timestamp> {
        let first = *self.connected.first()?;
        let later = self.connected.iter().skip(1);
        let mut pauses: Vec<Span> = self
            .connected
            .iter()
            .zip(later)
            .map(|(a, b)| b.since(*a))
            .collect();
        pauses.sort_unstable();
        let usual = pauses.get(pauses.len() / 2).copied().unwrap_or_default();
        let comes_and_goes = pauses.len() >= MANY_PAUSES;
        let away = first.since(start).as_micros() >= PAUSES * usual.as_micros();
        let away = away || !comes_and_goes;
        (first > start && away).then_some(first)
    }
}

/// Tells whether a statement is one of a two-phase commit, which only who writes needs.
fn is_two_phase(statement: &Statement) -> bool {
    let mut words = statement.text.split(' ');
    let [first, second] = [words.next(), words.next()].map(Option::unwrap_or_default);
    let prepares =
        first.eq_ignore_ascii_case("prepare") && second.eq_ignore_ascii_case("transaction");
    statement.kind == Kind::Transaction && (prepares || second.eq_ignore_ascii_case("prepared"))
}

/// Finds what happened, in order of time.
pub(super) fn happenings(
    recording: &Recording,
    naming: &Naming,
    names: &Names,
    statements: &Statements,
) -> Vec<Happening> {
    let Some(start) = start(recording) else {
        return Vec::new();
    };
    // Who was there before the first tick is no newcomer, or has been told as one.
    let known = before_the_samples(recording);
    let mut systems: HashMap<Arc<str>, Seen> = HashMap::new();
    for session in recording
        .snapshots
        .iter()
        .flat_map(|snapshot| &snapshot.sessions)
    {
        let Some(name) = session
            .is_client()
            .then(|| naming.name(session, names))
            .flatten()
        else {
            continue;
        };
        systems.entry(name).or_default().see(session, statements);
    }
    let newcomers = systems
        .into_iter()
        .filter(|(label, _)| !known.contains(label));
    let onboarded = newcomers.filter_map(|(label, seen)| {
        Some(Happening {
            at: seen.onboarded(start)?,
            kind: ONBOARDED,
            label,
            declared: false,
            rates: None,
        })
    });
    let declared = recording.declared.iter().map(|declared| Happening {
        at: declared.at,
        kind: "declared",
        label: Arc::clone(&declared.label),
        declared: true,
        rates: None,
    });
    let told = recording.events.iter().filter(|event| {
        &*event.kind == ONBOARDED && event.at > start && known.contains(&event.label)
    });
    let told = told.map(|event| Happening {
        at: event.at,
        kind: ONBOARDED,
        label: Arc::clone(&event.label),
        declared: false,
        rates: None,
    });
    let mut all: Vec<Happening> = onboarded.chain(told).chain(declared).collect();
    all.sort_by(|a, b| (a.at, &a.label).cmp(&(b.at, &b.label)));
    all
}

/// Gives the first instant that is known of.
fn start(recording: &Recording) -> Option<Timestamp> {
    let minute = recording.minutes.first().map(|rolled| rolled.minute.at);
    let tick = recording.snapshots.first().map(|snapshot| snapshot.tick.at);
    minute.or(tick)
}

/// Lists the systems that the minutes without samples know.
fn before_the_samples(recording: &Recording) -> HashSet<Arc<str>> {
    let systems = recording.accounts().flat_map(|account| {
        [&account.system, &account.blocker_system]
            .into_iter()
            .flatten()
    });
    systems.cloned().collect()
}

/// Groups events, and cuts the windows before and after each group.
///
/// `end` is the last instant watched. The baseline of a group is the stretch since
/// the group before it, so that growth is what *this* group brought.
pub(super) fn groups(
    events: &[Happening],
    cuts: &Cuts,
    start: Timestamp,
    end: Timestamp,
) -> Vec<EventGroup> {
    let mut groups: Vec<EventGroup> = Vec::new();
    for (member, event) in events.iter().enumerate() {
        match groups
            .last_mut()
            .filter(|group| event.at.since(group.to) < APART)
        {
            Some(group) => {
                group.members.push(member);
                group.to = event.at;
            }
            None => groups.push(EventGroup {
                members: vec![member],
                from: event.at,
                to: event.at,
                before: None,
                after: None,
            }),
        }
    }
    for n in 0..groups.len() {
        let earlier = n.checked_sub(1).map_or(start, |n| groups[n].to + SETTLE);
        let later = groups.get(n + 1).map_or(end, |next| next.from);
        groups[n].before = cuts.window(earlier, groups[n].from);
        groups[n].after = cuts.window(groups[n].to + SETTLE, later);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::read;

    #[test]
    fn a_two_phase_commit_is_told_from_other_ends_of_a_transaction() {
        let is_told = |sql: &str| is_two_phase(&read(sql.as_bytes()));
        for told in [
            "PREPARE TRANSACTION 'order-7'",
            "commit prepared 'order-7'",
            "ROLLBACK PREPARED 'order-7'",
        ] {
            assert!(is_told(told), "{told}");
        }
        for other in ["COMMIT", "prepare q as select 1", "select prepared from t"] {
            assert!(!is_told(other), "{other}");
        }
    }
}
