//! One screen: the state of things, the load, the tree, and whose time it is.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span as Piece};
use ratatui::widgets::{
    Block, Borders, Clear, Paragraph, RenderDirection, Sparkline, SparklineBar, Widget as _,
};

use super::victims::{Totals, is_at_work, is_locked};
use super::{Connection, Place, Top};
use crate::report::figures::{duration, percent, plural};
use crate::report::{Style as Ink, colour_index, plain_line, tree};
use crate::sample::{Session, Snapshot};
use crate::time::Span;

/// The smallest screen on which anything can be read.
const SMALLEST: (u16, u16) = (60, 16);
/// From this width on the tree has a column of its own.
const WIDE: u16 = 130;
/// What is told as lately.
const LATELY: Span = Span::from_secs(10);
/// One column of the load stands for so long.
const COLUMN: Span = Span::from_secs(1);

/// What an active session does, as the server's kinds of wait events tell.
const KINDS: [(&str, usize); 6] = [
    ("running", 2),
    ("Lock", 1),
    ("LWLock", 3),
    ("IO", 0),
    ("Client", 4),
    ("other", 7),
];

const HELP: &str = "\
 space        pause, and go on
 ← →          a look back, a look on
 PgUp PgDn    ten seconds back, on
 Home End     the first look remembered; the last, and on with it
 ↑ ↓          scroll the tree
 /            show only jams with this pid, system or table; Enter takes it
 Esc          show all again
 s            save what is shown, as text and JSON
 q            quit

 The load is of active sessions, a column a second. pgjam only reads.
 Any key closes this.";

