//! Connection options, and the two ways to write them down.

use std::collections::BTreeMap;

use super::environment::Environment;
use super::error::{ConnectError, ConnectErrorKind};
use super::service;

/// What becomes of an option that libpq knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It does what it does in libpq.
    Used,
    /// It has no meaning here and its absence harms nobody.
    Ignored,
    /// It asks for a protection that is not offered, so that ignoring it would be a lie.
    Refused,
}

/// Every option of libpq, its variable, and its fate.
const KEYWORDS: &[(&str, &str, Fate)] = &[
    ("host", "PGHOST", Fate::Used),
    ("hostaddr", "PGHOSTADDR", Fate::Used),
    ("port", "PGPORT", Fate::Used),
    ("dbname", "PGDATABASE", Fate::Used),
    ("user", "PGUSER", Fate::Used),
    ("password", "PGPASSWORD", Fate::Used),
    ("passfile", "PGPASSFILE", Fate::Used),
    ("service", "PGSERVICE", Fate::Used),
    ("options", "PGOPTIONS", Fate::Used),
    ("connect_timeout", "PGCONNECT_TIMEOUT", Fate::Used),
    ("sslmode", "PGSSLMODE", Fate::Used),
    ("sslnegotiation", "PGSSLNEGOTIATION", Fate::Used),
    ("sslrootcert", "PGSSLROOTCERT", Fate::Used),
    ("sslcert", "PGSSLCERT", Fate::Used),
    ("sslkey", "PGSSLKEY", Fate::Used),
    ("channel_binding", "PGCHANNELBINDING", Fate::Used),
    ("target_session_attrs", "PGTARGETSESSIONATTRS", Fate::Used),
    ("keepalives", "", Fate::Used),
    ("keepalives_idle", "", Fate::Used),
    ("keepalives_interval", "", Fate::Used),
    ("keepalives_count", "", Fate::Used),
    ("tcp_user_timeout", "", Fate::Used),
    // The session introduces itself as pgjam and reads raw bytes, whoever asks otherwise.
    ("application_name", "", Fate::Ignored),
    ("fallback_application_name", "", Fate::Ignored),
    ("client_encoding", "", Fate::Ignored),
    ("load_balance_hosts", "", Fate::Ignored),
    ("sslcompression", "", Fate::Ignored),
    ("sslsni", "", Fate::Ignored),
    ("krbsrvname", "", Fate::Ignored),
    ("gsslib", "", Fate::Ignored),
    ("gssdelegation", "", Fate::Ignored),
    ("gssencmode", "PGGSSENCMODE", Fate::Refused),
    ("requirepeer", "PGREQUIREPEER", Fate::Refused),
    ("require_auth", "PGREQUIREAUTH", Fate::Refused),
    ("sslcrl", "PGSSLCRL", Fate::Refused),
    ("sslcrldir", "PGSSLCRLDIR", Fate::Refused),
    ("sslcertmode", "PGSSLCERTMODE", Fate::Refused),
    ("sslpassword", "", Fate::Refused),
    (
        "ssl_min_protocol_version",
        "PGSSLMINPROTOCOLVERSION",
        Fate::Refused,
    ),
    (
        "ssl_max_protocol_version",
        "PGSSLMAXPROTOCOLVERSION",
        Fate::Refused,
    ),
    ("replication", "", Fate::Refused),
];

/// Values of refused options that ask for nothing beyond what is done anyway.
const HARMLESS: &[(&str, &[&str])] = &[
    ("gssencmode", &["disable", "prefer"]),
    ("sslcertmode", &["allow"]),
    ("ssl_min_protocol_version", &["TLSv1", "TLSv1.1", "TLSv1.2"]),
    ("ssl_max_protocol_version", &["TLSv1.3"]),
    ("replication", &["false", "off", "no", "0"]),
];

