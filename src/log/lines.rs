//! Lines of a file, one at a time, none of them longer than memory allows.

use std::io::{self, BufRead};

use memchr::memchr;

/// So much of a line is kept. A statement may be a megabyte long, and its log line twice as long.
pub(super) const LONGEST: usize = 4 << 20;

/// A reader of lines.
///
/// Of a line longer than [`LONGEST`] the rest is passed over, and the line is then not whole.
#[derive(Debug)]
pub(super) struct Lines<R> {
    inner: R,
    line: Vec<u8>,
    is_whole: bool,
    is_ended: bool,
    /// Lines so far.
    pub(super) count: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            line: Vec::new(),
            is_whole: true,
            is_ended: true,
            count: 0,
        }
    }

    /// Goes on to the next line; false at the end.
    pub(super) fn advance(&mut self) -> io::Result<bool> {
        self.line.clear();
        let mut has_any = false;
        loop {
            let buffer = match self.inner.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                self.count += u64::from(has_any);
                return Ok(has_any);
            }
            if !has_any {
                (has_any, self.is_whole, self.is_ended) = (true, true, false);
            }
            let end = memchr(b'\n', buffer);
            let part = &buffer[..end.unwrap_or(buffer.len())];
            let room = LONGEST - self.line.len();
            self.is_whole &= part.len() <= room;
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let taken = end.map_or(buffer.len(), |end| end + 1);
            self.inner.consume(taken);
            if end.is_some() {
                self.is_ended = true;
                self.count += 1;
                if self.line.last() == Some(&b'\r') {
                    self.line.pop();
                }
                return Ok(true);
            }
        }
    }

    /// Gives the line, without its end.
    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }

    /// Tells whether nothing of the last line was passed over, and it does not break off.
    pub(super) const fn is_whole(&self) -> bool {
        self.is_whole && self.is_ended
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn a_line_beyond_what_memory_allows_is_cut_and_the_next_one_is_not() {
        let long = "x".repeat(LONGEST + 9);
        let text = format!("one\r\n{long}\nthree");
        let mut lines = Lines::new(BufReader::with_capacity(7, text.as_bytes()));
        let mut seen = Vec::new();
        while lines.advance().unwrap() {
            seen.push((lines.line().len(), lines.is_whole()));
        }
        assert_eq!(seen, [(3, true), (LONGEST, false), (5, false)]);
        assert_eq!(lines.count, 3);
    }
}
