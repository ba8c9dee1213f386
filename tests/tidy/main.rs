//! The architecture's promises, kept by a test rather than by memory.
//!
//! The code map in `src/lib.rs` is the only list of modules: their order, and what each of
//! them reaches of the outer world, are read from there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scan;

use scan::{Source, code, files, paths};

/// A line of the code map.
struct Module {
    name: String,
    reaches: Vec<String>,
}

/// Reads the code map out of the crate's documentation.
fn code_map() -> Vec<Module> {
    let lib = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs")).unwrap();
    lib.lines()
        .filter_map(|line| line.strip_prefix("//! | [`"))
        .map(|line| {
            let (name, cells) = line.split_once("`] |").unwrap();
            let reaches = cells.trim_end_matches('|').rsplit('|').next().unwrap();
            let reaches = reaches.split(',').map(|word| word.trim().to_owned());
            Module {
                name: name.to_owned(),
                reaches: reaches.filter(|word| word != "nothing").collect(),
            }
        })
        .collect()
}

/// Names what of the outer world a path reaches.
fn reached(path: &[String]) -> Option<&'static str> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        [
            "postgres" | "tokio_postgres" | "tokio_postgres_rustls",
            _,
            ..,
        ]
        | ["std", "net", "TcpStream" | "TcpListener" | "UdpSocket", ..]
        | ["std", "os", "unix", "net", ..] => Some("server"),
        ["std", "time", "Instant" | "SystemTime", ..] | [_, .., "now"] => Some("clock"),
        ["tokio", _, ..] | ["std", "thread", ..] => Some("tasks"),
        ["std", "fs", ..] | ["tempfile", _, ..] => Some("files"),
        ["std", "env", ..] | ["rustix", "process", "geteuid"] => Some("environment"),
        ["std" | "rustix", "process", ..] => Some("processes"),
        ["sd_notify", _, ..] => Some("service manager"),
        ["std", "io", "stdout" | "stderr" | "Stdout" | "Stderr", ..]
        | ["anstream" | "indicatif", ..]
        | ["ratatui", "crossterm" | "try_init" | "restore", ..] => Some("terminal"),
        _ => None,
    }
}

/// Fails with all violations at once, one a line.
fn none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

fn sources() -> Vec<Source> {
    files("src", ".rs")
}

#[test]
fn the_code_map_names_every_module_once() {
    let lib = sources().into_iter().find(|file| file.path == "src/lib.rs");
    let lib = lib.unwrap().text;
    let mut declared: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    declared.sort_unstable();
    let map = code_map();
    let mut told: Vec<&str> = map.iter().map(|module| module.name.as_str()).collect();
    told.sort_unstable();
    assert_eq!(told, declared);
}

#[test]
fn a_module_names_only_modules_above_it_in_the_code_map() {
    let map = code_map();
    let place = |name: &str| map.iter().position(|module| module.name == name);
    let mut violations = Vec::new();
    for file in sources() {
        let Some(own) = place(file.module()) else {
            continue;
        };
        for named in file.named() {
            match place(&named) {
                Some(other) if other > own => violations.push(format!(
                    "{} names {named}, which stands below {} in the code map",
                    file.path,
                    file.module()
                )),
                Some(_) => {}
                None => violations.push(format!("{} names {named}, no module", file.path)),
            }
        }
    }
    violations.dedup();
    none(&violations);
}

#[test]
fn a_module_reaches_only_what_the_code_map_says() {
    let map = code_map();
    let mut violations = Vec::new();
    let mut used = Vec::new();
    for file in sources() {
        let Some(module) = map.iter().find(|module| module.name == file.module()) else {
            continue;
        };
        for path in paths(&file.shipped()) {
            let Some(what) = reached(&path) else { continue };
            used.push((file.module().to_owned(), what));
            if !module.reaches.iter().any(|allowed| allowed == what) {
                violations.push(format!("{}: {} ({what})", file.path, path.join("::")));
            }
        }
    }
    for module in &map {
        for promised in &module.reaches {
            let is_used = |(name, what): &(String, &str)| *name == module.name && what == promised;
            if !used.iter().any(is_used) {
                violations.push(format!("{} reaches no {promised} (any more)", module.name));
            }
        }
    }
    none(&violations);
}

