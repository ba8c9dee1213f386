//! Rust source, as little of it as the rules need: files, code without words, and paths.
//!
//! The scanner knows comments, literals and `use` groups, and nothing of Rust beyond that.

use std::path::{Path, PathBuf};

/// A source file.
pub(super) struct Source {
    /// Its path from the repository's root.
    pub(super) path: String,
    /// Its text.
    pub(super) text: String,
}

impl Source {
    /// Names the top-level module that it belongs to; `lib` and `main` for those files.
    pub(super) fn module(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let end = inside.find(['/', '.']).unwrap_or(inside.len());
        &inside[..end]
    }

    /// Counts the modules from the crate's root down to this file.
    fn depth(&self) -> usize {
        let folders = self.path.matches('/').count();
        if self.path.ends_with("/mod.rs") {
            folders - 1
        } else {
            folders
        }
    }

    /// Tells whether the whole file is compiled for tests only.
    fn is_test(&self) -> bool {
        let stem = self.path.rsplit('/').next().unwrap_or_default();
        stem == "tests.rs" || stem.ends_with("_tests.rs") || stem.starts_with("fixture")
    }

    /// Gives the code that ships, by convention what stands before `mod tests {`.
    pub(super) fn shipped(&self) -> String {
        if self.is_test() {
            return String::new();
        }
        let end = self.text.find("\nmod tests {").unwrap_or(self.text.len());
        code(&self.text[..end])
    }

    /// Lists the top-level modules that the file names, its tests included.
    pub(super) fn named(&self) -> Vec<String> {
        let up = self.depth();
        let all = paths(&code(&self.text));
        all.iter()
            .filter_map(|path| {
                let supers = path.iter().take_while(|part| *part == "super").count();
                match path.first()?.as_str() {
                    "crate" => path.get(1),
                    "super" if supers >= up => path.get(supers),
                    _ => None,
                }
            })
            .cloned()
            .collect()
    }
}

/// Reads the files below `folder` whose names end in `ending`, in order.
pub(super) fn files(folder: &str, ending: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        // A folder that does not exist yet has no files.
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                let path = path.strip_prefix(root).unwrap().display().to_string();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Blanks comments and the insides of literals.
pub(super) fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| literal(rest));
        if let Some(length) = skipped {
            out.push(' ');
            rest = &rest[length..];
        } else if first.is_alphanumeric() || first == '_' {
            // Whole words, so that the r of `for` opens no raw string.
            let end = word_end(rest);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

fn word_end(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

/// Measures the comment that `text` begins with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    text.strip_prefix("/*")?;
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        let tail = text.get(at..)?;
        if tail.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += tail.chars().next()?.len_utf8();
        }
    }
}

/// Measures the string or character that `text` begins with.
fn literal(text: &str) -> Option<usize> {
    let letters = text.len() - text.trim_start_matches(['b', 'c', 'r']).len();
    let body = &text[letters..];
    if text[..letters].contains('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let inside = body[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        return Some(letters + hashes + 1 + inside.find(&close)? + close.len());
    }
    let quote = body.chars().next()?;
    let quoted = match quote {
        '"' => true,
        // A lifetime has no closing quote after one character.
        '\'' => body[1..].starts_with('\\') || body[1..].chars().nth(1) == Some('\''),
        _ => false,
    };
    if !quoted {
        return None;
    }
    let mut escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(letters + at + 1),
            _ => {}
        }
    }
    None
}

/// Lists the paths in code without words; a group `a::{b, c}` gives `a::b` and `a::c`.
pub(super) fn paths(code: &str) -> Vec<Vec<String>> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = match word_end(rest) {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            end => end,
        };
        tokens.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = path(&tokens, at, &[], &mut found);
    }
    found
}

/// Reads one path from `at` on, or passes one token over, and gives where to go on.
fn path(tokens: &[&str], mut at: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let is_word = |token: &str| token.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let mut parts = prefix.to_vec();
    let begin = at;
    while let Some(token) = tokens.get(at) {
        if is_word(token) {
            parts.push((*token).to_owned());
            at += 1;
        } else if *token == "{" && at > begin {
            at += 1;
            while at < tokens.len() && tokens[at] != "}" {
                at = match tokens[at] {
                    "as" => at + 2,
                    _ => path(tokens, at, &parts, found),
                };
            }
            return at + 1;
        } else {
            break;
        }
        if tokens.get(at) == Some(&"::") {
            at += 1;
        } else {
            break;
        }
    }
    if parts.len() > prefix.len() {
        found.push(parts);
    }
    at.max(begin + 1)
}
