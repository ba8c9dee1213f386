//! `pgjam event`: something happened that no tick sees.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use crate::cli::Done;
use crate::cli::exit::Failure;
use crate::cli::screen::Screen;
use crate::cli::servers;
use crate::cli::typed::happened;
use crate::recording;
use crate::sample::Declared;
use crate::time::Timestamp;

#[derive(Args, Debug)]
#[expect(
    clippy::doc_markdown,
    reason = "these words are the help, which shows no markup"
)]
pub(super) struct EventArgs {
    /// What happened: one line, at most 200 characters.
    #[arg(value_parser = crate::recording::label)]
    pub(super) label: Arc<str>,
    /// The server, by its name in the configuration; with --url, in that of the daemon, and all
    /// of its servers where none is named.
    #[arg(value_name = "SERVER", required_unless_present_any = ["to", "url"])]
    pub(super) server: Option<String>,
    /// The folder of the recording, instead of a server's name.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["server", "url"])]
    pub(super) to: Option<PathBuf>,
    /// Tell a daemon over HTTP, as http://127.0.0.1:7487, instead of writing into its recording.
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    pub(super) url: Option<String>,
    /// A file with the token that the daemon asks for.
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(super) token_file: Option<PathBuf>,
    /// When, as 2026-11-23T14:03:00Z. [default: now, by this machine's clock]
    #[arg(long, value_name = "TIME", value_parser = happened)]
    pub(super) at: Option<Timestamp>,
    /// The configuration that names servers. [default: $PGJAM_CONFIG,
    /// ~/.config/pgjam/config.toml, /etc/pgjam/config.toml]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// How long a daemon may take for each step of its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// So much of an answer is read, in bytes.
const LONGEST_ANSWER: u64 = 256 * 1024;

/// Declares an event in a recording, also while a daemon writes into it, or tells the daemon.
pub(super) fn run(args: &EventArgs, screen: &Screen) -> Done {
    if let Some(url) = &args.url {
        tell(url, args)?;
        screen.note(&format!("declared at {url}"));
        return Ok(());
    }
    let now = Timestamp::from_micros(jiff::Timestamp::now().as_microsecond());
    let at = args.at.unwrap_or(now);
    let folder = match (&args.to, &args.server) {
        (None, Some(name)) => servers::recording(Path::new(name), args.config.as_deref())?.0,
        (folder, _) => folder.clone().unwrap_or_default(),
    };
    let label = args.label.clone();
    recording::declare(&folder, &Declared { at, label })?;
    screen.note(&format!("declared in {} at {at}", folder.display()));
    Ok(())
}

/// Tells a daemon of an event, which dates it by its server's clock unless a time is given.
fn tell(url: &str, args: &EventArgs) -> Done {
    let authority = url
        .strip_prefix("http://")
        .map(|rest| rest.trim_end_matches('/'));
    let authority = authority.filter(|authority| !authority.contains(['/', '@']));
    let Some(authority) = authority else {
        return Err(Failure::Untold(format!(
            "{url} is no address as http://127.0.0.1:7487; for https let curl post the event"
        )));
    };
    let token = args.token_file.as_ref().map(|file| {
        let cannot = format!("cannot read {}", file.display());
        std::fs::read_to_string(file).map_err(Failure::io(cannot))
    });
    let token = token.transpose()?;
    let body = serde_json::json!({
        "label": args.label,
        "at": args.at.map(Timestamp::to_rfc3339_whole),
        "server": args.server,
    });
    let body = body.to_string();
    let guard = token.map_or_else(String::new, |token| {
        format!("authorization: Bearer {}\r\n", token.trim())
    });
    let request = format!(
        "POST /api/v1/events HTTP/1.1\r\nhost: {authority}\r\n{guard}connection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = ask(authority, &request).map_err(Failure::io(format!("no answer from {url}")))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status.starts_with('2') {
        return Ok(());
    }
    let why = serde_json::from_str::<serde_json::Value>(body).ok();
    let why = why.and_then(|problem| Some(problem["detail"].as_str()?.to_owned()));
    let why = why.unwrap_or_else(|| "it does not say why".to_owned());
    Err(Failure::Untold(format!(
        "{url} did not take the event (status {status}): {why}"
    )))
}

/// Sends a request and reads what comes back, until the other end has had enough.
fn ask(authority: &str, request: &str) -> std::io::Result<String> {
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let place = if has_port {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let mut refused = std::io::Error::other("the name has no address");
    for address in place.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.write_all(request.as_bytes())?;
                let mut answer = Vec::new();
                stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
                return Ok(String::from_utf8_lossy(&answer).into_owned());
            }
            Err(error) => refused = error,
        }
    }
    Err(refused)
}