#[test]
fn only_the_command_line_prints() {
    let macros = ["println!", "print!", "dbg!"];
    let violations: Vec<String> = sources()
        .iter()
        .filter(|file| file.module() != "cli")
        .filter(|file| {
            let code = code(&file.text);
            // `eprint!` and `eprintln!` end in the same words.
            macros.iter().any(|printing| code.contains(printing))
        })
        .map(|file| format!("{} prints", file.path))
        .collect();
    none(&violations);
}

#[test]
fn every_file_says_first_what_it_is() {
    let folders = ["src", "tests", "benches"].map(|folder| files(folder, ".rs"));
    let violations: Vec<String> = folders
        .iter()
        .flatten()
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| format!("{} does not begin with //!", file.path))
        .collect();
    none(&violations);
}

#[test]
fn a_file_over_500_lines_gives_its_reason() {
    let folders = ["src", "tests", "benches"].map(|folder| files(folder, ".rs"));
    let violations: Vec<String> = folders
        .iter()
        .flatten()
        .filter(|file| file.text.lines().count() > 500)
        .filter(|file| {
            let mut head = file.text.lines().take_while(|line| line.starts_with("//"));
            !head.any(|line| line.contains("over 500 lines"))
        })
        .map(|file| format!("{}: {} lines", file.path, file.text.lines().count()))
        .collect();
    none(&violations);
}

#[test]
fn no_file_is_a_drawer() {
    let drawers = ["utils", "util", "common", "helpers", "shared", "misc"];
    let folders = ["src", "tests", "benches", "queries"].map(|folder| files(folder, ""));
    let violations: Vec<String> = folders
        .iter()
        .flatten()
        .filter(|file| {
            let mut names = file.path.split(['/', '.']);
            names.any(|name| drawers.contains(&name))
        })
        .map(|file| format!("{} is named after nothing it owns", file.path))
        .collect();
    none(&violations);
}

#[test]
fn every_query_says_what_a_row_is_who_reads_it_and_what_it_costs() {
    let map = code_map();
    let mut violations = Vec::new();
    for query in files("queries", ".sql") {
        let mut keys = ["grain", "feeds", "since", "needs", "cost"].into_iter();
        let mut next = keys.next();
        for line in query.text.lines().map_while(|line| line.strip_prefix("--")) {
            let mut words = line.split_whitespace();
            if words.next() != next || words.clone().next().is_none() {
                continue;
            }
            if next == Some("feeds") {
                let reader = words.next().unwrap();
                let module = reader.split("::").next().unwrap();
                if !map.iter().any(|known| known.name == module) {
                    violations.push(format!("{} feeds {reader}, no module", query.path));
                }
            }
            next = keys.next();
        }
        if let Some(missing) = next {
            violations.push(format!("{} has no {missing}", query.path));
        }
    }
    none(&violations);
}

#[test]
fn the_scanner_sees_through_comments_literals_and_groups() {
    let source = r##"
        //! crate::lie
        /* crate::lie /* nested */ crate::lie */
        use crate::{graph::view::{GraphView, Vocabulary as V}, pg};
        const A: &str = "crate::lie \" crate::lie";
        const B: &str = r#"crate::lie " crate::lie"#;
        const C: [char; 2] = ['"', '\''];
        fn f<'a>(x: &'a str) { for y in crate::time::now::<u8>() {} }
        use super::super::report;
    "##;
    let file = Source {
        path: "src/attribution/charge.rs".to_owned(),
        text: source.to_owned(),
    };
    assert_eq!(file.module(), "attribution");
    assert_eq!(file.named(), ["graph", "graph", "pg", "time", "report"]);
}
