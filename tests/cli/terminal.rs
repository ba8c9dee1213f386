//! Help, flags, colours, pipes.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::stage::{answer, pgjam, program, server};

const COMMANDS: [(&str, &[&str]); 6] = [
    ("now", &["--dsn", "--format", "--output", "--system-by"]),
    (
        "diagnose",
        &[
            "--dsn",
            "--duration",
            "--hz",
            "--record",
            "--format",
            "--output",
            "--html",
            "--svg",
            "--event",
            "--system-by",
        ],
    ),
    (
        "report",
        &[
            "--format",
            "--output",
            "--html",
            "--svg",
            "--event",
            "--system-by",
        ],
    ),
    ("doctor", &["--dsn"]),
    (
        "lab",
        &[
            "list",
            "score",
            "--diagnose",
            "--scale",
            "--seed",
            "--dsn",
            "--pg-bin",
            "--truth",
        ],
    ),
    ("completions", &[]),
];

#[test]
fn help_names_the_flags_of_every_command_and_the_exit_codes() {
    let top = pgjam(&["--help"]).well().out;
    assert!(top.contains("Exit codes:") && top.contains("130"), "{top}");
    for (command, flags) in COMMANDS {
        assert!(top.contains(command), "{command} is not in {top}");
        let help = pgjam(&[command, "--help"]).well().out;
        for flag in flags.iter().chain(&["--color", "--quiet", "--help"]) {
            assert!(help.contains(flag), "{flag} is not in {help}");
        }
    }
}

#[test]
fn what_cannot_be_understood_is_code_2() {
    for (command, _) in COMMANDS {
        let said = pgjam(&[command, "--no-such-flag"]);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
        assert!(said.err.contains("--no-such-flag"), "{said:?}");
    }
    for wrong in [
        ["diagnose", "--hz", "0"],
        ["diagnose", "--hz", "NaN"],
        ["diagnose", "--duration", "soon"],
        ["diagnose", "--event", "no time"],
        ["diagnose", "--system-by", "shoe_size"],
        ["now", "--format", "html"],
    ] {
        let said = pgjam(&wrong);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
        assert!(said.err.contains(wrong[1]), "{said:?}");
    }
}

#[test]
fn the_completions_are_a_script() {
    let script = pgjam(&["completions", "bash"]).well().out;
    let mut bash = Command::new("bash")
        .arg("-n")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    bash.stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    assert!(bash.wait().unwrap().success());
    assert!(script.contains("--duration"));
}

#[test]
fn a_pipe_gets_colour_only_on_demand_and_may_close() {
    let server = server(&[]);
    let dsn = server.dsn("postgres", "postgres");
    let now = ["now", "--dsn", &dsn];
    let plain = pgjam(&now).well();
    assert!(!plain.out.contains('\u{1b}'), "{plain:?}");
    let bare = answer(program().args(now).env("NO_COLOR", "1")).well();
    assert!(!bare.out.contains('\u{1b}'), "{bare:?}");
    let never = pgjam(&["now", "--dsn", &dsn, "--color", "never"]).well();
    assert!(!never.out.contains('\u{1b}'), "{never:?}");
    let painted = pgjam(&["now", "--dsn", &dsn, "--color", "always"]).well();
    assert!(painted.out.contains('\u{1b}'), "{painted:?}");

    for arguments in [
        now.as_slice(),
        &["doctor", "--dsn", &dsn],
        &["completions", "bash"],
        &["--help"],
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pgjam"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        let status = child.wait().unwrap();
        assert!(status.success(), "{arguments:?}: {status}, {said}");
        assert_eq!(said, "", "{arguments:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut unheard = Command::new(env!("CARGO_BIN_EXE_pgjam"))
        .args(["diagnose", "--duration", "1s", "--dsn", &dsn, "--record"])
        .arg(folder.path().join("recording"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((unheard.stdout.take(), unheard.stderr.take()));
    assert!(unheard.wait().unwrap().success());
}
