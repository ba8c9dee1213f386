//! `pgjam top` on a terminal of its own, before a real server.

use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::stage::{Session, pgjam, run, server, until_waiting};

/// Nothing here takes longer, on a busy machine either.
const SOON: Duration = Duration::from_secs(30);

/// The program on a terminal, and what stands on it.
struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn std::io::Write + Send>,
    screen: Arc<Mutex<vt100::Parser>>,
    /// How the terminal took its input before the program began.
    before: String,
    /// Where the program keeps what it needs only while it runs.
    scratch: tempfile::TempDir,
}

impl Terminal {
    fn start(arguments: &[&str], folder: &Path) -> Self {
        let room = PtySize {
            rows: 24,
            cols: 80,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system().openpty(room).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_pgjam"));
        command.arg("top");
        command.args(arguments);
        command.cwd(folder);
        command.env("TERM", "xterm-256color");
        let scratch = tempfile::tempdir().unwrap();
        command.env("TMPDIR", scratch.path());
        let before = format!("{:?}", pair.master.get_termios());
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(size(24), size(80), 0)));
        let mut output = pair.master.try_clone_reader().unwrap();
        let drawn = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                drawn.lock().unwrap().process(&bytes[..read]);
            }
        });
        let keys = pair.master.take_writer().unwrap();
        Self {
            child,
            master: pair.master,
            keys,
            screen,
            before,
            scratch,
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until the screen is as it will be.
    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        loop {
            let shown = self.screen.lock().unwrap().screen().contents();
            if is_so(&shown) {
                return;
            }
            assert!(begun.elapsed() < SOON, "{what}:\n{shown}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn terminate(&self) {
        let pid = self.child.process_id().unwrap().cast_signed();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Waits for its end, and tells whether the terminal is as it was and nothing is left behind.
    #[track_caller]
    fn ends(&mut self) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < SOON, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(status.success(), "{status:?}");
        self.until("the terminal is restored", |_| {
            let screen = self.screen.lock().unwrap();
            !screen.screen().alternate_screen() && !screen.screen().hide_cursor()
        });
        assert_eq!(format!("{:?}", self.master.get_termios()), self.before);
        let left = std::fs::read_dir(self.scratch.path()).unwrap().count();
        assert_eq!(left, 0, "a folder is left behind");
    }
}

fn size(cells: u16) -> NonZero<u16> {
    NonZero::new(cells).unwrap()
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_wait_is_seen_as_it_comes_and_goes() {
    let server = server(&[]);
    let make =
        "create table counter (id int primary key, n int); insert into counter values (1, 0)";
    run(&server, "postgres", make);
    let dsn = server.dsn("postgres", "postgres");
    let folder = tempfile::tempdir().unwrap();
    let mut top = Terminal::start(&["--hz", "10", "--dsn", &dsn], folder.path());
    top.until("a quiet server", |shown| {
        shown.contains("Nobody waits for a lock")
    });

    let update = "update counter set n = n + 1 where id = 1";
    let mut holder = Session::open(&server, "postgres", "billing");
    holder.say("begin");
    holder.say(update);
    let mut waiter = Session::open(&server, "postgres", "intake");
    waiter.send(update);
    until_waiting(&server, 1);
    top.until("the wait", |shown| {
        shown.contains("billing") && shown.contains("intake")
    });

    // What is paused stays; saved it is there twice, and nothing is written over.
    top.press(" ");
    top.until("a pause", |shown| shown.contains("paused"));
    top.press("s");
    top.until("a saved look", |shown| shown.contains("saved pgjam-"));
    top.press("s");
    top.until("a refusal", |shown| shown.contains("cannot be written"));
    let saved = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(saved, 2, "a text and a JSON");
    holder.say("commit");
    top.press("/nobody\r");
    top.until("a filter", |shown| shown.contains("Nobody in a jam has"));
    top.press("\u{1b}");
    top.until("no filter", |shown| shown.contains("billing"));
    top.press(" ");
    top.until("calm", |shown| {
        shown.contains("live") && shown.contains("Nobody waits for a lock")
    });

    // On a larger terminal it is drawn anew.
    let room = PtySize {
        rows: 40,
        cols: 150,
        pixel_width: 0,
        pixel_height: 0,
    };
    top.screen
        .lock()
        .unwrap()
        .screen_mut()
        .set_size(size(40), size(150));
    top.master.resize(room).unwrap();
    top.until("a wide screen", |shown| {
        shown.lines().any(|line| line.chars().count() > 100)
    });
    top.press("q");
    top.ends();
}

#[test]
fn a_server_that_goes_away_is_told_and_sigterm_restores_the_terminal() {
    let server = server(&[]);
    let dsn = server.dsn("postgres", "postgres");
    let folder = tempfile::tempdir().unwrap();
    let mut top = Terminal::start(&["--dsn", &dsn], folder.path());
    top.until("a quiet server", |shown| {
        shown.contains("Nobody waits for a lock")
    });
    drop(server);
    top.until("a lost server", |shown| shown.contains("not watched"));
    top.terminate();
    top.ends();
}

#[test]
fn a_recording_is_walked_through_and_sigterm_restores_the_terminal() {
    let server = server(&[]);
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("recording");
    let recording = recording.to_str().unwrap();
    let dsn = server.dsn("postgres", "postgres");
    let watch = ["diagnose", "--quiet", "--duration", "1s", "--dsn", &dsn];
    pgjam(&[&watch[..], &["--record", recording]].concat()).well();
    let mut top = Terminal::start(&["--recording", recording], folder.path());
    top.until("the end", |shown| shown.contains("recorded, at its end"));
    top.press("\u{1b}[D");
    top.until("the look before", |shown| {
        shown.contains("paused, 1 look before")
    });
    top.terminate();
    top.ends();
}

#[test]
fn sigterm_restores_the_terminal_while_a_server_does_not_answer() {
    // Whoever listens and says nothing keeps a connection waiting.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let dsn = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres sslmode=disable");
    let folder = tempfile::tempdir().unwrap();
    let mut top = Terminal::start(&["--dsn", &dsn], folder.path());
    top.until("a connection under way", |shown| {
        shown.contains("connecting")
    });
    top.terminate();
    top.ends();
}

#[test]
fn without_a_terminal_it_names_what_does_without() {
    pgjam(&["top", "--dsn", "host=/nonexistent"]).refused(2, &["needs a terminal", "pgjam now"]);
}
