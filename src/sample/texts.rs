//! Which statement a row means, and which texts the server need not send again.
//!
//! A text is read once per (database, query id). Where the server gives no query id
//! (while it parses, or with `compute_query_id` off) the text itself is the key, so a
//! thousand sessions stuck in one DDL queue cost one reading.
//!
//! What is remembered is bounded; what was forgotten is asked for again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::pg::{Oid, QueryId};
use crate::sample::{Session, StatementText};
use crate::statement::{self, StatementId};

/// Query ids beyond this are forgotten, those not seen for long first.
const MOST_IDS: usize = 8_192;

/// A query id not seen for so many ticks is no longer named to the server.
const RECENT: u64 = 600;

/// An id such as that of `BEGIN` is remembered in no more databases.
const MOST_DATABASES: usize = 64;

/// Raw texts beyond this many bytes are forgotten.
const MOST_BYTES: usize = 4 << 20;

/// What a text takes beside its bytes.
const OVERHEAD: usize = 64;

/// The tick asks for no more than so many bytes of a text: a thousand sessions may each bring
/// one that nobody knows.
const ASKED: usize = 16_384;

/// What the server writes in place of a text.
const NO_TEXTS: [&[u8]; 4] = [
    b"",
    b"<insufficient privilege>",
    b"<backend information not available>",
    b"<command string not enabled>",
];

#[derive(Debug, Default)]
struct Known {
    /// Where the id was seen: `BEGIN` has one id in every database.
    databases: Vec<(Option<Oid>, StatementId)>,
    seen: u64,
    /// It was seen in a database where nobody has read it: the server should send it again.
    wanted: bool,
}

/// The texts that were seen.
#[derive(Debug)]
pub(super) struct Texts {
    tag_keys: Vec<String>,
    /// A text as long as this was cut: by `track_activity_query_size`, or by the tick.
    size: usize,
    tick: u64,
    by_id: HashMap<QueryId, Known>,
    by_text: HashMap<Box<[u8]>, StatementId>,
    bytes: usize,
    told: HashSet<(Option<Oid>, StatementId)>,
    learned: Vec<StatementText>,
    truncated: u64,
}

impl Texts {
    /// Begins with nothing known, on a server that keeps `size` bytes of a text.
    pub(super) fn new(tag_keys: Vec<String>, size: usize) -> Self {
        Self {
            tag_keys,
            size: size.min(ASKED),
            tick: 0,
            by_id: HashMap::new(),
            by_text: HashMap::new(),
            bytes: 0,
            told: HashSet::new(),
            learned: Vec::new(),
            truncated: 0,
        }
    }

    /// Tells whether every text is wanted, for the tags in it.
    pub(super) fn wants_all(&self) -> bool {
        !self.tag_keys.is_empty()
    }

    /// Begins a tick and gives the query ids whose text the server need not send.
    pub(super) fn begin(&mut self) -> Vec<i64> {
        self.tick += 1;
        let oldest = self.tick.saturating_sub(RECENT);
        if self.by_id.len() >= MOST_IDS {
            self.by_id.retain(|_, known| known.seen >= oldest);
            if self.by_id.len() >= MOST_IDS {
                self.by_id.clear();
            }
        }
        if self.told.len() >= MOST_IDS {
            self.told.clear();
        }
        if self.wants_all() {
            return Vec::new();
        }
        let recent = |known: &Known| known.seen >= oldest && !known.wanted;
        self.by_id
            .iter()
            .filter(|(_, known)| recent(known))
            .map(|(id, _)| id.0)
            .collect()
    }

    /// Fills in what `session` ran, from the text that came with it or from memory.
    pub(super) fn resolve(&mut self, session: &mut Session, raw: Option<&[u8]>) {
        let raw = raw.filter(|raw| !NO_TEXTS.contains(raw));
        session.tags = raw.and_then(|raw| statement::tags(raw, &self.tag_keys));
        let database = session.database;
        session.statement = match (session.query_id, raw) {
            (Some(id), raw) => self.by_query_id(database, id, raw),
            (None, Some(raw)) => {
                let id = self.read(raw);
                if self.told.insert((database, id)) {
                    self.learn(database, None, raw);
                }
                Some(id)
            }
            (None, None) => None,
        };
    }

    /// Gives the texts that are new since the last call.
    pub(super) fn learned(&mut self) -> Vec<StatementText> {
        std::mem::take(&mut self.learned)
    }

    /// Gives how many texts were seen cut since the last call.
    pub(super) fn truncated(&mut self) -> u64 {
        std::mem::take(&mut self.truncated)
    }

    fn by_query_id(
        &mut self,
        database: Option<Oid>,
        id: QueryId,
        raw: Option<&[u8]>,
    ) -> Option<StatementId> {
        let tick = self.tick;
        if let Some(known) = self.by_id.get_mut(&id) {
            known.seen = tick;
            let here = known.databases.iter().find(|(at, _)| *at == database);
            if let Some((_, statement)) = here {
                return Some(*statement);
            }
            if raw.is_none() {
                known.wanted = true;
                return known.databases.first().map(|(_, statement)| *statement);
            }
        }
        let raw = raw?;
        let statement = self.learn(database, Some(id), raw);
        let known = self.by_id.entry(id).or_default();
        if known.databases.len() >= MOST_DATABASES {
            known.databases.clear();
        }
        known.databases.push((database, statement));
        known.seen = tick;
        known.wanted = false;
        Some(statement)
    }