impl Top {
    /// Draws the screen.
    pub fn draw(&self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let buffer = frame.buffer_mut();
        if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
            let (width, height) = SMALLEST;
            let note = format!("pgjam top needs {width} columns and {height} lines. q quits.");
            Paragraph::new(note)
                .wrap(ratatui::widgets::Wrap { trim: true })
                .render(area, buffer);
            return;
        }
        let [head, body, foot] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Min(8),
            Constraint::Length(1),
        ])
        .areas(area);
        self.head(head, buffer);
        let load_height = u16::try_from(KINDS.len() + 1).unwrap_or(7);
        if area.width >= WIDE {
            let [left, right] =
                Layout::horizontal([Constraint::Percentage(45), Constraint::Percentage(55)])
                    .spacing(2)
                    .areas(body);
            let [load, victims] =
                Layout::vertical([Constraint::Length(load_height), Constraint::Min(4)]).areas(left);
            self.load(load, buffer);
            self.victims(victims, buffer);
            self.tree(right, buffer);
        } else {
            let victims_height = (body.height / 4).clamp(4, 8);
            let [load, tree, victims] = Layout::vertical([
                Constraint::Length(load_height.min(body.height / 3)),
                Constraint::Min(4),
                Constraint::Length(victims_height),
            ])
            .areas(body);
            self.load(load, buffer);
            self.tree(tree, buffer);
            self.victims(victims, buffer);
        }
        self.foot(foot, buffer);
        if self.wants_help {
            help(area, buffer);
        }
    }

    fn paint(&self, index: usize) -> Style {
        if self.color {
            Style::new().fg(Color::Indexed(colour_index(index)))
        } else {
            Style::new()
        }
    }

    fn strong(&self) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD);
        if self.color {
            style.fg(Color::Indexed(208))
        } else {
            style
        }
    }

    fn head(&self, area: Rect, buffer: &mut Buffer) {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let shown = self.shown();
        let mut first = vec![Piece::styled("pgjam top", bold)];
        if let Some(look) = shown {
            first.push(Piece::raw(format!("  {} UTC", look.tick.at.to_clock())));
        }
        match (&self.connection, self.place) {
            (Connection::Lost(why), _) => {
                let words = format!("  not watched: {}", plain_line(why, 200));
                first.push(Piece::styled(words, self.strong()));
            }
            (Connection::Connecting, _) => first.push(Piece::raw("  connecting")),
            (Connection::Recorded, Place::Last) => first.push(Piece::raw("  recorded, at its end")),
            (_, Place::Last) => first.push(Piece::raw("  live")),
            (_, Place::Number(_)) => {
                let after = self.history.after(self.place);
                let words = format!("  paused, {} before the last", plural(after, "look"));
                first.push(Piece::styled(words, self.strong()));
            }
        }
        // Last, since a long one is cut.
        first.push(Piece::raw(format!("  {}", plain_line(&self.server, 60))));
        let second = shown.map_or_else(Line::default, |look| self.figures(look));
        Paragraph::new(vec![Line::from(first), second]).render(area, buffer);
    }

    /// Says in a line how it stands at a look.
    fn figures(&self, look: &Snapshot) -> Line<'_> {
        let at_work = || look.sessions.iter().filter(|session| is_at_work(session));
        let blocked = at_work().filter(|session| is_locked(session)).count();
        let longest = self.graph().and_then(|view| {
            let waits = view.nodes.iter().filter_map(|node| node.waiting_ms);
            waits.max_by(f64::total_cmp)
        });
        let tick = look.tick;
        let cost = tick.server.as_secs_f64() / tick.span.as_secs_f64().max(1e-6);
        let pace = match tick.period.as_secs_f64() {
            period if period > 0.0 => format!("{:.1} looks/s", 1.0 / period),
            _ => "pace unknown".to_owned(),
        };
        let blocked_style = if blocked > 0 {
            self.strong()
        } else {
            Style::new()
        };
        let wait = longest.map_or_else(String::new, |ms| {
            format!("   longest wait {}", duration(ms))
        });
        Line::from(vec![
            Piece::raw(format!("active {}", at_work().count())),
            Piece::styled(format!("   blocked {blocked}"), blocked_style),
            Piece::raw(format!("{wait}   {pace}, cost {}", percent(cost))),
        ])
    }

    /// Draws how many sessions did what, a column a second.
    fn load(&self, area: Rect, buffer: &mut Buffer) {
        let columns = area.width.saturating_sub(20);
        let title = format!("Active sessions, the last {columns} s");
        let inner = titled(&title, area, buffer);
        let seconds = self.seconds(usize::from(columns));
        let top = seconds
            .iter()
            .flatten()
            .flatten()
            .copied()
            .fold(0.0, f64::max);
        for (row, (kind, colour)) in (0_u16..).zip(KINDS) {
            if row >= inner.height {
                break;
            }
            let line = Rect {
                y: inner.y + row,
                height: 1,
                ..inner
            };
            let place = usize::from(row);
            let now = seconds.first().copied().flatten().map(|sums| sums[place]);
            let now = now.map_or_else(|| "-".to_owned(), |now| format!("{now:.1}"));
            let [name, bars] =
                Layout::horizontal([Constraint::Length(18), Constraint::Min(1)]).areas(line);
            Paragraph::new(format!("{kind:<9}{now:>7}"))
                .style(self.paint(colour))
                .render(name, buffer);
            let bar = |sums: &Option<[f64; KINDS.len()]>| {
                SparklineBar::from(sums.map(|sums| hundredths(sums[place])))
            };
            Sparkline::default()
                .data(seconds.iter().map(bar))
                .max(hundredths(top).max(100))
                .absent_value_symbol("·")
                .direction(RenderDirection::RightToLeft)
                .style(self.paint(colour))
                .render(bars, buffer);
        }
    }

    /// Averages sessions by kind over each second back from what is shown; none where nobody looked.
    fn seconds(&self, columns: usize) -> Vec<Option<[f64; KINDS.len()]>> {
        let mut seconds: Vec<([f64; KINDS.len()], f64)> = vec![([0.0; KINDS.len()], 0.0); columns];
        let Some(shown) = self.shown() else {
            return Vec::new();
        };
        for look in self.history.back_from(self.place) {
            let back = shown.tick.at.since(look.tick.at).as_micros() / COLUMN.as_micros();
            let Some((sums, watched)) = usize::try_from(back)
                .ok()
                .and_then(|back| seconds.get_mut(back))
            else {
                break;
            };
            let span = look.tick.span.as_secs_f64();
            *watched += span;
            for session in look.sessions.iter().filter(|session| is_at_work(session)) {
                sums[kind(session)] += span;
            }
        }
        let mean = |(sums, watched): ([f64; KINDS.len()], f64)| {
            (watched > 0.0).then(|| sums.map(|sum| sum / watched))
        };
        seconds.into_iter().map(mean).collect()
    }

    fn tree(&self, area: Rect, buffer: &mut Buffer) {
        let title = if self.filter.is_empty() {
            "Who waits for whom".to_owned()
        } else {
            format!(
                "Who waits for whom, with '{}'",
                plain_line(&self.filter, 60)
            )
        };
        let inner = titled(&title, area, buffer);
        let Some(view) = self.graph() else {
            Paragraph::new("Nothing was seen yet.").render(inner, buffer);
            return;
        };
        if !self.filter.is_empty() && view.nodes.is_empty() {
            let filter = plain_line(&self.filter, 40);
            let words =
                format!("Nobody in a jam has the pid, system or table '{filter}'. Esc shows all.");
            Paragraph::new(words)
                .wrap(ratatui::widgets::Wrap { trim: true })
                .render(inner, buffer);
            return;
        }
        let style = Ink {
            width: usize::from(inner.width),
            color: false,
        };
        let text = tree::render(&view, &style);
        let lines: Vec<&str> = text.lines().collect();
        let room = usize::from(inner.height);
        let from = self.scrolled.min(lines.len().saturating_sub(room));
        let mut shown: Vec<Line<'_>> = lines
            .iter()
            .skip(from)
            .take(room)
            .map(|line| self.tree_line(line))
            .collect();
        let below = lines.len().saturating_sub(from + room);
        if below > 0 {
            shown.pop();
            shown.push(Line::from(format!("↓ {} more lines", below + 1)));
        }
        Paragraph::new(shown).render(inner, buffer);
    }

    /// A root stands out; all else is as it was drawn.
    fn tree_line<'a>(&self, line: &'a str) -> Line<'a> {
        if line.starts_with('●') {
            Line::styled(line, self.strong())
        } else {
            Line::raw(line)
        }
    }

    fn victims(&self, area: Rect, buffer: &mut Buffer) {
        let inner = titled(
            "Whose time, active sessions: the last 10 s, and since the beginning",
            area,
            buffer,
        );
        let Some(shown) = self.shown() else { return };
        let recent = self
            .history
            .back_from(self.place)
            .take_while(|look| shown.tick.at.since(look.tick.at) < LATELY);
        let lately = Totals::of(recent, &self.naming, &self.names);
        let width = usize::from(inner.width);
        let mut lines = vec![Line::styled(
            format!("{:>6} {:>8} {:>6}  statement", "10 s", "in locks", "since"),
            Style::new().add_modifier(Modifier::DIM),
        )];
        for (victim, spent) in lately.heaviest() {
            let (system, statement) = victim;
            let system = system.as_deref().unwrap_or("(no name)");
            let text = statement.and_then(|id| self.statements.get(id));
            let text = text.map_or_else(
                || "(text unknown)".to_owned(),
                crate::statement::Statement::short,
            );
            let words = plain_line(&format!("{system}: {text}"), width.saturating_sub(25));
            let style = if spent.locked > 0.0 {
                self.paint(1)
            } else {
                Style::new()
            };
            let share = percent(spent.locked / spent.active.max(1e-9));
            lines.push(Line::styled(
                format!(
                    "{:>6.2} {share:>8} {:>6.2}  {words}",
                    lately.per_second(spent.active),
                    self.totals.sessions(victim),
                ),
                style,
            ));
            if lines.len() >= usize::from(inner.height) {
                break;
            }
        }
        if lines.len() == 1 {
            lines.push(Line::raw("Nobody was at work."));
        }
        Paragraph::new(lines).render(inner, buffer);
    }

    fn foot(&self, area: Rect, buffer: &mut Buffer) {
        let line = match (&self.typed, &self.said) {
            (Some(typed), _) => Line::from(format!(
                "pid, system or table: {}▏ Enter takes it, Esc leaves it",
                plain_line(typed, 60)
            )),
            (None, Some(said)) => Line::from(plain_line(said, usize::from(area.width))),
            (None, None) => Line::styled(
                "space pause  ← → look  / filter  s save  ? help  q quit",
                Style::new().add_modifier(Modifier::DIM),
            ),
        };
        Paragraph::new(line).render(area, buffer);
    }
}

/// Finds which of [`KINDS`] a session is of.
fn kind(session: &Session) -> usize {
    let last = KINDS.len() - 1;
    match session.wait_event_type.as_deref() {
        None => 0,
        Some(event) => KINDS
            .iter()
            .position(|(name, _)| *name == event)
            .unwrap_or(last),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float casts saturate, and a number of sessions is not negative"
)]
fn hundredths(sessions: f64) -> u64 {
    (sessions * 100.0).round() as u64
}

/// Writes a title over a rule, and gives the room below it.
fn titled(title: &str, area: Rect, buffer: &mut Buffer) -> Rect {
    let block = Block::new().borders(Borders::TOP).title(title.to_owned());
    let inner = block.inner(area);
    block.render(area, buffer);
    inner
}

fn help(area: Rect, buffer: &mut Buffer) {
    let (width, height) = (72.min(area.width), 14.min(area.height));
    let window = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    Clear.render(window, buffer);
    let block = Block::bordered().title(" Keys ");
    Paragraph::new(HELP).block(block).render(window, buffer);
}
