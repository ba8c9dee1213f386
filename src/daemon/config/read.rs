//! From the text of a file to a [`Config`], or to everything that is wrong with it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::table::{Table, Text};
use super::{
    Age, Bytes, Config, ConfigError, DATA_DIR, Dsn, Log, LogFormat, LogLevel, Retention, Settings,
};
use crate::connect::Target;
use crate::daemon::http;
use crate::sample::pace::{Cadence, Need};
use crate::system::Naming;

/// The longest name of a server; it becomes a folder and a label.
const LONGEST_NAME: usize = 64;

/// Understands a file.
pub(super) fn config(file: &Path, written: &str) -> Result<Config, ConfigError> {
    let text = Text {
        file,
        written,
        mistakes: RefCell::default(),
    };
    let (root, errors) = DeTable::parse_recoverable(written);
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        text.complain(at, "", error.message().to_owned());
    }
    if !text.mistakes.borrow().is_empty() {
        // What is left of a torn file would only bring mistakes that are none.
        return Err(ConfigError::Mistakes(text.mistakes.into_inner()));
    }
    let root = Table::new(&text, String::new(), 0, root.get_ref());
    let config = understood(file, root);
    let mut mistakes = text.mistakes.into_inner();
    if mistakes.is_empty() {
        Ok(config)
    } else {
        mistakes.sort_by_key(|mistake| mistake.line);
        Err(ConfigError::Mistakes(mistakes))
    }
}

fn understood(file: &Path, root: Table<'_, '_>) -> Config {
    let data_dir = root
        .string("data_dir")
        .map_or(DATA_DIR.into(), PathBuf::from);
    let mut usual = Settings::usual(None, PathBuf::new());
    if let Some(defaults) = root.table("defaults") {
        shared(&defaults, &mut usual);
        defaults.finish();
    }
    let servers = root.table("servers");
    let is_empty = servers
        .as_ref()
        .map_or(!root.has("servers"), Table::is_empty);
    if is_empty {
        root.complain("servers", "names no server: begin with [servers.NAME]");
    }
    let servers = servers.map_or_else(BTreeMap::new, |servers| {
        all_servers(&servers, &data_dir, &usual)
    });
    let http = root.table("http").map(http).unwrap_or_default();
    let log = root.table("log").map(log).unwrap_or_default();
    root.finish();
    Config {
        file: file.to_owned(),
        servers,
        http,
        log,
        notices: Vec::new(),
    }
}

fn all_servers(
    servers: &Table<'_, '_>,
    data_dir: &Path,
    usual: &Settings,
) -> BTreeMap<String, Settings> {
    let mut all: BTreeMap<String, Settings> = BTreeMap::new();
    for (name, table) in servers.tables() {
        if !is_name(name) {
            servers.complain(
                name,
                "is no name for a server: up to 64 letters, digits, '-', '_' and '.', the first \
                 a letter or a digit",
            );
        }
        let settings = server(name, &table, data_dir, usual);
        let same = all.iter().find(|(_, other)| other.to == settings.to);
        if let Some((other, _)) = same {
            let to = settings.to.display();
            table.complain("to", format!("is {to}, where {other} goes too"));
        }
        table.finish();
        all.insert(name.to_owned(), settings);
    }
    all
}

/// Tells whether a name may stand for a server, in a path and in a label.
fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn server(name: &str, table: &Table<'_, '_>, data_dir: &Path, usual: &Settings) -> Settings {
    let mut settings = usual.clone();
    settings.dsn = table.parsed("dsn", |dsn| {
        let understood = Target::holds_password(dsn).map_err(|error| {
            // The words name an option, never the string, which may hold a password.
            format!("cannot be used: {error}")
        });
        understood.map(|_| Dsn::new(dsn))
    });
    if !table.has("dsn") {
        table.complain("dsn", "is missing: how the server is reached");
    }
    settings.to = match table.string("to") {
        Some(to) => data_dir.join(to),
        None => data_dir.join(name),
    };
    shared(table, &mut settings);
    settings
}

/// Reads what `[defaults]` and a server have in common.
fn shared(table: &Table<'_, '_>, settings: &mut Settings) {
    cadence(table, &mut settings.cadence);
    if let Some(budget) = table.number("budget", share) {
        settings.budget = budget;
    }
    if let Some(keys) = table.strings("system_by") {
        match keys.join(",").parse::<Naming>() {
            Ok(naming) => settings.system_by = naming,
            Err(error) => table.complain("system_by", format!("cannot be used: {error}")),
        }
    }
    let Retention {
        raw_bytes,
        raw_age,
        rollup_bytes,
        rollup_age,
        minutes_bytes,
        hours_bytes,
    } = &mut settings.retention;
    let bytes = |key, size: &mut Bytes| *size = table.parsed(key, str::parse).unwrap_or(*size);
    let age = |key, age: &mut Age| *age = table.parsed(key, str::parse).unwrap_or(*age);
    bytes("raw_bytes", raw_bytes);
    age("raw_age", raw_age);
    bytes("rollup_bytes", rollup_bytes);
    age("rollup_age", rollup_age);
    bytes("minutes_bytes", minutes_bytes);
    bytes("hours_bytes", hours_bytes);
    bytes("memory", &mut settings.memory);
    if settings.memory < Bytes::from_mib(8) {
        table.complain("memory", "must be at least 8MiB");
    }
}

