//! Lines for a terminal: painted by meaning, cut by display width, safe to print.
//!
//! Every text that reaches a `Line` is escaped: a query cannot move the cursor,
//! ring the bell or reverse the reading order. Colour never carries a meaning alone.

use anstyle::{Ansi256Color, Effects};
use unicode_width::UnicodeWidthChar;

/// How wide a page is and whether it may be coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns of a line.
    pub width: usize,
    /// Whether to colour.
    pub color: bool,
}

impl Default for Style {
    /// Gives 80 columns without colour.
    fn default() -> Self {
        Self {
            width: 80,
            color: false,
        }
    }
}

/// What a piece of text means; the colours are apart for every kind of colour vision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    /// Nothing in particular.
    Plain,
    /// A heading.
    Title,
    /// Beside the point.
    Faint,
    /// Who stands in the way, and what is proved.
    Blame,
    /// Who waits, and what is supported.
    Wait,
    /// What is well, and commands to run.
    Calm,
}

impl Ink {
    fn style(self) -> anstyle::Style {
        let color = |index: u8| anstyle::Style::new().fg_color(Some(Ansi256Color(index).into()));
        match self {
            Self::Plain => anstyle::Style::new(),
            Self::Title => anstyle::Style::new().effects(Effects::BOLD),
            Self::Faint => anstyle::Style::new().effects(Effects::DIMMED),
            Self::Blame => color(208).effects(Effects::BOLD),
            Self::Wait => color(178),
            Self::Calm => color(74),
        }
    }
}

/// One line in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pieces: Vec<(Ink, String)>,
}

impl Line {
    /// Begins with a plain text.
    pub(super) fn new(text: &str) -> Self {
        Self::default().plus(Ink::Plain, text)
    }

    /// Appends a text, escaped.
    pub(super) fn plus(mut self, ink: Ink, text: &str) -> Self {
        self.pieces.push((ink, escape(text)));
        self
    }

    /// Writes the line to `page`, cut to the page's width, with its line end.
    pub(super) fn write(self, page: &mut String, style: Style) {
        let whole: usize = self.pieces.iter().map(|(_, text)| width(text)).sum();
        let fits = whole <= style.width;
        let mut left = if fits {
            whole
        } else {
            style.width.saturating_sub(1)
        };
        for (ink, text) in self.pieces {
            let shown = head(&text, left);
            left = left.saturating_sub(width(shown));
            if style.color && ink != Ink::Plain && !shown.is_empty() {
                let paint = ink.style();
                page.extend([
                    paint.render().to_string().as_str(),
                    shown,
                    anstyle::Reset.render().to_string().as_str(),
                ]);
            } else {
                page.push_str(shown);
            }
            if shown.len() < text.len() {
                break;
            }
        }
        if !fits {
            page.push('…');
        }
        page.truncate(page.trim_end_matches(' ').len());
        page.push('\n');
    }
}

/// Escapes what could act on a terminal or mislead a reader; line ends and tabs become spaces.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => safe.push(' '),
            c if c.is_control() || is_invisible(c) => {
                safe.extend(c.escape_unicode());
            }
            c => safe.push(c),
        }
    }
    safe
}

/// Tells whether a character changes how others read without showing itself.
pub(super) const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Cuts a text to so many columns, with an ellipsis in the last where something is gone.
#[must_use]
pub fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        text.to_owned()
    } else if columns == 0 {
        String::new()
    } else {
        format!("{}…", head(text, columns - 1))
    }
}

/// Cuts or fills a text to exactly so many columns.
pub(super) fn column(text: &str, columns: usize) -> String {
    let cut = fit(&escape(text), columns);
    let fill = columns.saturating_sub(width(&cut));
    format!("{cut}{:fill$}", "")
}

/// The same, with the text at the right.
pub(super) fn right(text: &str, columns: usize) -> String {
    let cut = fit(&escape(text), columns);
    let fill = columns.saturating_sub(width(&cut));
    format!("{:fill$}{cut}", "")
}

/// Breaks a text into lines of at most so many columns, at spaces where it can.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(8);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in escape(text).split(' ').filter(|word| !word.is_empty()) {
        let mut word = word.to_owned();
        if !line.is_empty() && width(&line) + 1 + width(&word) > columns {
            lines.push(std::mem::take(&mut line));
        }
        while width(&word) > columns {
            let rest = word.split_off(head(&word, columns).len());
            lines.push(std::mem::replace(&mut word, rest));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Counts the columns of a text: those of its characters, one by one.
///
/// A terminal may draw a sequence (an emoji with its selector) wider or narrower; one
/// measure for counting and for cutting is worth more here than the exact one.
fn width(text: &str) -> usize {
    text.chars().map(of_char).sum()
}

fn of_char(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// Gives the longest beginning that is at most so many columns wide.
fn head(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += of_char(c);
        if used > columns {
            return &text[..at];
        }
    }
    text
}

/// Writes a wrapped text, its first line behind `first`, the others indented as far.
pub(super) fn paragraph(page: &mut String, style: Style, ink: Ink, first: &str, text: &str) {
    let indent = width(first);
    for (n, line) in wrap(text, style.width.saturating_sub(indent))
        .iter()
        .enumerate()
    {
        let head = if n == 0 {
            first.to_owned()
        } else {
            " ".repeat(indent)
        };
        Line::new(&head).plus(ink, line).write(page, style);
    }
}

/// Writes a heading with a blank line above it.
pub(super) fn heading(page: &mut String, style: Style, title: &str) {
    if !page.is_empty() {
        page.push('\n');
    }
    Line::default().plus(Ink::Title, title).write(page, style);
}

/// Makes one line that is safe to show, of at most so many columns.
pub(crate) fn plain_line(text: &str, width: usize) -> String {
    fit(&escape(text), width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_move_the_cursor_or_turn_the_reading_order() {
        assert_eq!(
            escape("a\u{1b}[2J\u{7}\nb\u{202e}c\u{fffd}<script>"),
            "a\\u{1b}[2J\\u{7} b\\u{202e}c\u{fffd}<script>"
        );
    }

    #[test]
    fn a_cut_counts_columns_not_characters() {
        assert_eq!(fit("行政区計数", 10), "行政区計数");
        assert_eq!(fit("行政区計数", 7), "行政区…");
        assert_eq!(fit("行政区計数", 6), "行政…");
        assert_eq!(fit("abc", 0), "");
    }

    #[test]
    fn a_line_is_never_wider_than_its_page() {
        let style = Style {
            width: 10,
            color: false,
        };
        let mut page = String::new();
        Line::new("12345")
            .plus(Ink::Blame, "67890")
            .plus(Ink::Wait, "and more")
            .write(&mut page, style);
        assert_eq!(page, "123456789…\n");
    }

    #[test]
    fn an_emoji_and_its_selector_can_be_cut_anywhere() {
        let style = Style {
            width: 10,
            color: false,
        };
        let phones = "☎\u{fe0f}".repeat(12);
        let mut page = String::new();
        Line::new(&phones)
            .plus(Ink::Wait, &phones)
            .write(&mut page, style);
        paragraph(&mut page, style, Ink::Plain, "", &phones);
        for line in page.lines() {
            assert!(width(line) <= 10, "{line}");
        }
        assert_eq!(width(&column(&phones, 7)), 7);
        assert_eq!(width(&right(&phones, 7)), 7);
    }

    #[test]
    fn a_word_without_spaces_is_broken_where_the_page_ends() {
        assert_eq!(wrap("ab 0123456789012", 8), ["ab", "01234567", "89012"]);
    }
}
