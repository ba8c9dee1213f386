//! Very many sessions at the price of a socket each.
//!
//! A driver would give each its own thread or task and read what comes. These say one thing
//! and never listen: what they are told fits in the socket's buffer.

use std::io::Write as _;
use std::os::unix::net::UnixStream;

use anyhow::Context as _;
use pgjam::lab::server::ThrowAway;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Sessions of one server. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Crowd<'s> {
    server: &'s ThrowAway,
    sessions: Vec<UnixStream>,
}

impl<'s> Crowd<'s> {
    /// Begins with nobody.
    pub(crate) fn of(server: &'s ThrowAway) -> Self {
        Self {
            server,
            sessions: Vec::new(),
        }
    }

    /// Counts them.
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Lets one more session say `sql`, in the simple protocol and in one message.
    pub(crate) fn join(&mut self, sql: &str) -> anyhow::Result<()> {
        let socket = format!(".s.PGSQL.{}", self.server.port());
        let socket = self.server.folder().join(socket);
        let mut session = UnixStream::connect(socket).context("cannot open another session")?;
        // Protocol 3.0, then names and values; an empty name ends them.
        let startup = [
            &196_608_u32.to_be_bytes()[..],
            b"user\0postgres\0database\0postgres\0application_name\0crowd\0\0",
        ];
        let query = [sql.as_bytes(), b"\0"];
        session.write_all(&message(None, &startup.concat())?)?;
        session.write_all(&message(Some(b'Q'), &query.concat())?)?;
        self.sessions.push(session);
        Ok(())
    }
}

/// Frames a message: its kind, its length, its body.
fn message(kind: Option<u8>, body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let length = u32::try_from(body.len() + 4)?.to_be_bytes();
    Ok([kind.as_slice(), &length, body].concat())
}

/// Lets this process have as many sockets as the system allows; a thousand is a usual limit.
pub(crate) fn allow_many_sockets() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Where that is refused, a session will say that it cannot be opened.
    let _ = setrlimit(Resource::Nofile, raised);
}