/// Reads one pace for all times, or two by need.
fn cadence(table: &Table<'_, '_>, cadence: &mut Cadence) {
    let (hz, quiet, busy) = (
        table.number("hz", rate),
        table.number("quiet_hz", rate),
        table.number("busy_hz", busy_rate),
    );
    let by_need = table.has("quiet_hz") || table.has("busy_hz");
    if table.has("hz") && by_need {
        table.complain(
            "hz",
            "is one pace for all times: leave out quiet_hz and busy_hz, or it",
        );
    }
    if let Some(hz) = hz {
        *cadence = Cadence::Fixed(hz);
    } else if by_need {
        let usual = match *cadence {
            Cadence::ByNeed(need) => need,
            Cadence::Fixed(_) => Need::default(),
        };
        let need = Need {
            quiet: quiet.unwrap_or(usual.quiet),
            busy: busy.unwrap_or(usual.busy),
            ..usual
        };
        if need.quiet > need.busy {
            let said = format!(
                "is {}, more than busy_hz, which is {}",
                need.quiet, need.busy
            );
            table.complain("quiet_hz", said);
        }
        *cadence = Cadence::ByNeed(need);
    }
}

/// Reads a rate at which waits are seen.
fn busy_rate(text: &str) -> Result<f64, String> {
    let hz = rate(text)?;
    if hz < 2.0 {
        return Err(format!(
            "is {text}, and waits are seen with 2 looks a second or more"
        ));
    }
    Ok(hz)
}

fn rate(text: &str) -> Result<f64, String> {
    let hz: Option<f64> = text.trim().parse().ok();
    hz.filter(|hz| (0.1..=100.0).contains(hz))
        .ok_or_else(|| format!("is {text}, and must be a number of looks per second, 0.1 to 100"))
}

/// Reads a share: `0.02` or `"2%"`.
fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.trim().strip_suffix('%') {
        Some(percent) => (percent.trim(), 100.0),
        None => (text.trim(), 1.0),
    };
    let share: Option<f64> = number.parse().ok().map(|number: f64| number / unit);
    share
        .filter(|share| (0.000_1..=0.5).contains(share))
        .ok_or_else(|| format!("is {text}, and must be a share from \"0.01%\" to \"50%\""))
}

/// Reads where HTTP is spoken; whether its files can be used shows as it begins.
fn http(table: Table<'_, '_>) -> http::Settings {
    let listen = table.parsed("listen", |listen| {
        listen
            .parse::<std::net::SocketAddr>()
            .map_err(|_| format!("is \"{listen}\": write it as \"127.0.0.1:7487\""))
    });
    if !table.has("listen") {
        table.complain("listen", "is missing: an address as \"127.0.0.1:7487\"");
    }
    let file = |key| table.string(key).map(PathBuf::from);
    let settings = http::Settings {
        listen,
        token_file: file("token_file"),
        cert: file("cert"),
        key: file("key"),
        client_ca: file("client_ca"),
    };
    match (table.has("cert"), table.has("key")) {
        (true, false) => table.complain("key", "is missing beside cert"),
        (false, true) => table.complain("cert", "is missing beside key"),
        (false, false) if table.has("client_ca") => {
            table.complain("client_ca", "does nothing without cert and key");
        }
        _ => {}
    }
    let is_open = listen.is_some_and(|listen| !http::is_loopback(listen.ip()));
    if is_open && !table.has("token_file") && !table.has("client_ca") {
        table.complain(
            "listen",
            "can be reached by others: give token_file, or client_ca with cert and key",
        );
    }
    table.finish();
    settings
}

fn log(table: Table<'_, '_>) -> Log {
    let format = table.parsed("format", |format| match format {
        "human" => Ok(LogFormat::Human),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("is \"{other}\", and must be \"human\" or \"json\"")),
    });
    let level = table.parsed("level", |level| match level {
        "error" => Ok(LogLevel::Error),
        "warn" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        other => Err(format!(
            "is \"{other}\", and must be \"error\", \"warn\", \"info\" or \"debug\""
        )),
    });
    table.finish();
    Log {
        format: format.unwrap_or_default(),
        level: level.unwrap_or_default(),
    }
}
