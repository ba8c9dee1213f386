//! What `pgjam top` remembers and shows: looks and keys in, screens out.
//!
//! ```text
//!  looks ─▶ history (bounded) ─▶ the look that is shown ─▶ filter ─▶ one screen
//!  keys  ─▶ which look, which filter ┘
//! ```
//!
//! - Nothing here reads a clock, a keyboard or a server, and nothing writes: what the user
//!   wants of the world is given back as a [`Wish`].
//! - The history holds at most [`History::LOOKS`] looks and about [`History::BYTES`] bytes of
//!   them; what is older is forgotten, first the oldest. What is shown as paused stays as long
//!   as it is remembered. Of a recording every look stays: its reader bounds what is read.
//! - The tree is the one that `pgjam now` draws.

mod filter;
mod history;
mod screen;
mod victims;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;

use crate::graph::WaitGraph;
use crate::graph::view::{GraphView, Vocabulary};
use crate::names::{Names, Statements};
use crate::report::{Style, first_screen, json};
use crate::sample::{Name, Snapshot, StatementText};
use crate::system::Naming;
use crate::time::{Span, Timestamp};

pub use self::history::History;
use self::history::Place;
use self::victims::Totals;

/// How far Page Up and Page Down go.
const PAGE: Span = Span::from_secs(10);

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// One that writes.
    Char(char),
    /// Backspace.
    Backspace,
    /// Enter.
    Enter,
    /// Escape.
    Escape,
    /// Arrows.
    Left,
    /// Arrows.
    Right,
    /// Arrows.
    Up,
    /// Arrows.
    Down,
    /// Page Up.
    PageUp,
    /// Page Down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
}

/// What only the caller can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To leave.
    Quit,
    /// To keep what is shown.
    Save {
        /// When that was.
        at: Timestamp,
        /// As `pgjam now` prints it.
        text: String,
        /// As `pgjam now --format json` does.
        json: String,
    },
}

/// How it stands with the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Connection {
    /// It was not reached yet.
    #[default]
    Connecting,
    /// It is watched.
    Watched,
    /// It is not, and why; it is tried again.
    Lost(String),
    /// What is shown was recorded.
    Recorded,
}

/// All that the screen depends on.
#[derive(Debug)]
pub struct Top {
    server: String,
    naming: Naming,
    names: Names,
    statements: Statements,
    connection: Connection,
    history: History,
    totals: Totals,
    place: Place,
    filter: String,
    /// What is being typed in place of the filter.
    typed: Option<String>,
    wants_help: bool,
    /// The first line of the tree that is shown.
    scrolled: usize,
    said: Option<String>,
    color: bool,
}

impl Top {
    /// Begins with nothing seen.
    #[must_use]
    pub fn new(server: String, naming: Naming, color: bool) -> Self {
        Self {
            server,
            naming,
            names: Names::default(),
            statements: Statements::default(),
            connection: Connection::default(),
            history: History::default(),
            totals: Totals::default(),
            place: Place::default(),
            filter: String::new(),
            typed: None,
            wants_help: false,
            scrolled: 0,
            said: None,
            color,
        }
    }

    /// Begins with a recording, of which every look stays.
    #[must_use]
    pub fn recorded(server: String, naming: Naming, color: bool) -> Self {
        Self {
            connection: Connection::Recorded,
            history: History::whole(),
            ..Self::new(server, naming, color)
        }
    }

    /// Hears what a statement says.
    pub fn learned(&mut self, text: &StatementText) {
        self.statements.learn(text);
    }

    /// Hears what an oid means.
    pub fn named(&mut self, name: &Name) {
        self.names.learn(name);
    }

    /// Takes a look in; looks come in order of time.
    pub fn saw(&mut self, snapshot: Snapshot) {
        self.totals.add(&snapshot, &self.naming, &self.names);
        self.history.push(snapshot);
    }

    /// Hears how it stands with the server.
    pub fn connection(&mut self, connection: Connection) {
        self.connection = connection;
    }

    /// Shows a line at the foot until the next key.
    pub fn say(&mut self, words: String) {
        self.said = Some(words);
    }

    /// Does what a key means, and gives what only the caller can do.
    pub fn key(&mut self, key: Key) -> Option<Wish> {
        self.said = None;
        if self.typed.is_some() {
            self.type_filter(key);
            return None;
        }
        if std::mem::take(&mut self.wants_help) {
            return None;
        }
        match key {
            Key::Char('q') => return Some(Wish::Quit),
            Key::Char('?' | 'h') => self.wants_help = true,
            Key::Char('/') => self.typed = Some(self.filter.clone()),
            Key::Char(' ') => self.place = self.history.toggled(self.place),
            Key::Char('s') => return self.saved(),
            Key::Escape => {
                self.filter.clear();
                self.scrolled = 0;
            }
            Key::Up => self.scrolled = self.scrolled.saturating_sub(1),
            Key::Down => self.scrolled += 1,
            Key::Left => self.place = self.history.stepped(self.place, -1),
            Key::Right => self.place = self.history.stepped(self.place, 1),
            Key::PageUp => self.place = self.history.moved(self.place, Span::ZERO.less(PAGE)),
            Key::PageDown => self.place = self.history.moved(self.place, PAGE),
            Key::Home => self.place = self.history.first(),
            Key::End => self.place = Place::Last,
            Key::Char(_) | Key::Backspace | Key::Enter => {}
        }
        None
    }

    fn type_filter(&mut self, key: Key) {
        let Some(typed) = &mut self.typed else {
            return;
        };
        match key {
            Key::Char(c) if !c.is_control() && typed.chars().count() < 60 => typed.push(c),
            Key::Backspace => {
                typed.pop();
            }
            Key::Enter => {
                std::mem::take(typed).trim().clone_into(&mut self.filter);
                self.typed = None;
                self.scrolled = 0;
            }
            Key::Escape => self.typed = None,
            _ => {}
        }
    }

    /// Gives the look that is shown.
    fn shown(&self) -> Option<&Snapshot> {
        self.history.at(self.place)
    }

    /// Gives its graph, cut to what the filter names.
    fn graph(&self) -> Option<GraphView> {
        let words = Vocabulary {
            naming: &self.naming,
            names: &self.names,
            statements: &self.statements,
        };
        let view = WaitGraph::of(self.shown()?).view(words);
        Some(filter::cut(view, &self.filter))
    }

    fn saved(&self) -> Option<Wish> {
        let view = self.graph()?;
        let style = Style {
            width: 100,
            color: false,
        };
        Some(Wish::Save {
            at: view.taken_at.0,
            text: first_screen::with_tree(&view, None, &style),
            json: json::render_graph(&view),
        })
    }
}