    /// Reads a text through the memory of raw texts.
    fn read(&mut self, raw: &[u8]) -> StatementId {
        if let Some(id) = self.by_text.get(raw) {
            return *id;
        }
        let id = statement::read(raw).id;
        let bytes = raw.len() + OVERHEAD;
        if self.bytes + bytes > MOST_BYTES {
            self.by_text.clear();
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.by_text.insert(raw.into(), id);
        id
    }

    fn learn(&mut self, database: Option<Oid>, id: Option<QueryId>, raw: &[u8]) -> StatementId {
        // Cut within a character, a text is up to three bytes shorter.
        if raw.len() + 4 >= self.size {
            self.truncated += 1;
        }
        let read = statement::read(raw);
        self.learned.push(StatementText {
            id: read.id,
            database,
            query_id: id,
            text: Arc::clone(&read.text),
            parsed: read.parsed,
        });
        read.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::Pid;
    use crate::sample::State;
    use crate::time::Timestamp;

    fn session(database: u32, query_id: Option<i64>) -> Session {
        Session {
            pid: Pid(1),
            backend_start: Timestamp::default(),
            leader_pid: None,
            backend_type: "client backend".into(),
            database: Some(Oid(database)),
            role: None,
            application_name: "".into(),
            client_addr: None,
            state: State::Active,
            wait_event_type: None,
            wait_event: None,
            query_id: query_id.map(QueryId),
            statement: None,
            tags: None,
            xact_start: None,
            query_start: None,
            state_change: None,
            backend_xid: None,
            backend_xmin: None,
        }
    }

    impl Texts {
        /// What is remembered from one tick to the next, in bytes, as it is laid out in memory.
        fn size(&self) -> usize {
            // One byte of control beside each place, an eighth of the places free.
            fn table<T>(capacity: usize) -> usize {
                capacity * 8 / 7 * (size_of::<T>() + 1)
            }
            let databases = self.by_id.values().map(|known| known.databases.capacity());
            table::<(QueryId, Known)>(self.by_id.capacity())
                + databases.sum::<usize>() * size_of::<(Option<Oid>, StatementId)>()
                + table::<(Box<[u8]>, StatementId)>(self.by_text.capacity())
                + self.by_text.keys().map(|raw| raw.len() + 16).sum::<usize>()
                + table::<(Option<Oid>, StatementId)>(self.told.capacity())
                + self.learned.capacity() * size_of::<StatementText>()
        }
    }

    /// Sees a thousand sessions a tick, each with a statement that nobody saw before; gives how
    /// many bytes are remembered at most, and how many texts were learned.
    fn storm(statements: i64, has_ids: bool, text: impl Fn(i64) -> String) -> (usize, usize) {
        let mut texts = Texts::new(Vec::new(), 1_024);
        let (mut most, mut learned) = (0, 0);
        for tick in 0..statements / 1_000 {
            texts.begin();
            for n in tick * 1_000..(tick + 1) * 1_000 {
                let mut session = session(1, has_ids.then_some(n));
                texts.resolve(&mut session, Some(text(n).as_bytes()));
                assert!(session.statement.is_some());
            }
            learned += texts.learned().len();
            most = most.max(texts.size());
        }
        (most, learned)
    }

    #[test]
    fn a_hundred_thousand_statements_take_a_few_megabytes_and_each_is_learned() {
        // No two that the parser would take for one.
        let text = |n: i64| format!("select c{n} from t{n}");
        for has_ids in [true, false] {
            let (bytes, learned) = storm(100_000, has_ids, text);
            assert!(bytes < 6 << 20, "{bytes}");
            assert_eq!(learned, 100_000);
        }
    }

    #[test]
    fn long_texts_without_an_id_take_no_more() {
        let filler = "x".repeat(900);
        let (bytes, _) = storm(20_000, false, |n| format!("select '{filler}{n}'"));
        assert!(bytes < 6 << 20, "{bytes}");
    }

    #[test]
    fn what_was_forgotten_is_asked_for_and_learned_again() {
        let mut texts = Texts::new(Vec::new(), 1_024);
        let see = |texts: &mut Texts, id: i64| {
            let known = texts.begin().contains(&id);
            let text = format!("select c{id} from t");
            texts.resolve(
                &mut session(1, Some(id)),
                (!known).then_some(text.as_bytes()),
            );
            known
        };
        assert!(!see(&mut texts, 7));
        assert!(see(&mut texts, 7));
        let most = i64::try_from(MOST_IDS).unwrap_or(i64::MAX);
        texts.begin();
        for id in 1_000..1_000 + most {
            texts.resolve(&mut session(1, Some(id)), Some(b"select 1"));
        }
        texts.learned();
        assert!(!see(&mut texts, 7));
        assert_eq!(texts.learned().len(), 1);
    }

    #[test]
    fn a_statement_of_very_many_databases_is_remembered_in_some() {
        let mut texts = Texts::new(Vec::new(), 1_024);
        for database in 0..10_000 {
            texts.begin();
            texts.resolve(&mut session(database, Some(7)), Some(b"begin"));
            assert_eq!(texts.learned().len(), 1);
        }
        assert!(texts.size() < 64 << 10, "{}", texts.size());
    }
}
