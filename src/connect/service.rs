//! Service files: named sets of connection options.

use std::path::PathBuf;

use super::environment::Environment;
use super::error::{ConnectError, ConnectErrorKind};
use super::options::Options;

/// Reads the options of service `name`: from `PGSERVICEFILE` or the home folder,
/// and if that file does not define it from the system-wide one, as libpq does.
pub(super) fn read(name: &str, environment: &Environment) -> Result<Options, ConnectError> {
    let named = environment.variable("PGSERVICEFILE").map(PathBuf::from);
    let own = named.or_else(|| environment.in_home(".pg_service.conf"));
    let system = environment
        .system_directory()
        .map(|directory| directory.join("pg_service.conf"));
    for path in [own, system].into_iter().flatten() {
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let found = section(&text, name).map_err(|error| {
            ConnectError::new(
                ConnectErrorKind::BadOption,
                format!("service file {}: {error}", path.display()),
            )
        })?;
        if let Some(options) = found {
            return Ok(options);
        }
    }
    Err(ConnectError::new(
        ConnectErrorKind::BadOption,
        format!(
            "service \"{name}\" is not defined; add [{name}] to ~/.pg_service.conf \
             or name its file with PGSERVICEFILE"
        ),
    ))
}

/// Finds one section; the first of its name counts.
fn section(text: &str, name: &str) -> Result<Option<Options>, ConnectError> {
    let mut inside = false;
    let mut options = Options::default();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            if inside {
                break;
            }
            inside = header.strip_suffix(']') == Some(name);
        } else if inside {
            let Some((keyword, value)) = line.split_once('=') else {
                return Err(ConnectError::new(
                    ConnectErrorKind::BadOption,
                    format!("a line without `=` in section [{name}]"),
                ));
            };
            let keyword = keyword.trim();
            if keyword == "service" {
                return Err(ConnectError::option(keyword, "cannot name another service"));
            }
            options.set_default(keyword, value.trim())?;
        }
    }
    Ok(inside.then_some(options))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const FILE: &str = "# ours\n[a]\nhost=one\nport = 1\n\n[b]\nhost=two\n[a]\nhost=three\n";

    #[test]
    fn a_section_ends_where_the_next_begins() {
        let options = section(FILE, "a").unwrap().unwrap();
        assert_eq!(options.get("host"), Some("one"));
        assert_eq!(options.get("port"), Some("1"));
        assert!(section(FILE, "c").unwrap().is_none());
    }

    #[test]
    fn an_unknown_option_is_named() {
        let error = section("[a]\nhots=one", "a").unwrap_err().to_string();
        assert_eq!(error, "connection option `hots` is not known");
    }
}