/// Options by keyword, as given; an empty value counts as absent but hides lower layers.
#[derive(Clone, Default)]
pub(super) struct Options(BTreeMap<&'static str, String>);

/// Shows which options are given, never their values: one is the password.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Options {
    /// Reads a DSN and fills what it leaves open from the service it or `PGSERVICE`
    /// names, then from the variables.
    pub(super) fn gather(
        dsn: Option<&str>,
        environment: &Environment,
    ) -> Result<Self, ConnectError> {
        let mut options = dsn.map_or(Ok(Self::default()), Self::parse)?;
        let service = options
            .0
            .get("service")
            .map(String::as_str)
            .or_else(|| environment.variable("PGSERVICE"))
            .filter(|name| !name.is_empty());
        if let Some(name) = service {
            for (keyword, value) in service::read(name, environment)?.0 {
                options.set_default(keyword, &value)?;
            }
        }
        for &(keyword, variable, _) in KEYWORDS {
            if let Some(value) = environment.variable(variable) {
                options.set_default(keyword, value)?;
            }
        }
        Ok(options)
    }

    /// Reads a URL, key=value pairs, or the bare name of a database.
    pub(super) fn parse(dsn: &str) -> Result<Self, ConnectError> {
        let url = ["postgresql://", "postgres://"]
            .iter()
            .find_map(|scheme| dsn.strip_prefix(scheme));
        let mut options = Self::default();
        if let Some(url) = url {
            options.read_url(url)?;
        } else if dsn.contains('=') {
            options.read_pairs(dsn)?;
        } else {
            options.set("dbname", dsn.trim())?;
        }
        Ok(options)
    }

    /// Gives an option that is set and not empty.
    pub(super) fn get(&self, keyword: &str) -> Option<&str> {
        self.0
            .get(keyword)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Reads an option as a number.
    pub(super) fn number(&self, keyword: &str) -> Result<Option<i64>, ConnectError> {
        self.get(keyword)
            .map(|value| {
                let number = value.trim().parse();
                number.map_err(|_| ConnectError::option(keyword, "is not a whole number"))
            })
            .transpose()
    }

    pub(super) fn set_default(&mut self, keyword: &str, value: &str) -> Result<(), ConnectError> {
        if self.0.contains_key(keyword) {
            return Ok(());
        }
        self.set(keyword, value)
    }

    fn set(&mut self, keyword: &str, value: &str) -> Result<(), ConnectError> {
        let Some(&(keyword, _, fate)) = KEYWORDS.iter().find(|(known, ..)| *known == keyword)
        else {
            return Err(ConnectError::option(keyword, "is not known"));
        };
        let is_harmless = value.is_empty()
            || HARMLESS
                .iter()
                .any(|(known, values)| *known == keyword && values.contains(&value));
        match fate {
            Fate::Used => {
                if value.contains('\0') {
                    return Err(ConnectError::option(keyword, "contains a zero byte"));
                }
                self.0.insert(keyword, value.to_owned());
                Ok(())
            }
            Fate::Refused if !is_harmless => Err(ConnectError::option(
                keyword,
                "asks for something that is not supported; leave it out",
            )),
            Fate::Ignored | Fate::Refused => Ok(()),
        }
    }

    /// Reads what follows `postgresql://`: `[user[:password]@][host[:port],…][/dbname][?…]`.
    fn read_url(&mut self, url: &str) -> Result<(), ConnectError> {
        let (before_query, query) = url
            .split_once('?')
            .map_or((url, None), |(before, query)| (before, Some(query)));
        let (authority, path) = before_query.split_once('/').unwrap_or((before_query, ""));
        // The last `@` parts the password from the hosts, so that a password's own `@`
        // never ends up in a host name, and from there in a message.
        let (user_info, hosts) = authority
            .rsplit_once('@')
            .map_or((None, authority), |(user, hosts)| (Some(user), hosts));
        if user_info.is_none() && path.contains('@') {
            return Err(ConnectError::option(
                "password",
                "has a / or ? in it: write it percent-encoded (%2F, %3F)",
            ));
        }
        if let Some(user_info) = user_info {
            let (user, password) = user_info
                .split_once(':')
                .map_or((user_info, None), |(user, word)| (user, Some(word)));
            self.set_decoded("user", user)?;
            if let Some(password) = password {
                self.set_decoded("password", password)?;
            }
        }
        let (mut names, mut ports) = (Vec::new(), Vec::new());
        for host in hosts.split(',') {
            let (name, port) = host_and_port(host)?;
            names.push(name);
            ports.push(port);
        }
        self.set_decoded("host", &names.join(","))?;
        self.set_decoded("port", &ports.join(","))?;
        self.set_decoded("dbname", path)?;
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            let Some((keyword, value)) = pair.split_once('=') else {
                return Err(ConnectError::new(
                    ConnectErrorKind::BadOption,
                    "the connection URL has a parameter without `=` after the `?`",
                ));
            };
            match (decoded("parameter", keyword)?.as_str(), value) {
                ("ssl", "true") => self.set("sslmode", "require")?,
                (keyword, value) => {
                    let value = decoded(keyword, value)?;
                    self.set(keyword, &value)?;
                }
            }
        }
        Ok(())
    }

    /// Sets what a part of a URL says; an empty part says nothing.
    fn set_decoded(&mut self, keyword: &str, part: &str) -> Result<(), ConnectError> {
        if part.chars().all(|c| c == ',') {
            return Ok(());
        }
        let value = decoded(keyword, part)?;
        self.set(keyword, &value)
    }

    /// Reads `key = value key='quoted \' value'`.
    fn read_pairs(&mut self, dsn: &str) -> Result<(), ConnectError> {
        let mut rest = dsn.trim_start();
        let mut last = String::from("none");
        while !rest.is_empty() {
            let end = rest.find(|c: char| c == '=' || c.is_whitespace());
            let (keyword, after) = rest.split_at(end.unwrap_or(rest.len()));
            let Some(after) = after.trim_start().strip_prefix('=') else {
                return Err(ConnectError::option(
                    &last,
                    "is followed by something without `=`; a value with spaces goes in quotes: 'a b'",
                ));
            };
            let (value, after) = value(after.trim_start()).ok_or_else(|| {
                ConnectError::option(keyword, "has an opening quote without its end")
            })?;
            self.set(keyword, &value)?;
            keyword.clone_into(&mut last);
            rest = after.trim_start();
        }
        Ok(())
    }
}

