//! Where HTTP is spoken, and to whom: the section `[http]` of the configuration.
//!
//! | `listen` | needs | query texts |
//! |---|---|---|
//! | none | | |
//! | loopback | nothing | no |
//! | loopback or not | `token_file`, or `client_ca` with `cert` and `key` | yes |
//!
//! What is configured is asked of every caller, whoever it is; with a token and a client
//! authority both are.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use tokio_rustls::rustls::ServerConfig;

use super::tls;

/// A token shorter than this can be guessed.
const SHORTEST_TOKEN: usize = 16;

/// Where HTTP is spoken, and to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// An address and a port, as `127.0.0.1:9187`; without it HTTP is not spoken.
    pub listen: Option<SocketAddr>,
    /// A file that others cannot read, with the token that callers show.
    pub token_file: Option<PathBuf>,
    /// The certificate that this daemon shows, in PEM, with those between it and its authority.
    pub cert: Option<PathBuf>,
    /// Its key, in PEM, in a file that others cannot read.
    pub key: Option<PathBuf>,
    /// The authorities whose certificates callers must show, in PEM.
    pub client_ca: Option<PathBuf>,
}

/// Why HTTP cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Settings that do not go together.
    #[error("http.{key} {what}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// A file that cannot be used.
    #[error("http.{key}: {} {what}", path.display())]
    File {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// An address that cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the machine said.
        source: std::io::Error,
    },
}

impl HttpError {
    pub(super) fn file(key: &'static str, path: &Path, what: impl Into<String>) -> Self {
        Self::File {
            key,
            path: path.to_owned(),
            what: what.into(),
        }
    }
}

impl Settings {
    /// Checks that the settings go together, and that their files can be used.
    ///
    /// # Errors
    ///
    /// Where they do not, or cannot.
    pub fn check(&self) -> Result<(), HttpError> {
        self.access().map(drop)
    }

    /// Reads the files and settles whom HTTP is spoken to.
    pub(super) fn access(&self) -> Result<Access, HttpError> {
        let wrong = |key, what: &str| {
            let what = what.to_owned();
            Err(HttpError::Setting { key, what })
        };
        let Some(listen) = self.listen else {
            let others = [
                ("token_file", &self.token_file),
                ("cert", &self.cert),
                ("key", &self.key),
                ("client_ca", &self.client_ca),
            ];
            return match others.iter().find(|(_, path)| path.is_some()) {
                Some((key, _)) => wrong(key, "is of no use without http.listen"),
                None => Ok(Access::default()),
            };
        };
        let tls = match (&self.cert, &self.key) {
            (Some(certificate), Some(key)) => {
                Some(tls::config(certificate, key, self.client_ca.as_deref())?)
            }
            (Some(_), None) => return wrong("cert", "needs http.key beside it"),
            (None, Some(_)) => return wrong("key", "needs http.cert beside it"),
            (None, None) if self.client_ca.is_some() => {
                return wrong("client_ca", "needs http.cert and http.key beside it");
            }
            (None, None) => None,
        };
        let token = self.token_file.as_deref().map(Token::read).transpose()?;
        let knows_callers = token.is_some() || self.client_ca.is_some();
        if !knows_callers && !is_loopback(listen.ip()) {
            let what = format!(
                "is {listen}, which others can reach: name http.token_file, or http.client_ca \
                 with http.cert and http.key, or listen on 127.0.0.1"
            );
            return Err(HttpError::Setting {
                key: "listen",
                what,
            });
        }
        Ok(Access {
            token,
            tls,
            knows_callers,
        })
    }
}

/// Whom HTTP is spoken to.
#[derive(Clone, Debug, Default)]
pub(super) struct Access {
    pub(super) token: Option<Token>,
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Whether every caller shows a token or a certificate: only then texts are shown, and only
    /// without it a browser might be made to call for somebody else.
    pub(super) knows_callers: bool,
}

/// A token, which `Debug` does not show.
#[derive(Clone)]
pub(super) struct Token(Arc<[u8]>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    fn read(path: &Path) -> Result<Self, HttpError> {
        let text = secret("token_file", path)?;
        let token = text.trim();
        if token.len() < SHORTEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let what = "must hold one token of 16 or more printable ASCII characters; \
                        run: openssl rand -hex 32";
            return Err(HttpError::file("token_file", path, what));
        }
        Ok(Self(token.as_bytes().into()))
    }

    /// Compares in a time that does not depend on where the two differ.
    pub(super) fn is(&self, shown: &[u8]) -> bool {
        self.0.ct_eq(shown).into()
    }
}

/// Reads a file that nobody else may read, or one of systemd's credentials.
pub(super) fn secret(key: &'static str, path: &Path) -> Result<String, HttpError> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    secret_beside(credentials.as_deref(), key, path)
}

