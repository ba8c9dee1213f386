//! pgjam: whose arrival made whose latency grow, through which table, by how much, how surely.
//!
//! Several applications share one `PostgreSQL`. Each is fine alone, together they jam. pgjam
//! looks at the server's sessions and locks some times a second, and charges every second that
//! a statement lost to the transaction it waited for.
//!
//! # One way for the data
//!
//! ```text
//!  queries/*.sql      sample         recording        graph          attribution          report
//!  one file per ──▶ typed rows ──▶ open columnar ──▶ who waits ──▶ whose time went ──▶ text · JSON
//!  question         of one tick    files (Parquet)   for whom,     to whom, what       SVG · HTML
//!                                                    one instant   grew, since when
//! ```
//!
//! Everything is a recording: a diagnosis on demand is a short one, analysed at once. Nothing
//! to the right of it knows whether it is live.
//!
//! # Code map
//!
//! In reading order. A module names only modules above it, and reaches of the outer world only
//! what its line says. `tests/tidy` reads this very table and holds the code to it.
//!
//! | module | owns | reaches |
//! |---|---|---|
//! | [`time`] | server instants and spans; the only arithmetic on time | nothing |
//! | [`pg`] | the server's nouns: backend, lock target, lock modes and their conflicts, version | nothing |
//! | [`statement`] | SQL texts through `pg_query`: fingerprint, normal form, tables, tags, redaction | nothing |
//! | [`query`] | the catalogue of `queries/*.sql` and what their headers promise | nothing |
//! | [`connect`] | connection strings, `PG*`, `.pgpass`, service files, TLS; one polite session | server, tasks, environment, files |
//! | [`sample`] | the typed rows of one look, the live source, the pace | server, tasks, clock |
//! | [`names`] | what oids mean, and what statements say | nothing |
//! | [`system`] | which system a session belongs to | nothing |
//! | [`graph`] | one instant: who waits for whom, why, for which table; roots, gates, cycles | nothing |
//! | [`recording`] | the open format, its writer and its reader | files, tasks, clock |
//! | [`log`] | what the server's own log states of waits and deadlocks | files |
//! | [`attribution`] | charges, growth, events, statistics, findings | nothing |
//! | [`report`] | one worded report, and its renderers | nothing |
//! | [`doctor`] | the preflight: what this role may see, and the statement that grants the rest | server |
//! | [`lab`] | throw-away servers, scenarios whose truth is known, the score | server, tasks, clock, environment, files, processes |
//! | [`daemon`] | the watch into a recording, its configuration, the supervision of several for weeks, what is known of each now, HTTP | tasks, clock, environment, files, service manager |
//! | [`top`] | what `pgjam top` remembers and shows | nothing |
//! | [`cli`] | what was typed, what it means, exit codes; the only place that prints | server, tasks, clock, environment, files, processes, terminal |
//!
//! # What must not happen
//!
//! 1. `graph`, `attribution` and `report` do no I/O, read no clock, and fail on no input that
//!    the recording's format admits.
//! 2. Time is the server's. The tool's clock decides when to look, never how long someone
//!    waited.
//! 3. A pid alone identifies nobody: pids are reused, so a backend is a pid and its start. A
//!    prepared transaction holds locks too, and has no pid at all.
//! 4. Nothing is lost in silence. Late and missed ticks, refused questions, cut texts and reset
//!    statistics are counted, and every report prints the counts: "nothing happened" and
//!    "nobody looked" are different.
//! 5. The observer is in nobody's way: it asks functions rather than views, holds nothing but
//!    its own virtual transaction while it looks, writes nothing on the server it watches,
//!    keeps one connection, marks its statements, and leaves itself out of the figures.
//! 6. Equal input, equal bytes. No hash order, no random state, no time of day in an output.
//! 7. No share without its uncertainty. "Not enough data yet" is an answer, and pgjam would
//!    rather accuse nobody than the wrong system.
//! 8. Raw query texts end in `sample` and `log`: what is kept or shown is the normal form, without
//!    literals.

pub mod pg;
pub mod time;

pub mod attribution;
pub mod cli;
pub mod connect;
pub mod daemon;
pub mod doctor;
pub mod graph;
pub mod lab;
pub mod log;
pub mod names;
pub mod query;
pub mod recording;
pub mod report;
pub mod sample;
pub mod statement;
pub mod system;
pub mod top;
