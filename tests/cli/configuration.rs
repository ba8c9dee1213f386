//! The configuration, and the names in it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::stage::{answer, pgjam, program, server};

#[test]
fn every_mistake_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("servers.toml");
    let text = "[defaults]\nraw_ages = \"7d\"\n[servers.prod]\ndsn = \"host=a\"\nhz = 1000\n";
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    for arguments in [
        ["record", "--config", file, "--check-config"].as_slice(),
        &["record", "--config", file],
        &["doctor", "prod", "--config", file],
    ] {
        pgjam(arguments).refused(
            2,
            &[
                &format!("{file}:2: defaults.raw_ages is not known; did you mean raw_age?"),
                &format!("{file}:5: servers.prod.hz is 1000"),
            ],
        );
    }
    pgjam(&["record"]).refused(
        2,
        &["no configuration", "/etc/pgjam/config.toml", "--config"],
    );
    pgjam(&["record", "--config", "/nonexistent/a.toml"]).refused(2, &["cannot read", "a.toml"]);
}

#[test]
fn a_checked_configuration_is_told_as_it_was_understood() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("servers.toml");
    let text = r#"
        data_dir = "/data"
        [defaults]
        budget = 0.01
        [servers.prod-7]
        dsn = "host=db7 dbname=app user=pgjam password=hush"
        [servers.test]
        dsn = "host=db8 dbname=app user=pgjam"
        hz = 5
        [http]
        listen = "127.0.0.1:7487"
    "#;
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let check = [
        "record",
        "--check-config",
        "--config",
        file.to_str().unwrap(),
    ];
    let told = pgjam(&check).well();
    for words in [
        "2 servers",
        "db7:5432/app",
        "/data/prod-7",
        "1 % of the server's time",
        "1 a second, 10 while somebody waits for a lock",
        "5 a second",
        "http://127.0.0.1:7487",
    ] {
        assert!(told.out.contains(words), "{words:?} is not in {}", told.out);
    }
    assert!(told.err.contains("holds 1 password"), "{told:?}");
    assert!(
        !told.out.contains("hush") && !told.err.contains("hush"),
        "{told:?}"
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(pgjam(&check).well().err, "");
}

#[test]
fn a_server_is_known_by_its_name() {
    let server = server(&[]);
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".config/pgjam/config.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let dsn = server.dsn("postgres", "postgres");
    let prod = home.path().join("prod-7");
    let text = format!(
        "[servers.prod-7]\ndsn = \"{dsn}\"\nto = \"{}\"\n[servers.test]\ndsn = \"host=a\"\n",
        prod.display()
    );
    fs::write(&file, text).unwrap();
    let at_home = |arguments: &[&str]| answer(program().env("HOME", home.path()).args(arguments));

    let told = at_home(&["doctor", "prod-7"]).well();
    assert!(told.out.contains("PostgreSQL"), "{told:?}");
    at_home(&["now", "prod-7", "--format", "json"]).well();
    at_home(&["now", &dsn]).well();
    at_home(&["doctor", "prod-8"]).refused(2, &["names no server \"prod-8\"", "prod-7, test"]);
    at_home(&["report", "prod-8"]).refused(2, &["names no server \"prod-8\""]);
    at_home(&["report", "prod-7"]).refused(8, &["is no recording", "prod-7"]);
    let to = prod.to_str().unwrap();
    at_home(&["diagnose", "prod-7", "--duration", "1s", "--record", to]).well();
    let told = at_home(&["report", "prod-7"]).well();
    assert!(told.out.contains("What this rests on"), "{told:?}");
    answer(program().args(["doctor", "prod-7"])).refused(2, &["no configuration"]);
}