/// The same where systemd has put credentials into this folder: those belong to root and its
/// group, and an access list lets the service read them.
fn secret_beside(
    credentials: Option<&Path>,
    key: &'static str,
    path: &Path,
) -> Result<String, HttpError> {
    let refused =
        |error: std::io::Error| HttpError::file(key, path, format!("cannot be read: {error}"));
    let metadata = fs::metadata(path).map_err(refused)?;
    if !metadata.is_file() {
        return Err(HttpError::file(key, path, "is not a plain file"));
    }
    let is_credential = credentials.is_some_and(|folder| path.parent() == Some(folder));
    if is_open_to_others(&metadata, is_credential) {
        let what = format!("may be read by others; run: chmod 0600 {}", path.display());
        return Err(HttpError::file(key, path, what));
    }
    fs::read_to_string(path).map_err(refused)
}

#[cfg(unix)]
fn is_open_to_others(metadata: &fs::Metadata, is_credential: bool) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let forbidden = if is_credential { 0o037 } else { 0o077 };
    metadata.permissions().mode() & forbidden != 0
}

/// Windows keeps the file in a folder that only its user can read.
#[cfg(not(unix))]
fn is_open_to_others(_: &fs::Metadata, _: bool) -> bool {
    false
}

/// Tells whether an address can be reached from this machine alone.
pub(in crate::daemon) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<Settings, toml::de::Error> {
        toml::from_str(text)
    }

    #[track_caller]
    fn refused(text: &str, words: &[&str]) {
        let said = settings(text).unwrap().check().unwrap_err().to_string();
        for word in words {
            assert!(said.contains(word), "{word:?} is not in {said:?}");
        }
    }

    fn token(mode: u32, text: &str) -> tempfile::NamedTempFile {
        use std::os::unix::fs::PermissionsExt as _;
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn loopback_needs_nothing_and_elsewhere_needs_a_token() {
        for own in [
            "127.0.0.1:0",
            "127.8.8.8:1",
            "[::1]:0",
            "[::ffff:127.0.0.1]:0",
        ] {
            settings(&format!("listen = '{own}'"))
                .unwrap()
                .check()
                .unwrap();
        }
        for other in ["0.0.0.0:0", "10.0.0.1:80", "[::]:0", "[2001:db8::1]:1"] {
            let listen = format!("listen = '{other}'");
            refused(
                &listen,
                &["http.listen", "others can reach", "token_file", "client_ca"],
            );
            let file = token(0o600, "0123456789abcdef\n");
            let path = file.path().display();
            let whole = format!("{listen}\ntoken_file = '{path}'");
            settings(&whole).unwrap().check().unwrap();
        }
    }

    #[test]
    fn a_token_that_others_can_read_or_guess_is_none() {
        for (mode, text, words) in [
            (0o640, "0123456789abcdef", "chmod 0600"),
            (0o604, "0123456789abcdef", "chmod 0600"),
            (0o600, "short", "openssl rand"),
            (0o600, "0123456789 abcdef", "openssl rand"),
            (0o600, "", "openssl rand"),
        ] {
            let file = token(mode, text);
            let path = file.path().display();
            refused(
                &format!("listen = '127.0.0.1:0'\ntoken_file = '{path}'"),
                &["http.token_file", words],
            );
        }
        refused(
            "listen = '127.0.0.1:0'\ntoken_file = '/nonexistent'",
            &["cannot be read"],
        );
    }

    #[test]
    fn a_credential_of_systemd_may_belong_to_root_and_its_group() {
        let among = |mode: u32, credentials: &Path| {
            let file = token(mode, "0123456789abcdef");
            let folder = file.path().parent().unwrap();
            let read = secret_beside(Some(&folder.join(credentials)), "token_file", file.path());
            read.map_err(|refused| refused.to_string())
        };
        let (here, elsewhere) = (Path::new(""), Path::new("elsewhere"));
        assert_eq!(among(0o440, here).unwrap(), "0123456789abcdef");
        for (mode, credentials) in [(0o440, elsewhere), (0o444, here), (0o460, here)] {
            let said = among(mode, credentials).unwrap_err();
            assert!(said.contains("may be read by others"), "{said}");
        }
    }

    #[test]
    fn settings_that_do_not_go_together_are_refused() {
        let loopback = "listen = '127.0.0.1:0'\n";
        refused("token_file = 'x'", &["http.token_file", "http.listen"]);
        refused(&format!("{loopback}cert = 'x'"), &["http.key"]);
        refused(&format!("{loopback}key = 'x'"), &["http.cert"]);
        refused(&format!("{loopback}client_ca = 'x'"), &["http.cert"]);
        assert!(settings("listen = 'localhost:1'").is_err());
        assert!(settings("tokenfile = 'x'").is_err());
    }

    #[test]
    fn a_token_is_itself_and_nothing_else_and_is_not_shown() {
        let file = token(0o600, "0123456789abcdef\n");
        let token = Token::read(file.path()).unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for other in [
            "",
            "0123456789abcde",
            "0123456789abcdeF",
            "0123456789abcdef\n",
        ] {
            assert!(!token.is(other.as_bytes()), "{other:?}");
        }
        assert!(!format!("{token:?}").contains("0123"));
    }
}