/// Takes one value, quoted or not, and what follows it; none for an open quote.
fn value(text: &str) -> Option<(String, &str)> {
    let quoted = text.starts_with('\'');
    let mut chars = text.char_indices().skip(usize::from(quoted));
    let mut value = String::new();
    while let Some((at, next)) = chars.next() {
        match next {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Some((value, &text[at + 1..])),
            c if !quoted && c.is_whitespace() => return Some((value, &text[at..])),
            c => value.push(c),
        }
    }
    (!quoted).then_some((value, ""))
}

/// Splits one host of a URL from its port; an IPv6 address stands in brackets.
fn host_and_port(host: &str) -> Result<(&str, &str), ConnectError> {
    let (name, rest) = match host.strip_prefix('[') {
        Some(bracketed) => bracketed
            .split_once(']')
            .ok_or_else(|| ConnectError::option("host", "has a [ without its ]"))?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    match rest.strip_prefix(':') {
        Some(port) => Ok((name, port)),
        None if rest.is_empty() => Ok((name, "")),
        None => Err(ConnectError::option("host", "goes on after its ]")),
    }
}

/// Undoes percent-encoding.
fn decoded(keyword: &str, text: &str) -> Result<String, ConnectError> {
    let invalid = || ConnectError::option(keyword, "has an invalid percent-encoding");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
            let (high, low) = (digit().ok_or_else(invalid)?, digit().ok_or_else(invalid)?);
            bytes.push(u8::try_from(high * 16 + low).map_err(|_| invalid())?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| invalid())
}

#[cfg(test)]
mod tests;
