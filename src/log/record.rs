//! One entry of a log, whatever format it came in.

use std::sync::Arc;

use memchr::memmem;

use crate::pg::Pid;
use crate::time::Timestamp;

/// Who wrote an entry, as far as the format tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// `application_name`.
    pub application_name: Option<Arc<str>>,
    /// The role that logged in.
    pub role: Option<Arc<str>>,
    /// The database.
    pub database: Option<Arc<str>>,
    /// The client's address, without its port.
    pub client_addr: Option<Arc<str>>,
}

/// An entry, with its texts as they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) at: Timestamp,
    pub(super) pid: Option<Pid>,
    pub(super) client: Client,
    /// `LOG`, `ERROR`, …: in the language of `lc_messages`.
    pub(super) severity: String,
    /// The SQLSTATE, in whatever language.
    pub(super) state: Option<String>,
    pub(super) message: String,
    pub(super) detail: Option<String>,
    pub(super) context: Option<String>,
    pub(super) statement: Option<String>,
}

/// What a stretch of a log was not understood for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Entries that break off, are longer than is kept, or are not of the format.
    pub(super) broken: u64,
    /// Entries whose time says no more than an abbreviation that could be anybody's.
    pub(super) unplaced: u64,
    /// Entries in another language.
    pub(super) foreign: u64,
}

impl Trouble {
    pub(super) fn add(&mut self, more: Self) {
        self.broken += more.broken;
        self.unplaced += more.unplaced;
        self.foreign += more.foreign;
    }
}

/// Words without one of which nothing that is read here is said, in any language: the names of
/// lock modes and the codes of errors are not translated.
const NEEDLES: [&str; 7] = [
    "Lock",
    "deadlock detected",
    "canceling ",
    "terminating connection due to ",
    "40P01",
    "57014",
    "55P03",
];

/// A quick look for what may be of interest.
pub(super) struct Sieve([memmem::Finder<'static>; NEEDLES.len()]);

impl Sieve {
    pub(super) fn new() -> Self {
        Self(NEEDLES.map(memmem::Finder::new))
    }

    /// Tells whether some bytes may say something that is read here.
    pub(super) fn keeps(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|needle| needle.find(bytes).is_some())
    }
}

/// The words for how grave an entry is, in English; debugging is numbered.
const SEVERITIES: [&str; 7] = [
    "LOG", "INFO", "NOTICE", "WARNING", "ERROR", "FATAL", "PANIC",
];

/// Tells whether a severity is in English.
pub(super) fn is_english(severity: &str) -> bool {
    SEVERITIES.contains(&severity) || severity.starts_with("DEBUG")
}

/// Keeps a text that says something.
pub(super) fn filled(text: &str) -> Option<Arc<str>> {
    let says_nothing = text.is_empty() || text == "[unknown]";
    (!says_nothing).then(|| text.into())
}

/// Gives the address of `10.0.0.1:5432`, `10.0.0.1(5432)` or `[::1]:5432`; none of a socket.
pub(super) fn address(from: &str) -> Option<Arc<str>> {
    let host = from.split_once('(').map_or(from, |(host, _)| host);
    let is_alone = host.parse::<std::net::IpAddr>().is_ok();
    let host = match host.rsplit_once(':') {
        Some((host, _)) if !is_alone => host.trim_matches(['[', ']']),
        _ => host,
    };
    host.parse::<std::net::IpAddr>().ok()?;
    filled(host)
}
