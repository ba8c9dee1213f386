//! Connection strings resolved in environments made up for the case.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::super::ConnectErrorKind;
use super::*;

fn surroundings() -> Environment {
    Environment::bare()
        .with_user("me")
        .with_socket_directories(&[Path::new("/nowhere/a"), Path::new("/nowhere/b")])
}

#[track_caller]
fn leads_to(dsn: &str, expected: &str) {
    let target = Target::resolve(Some(dsn), &surroundings()).unwrap();
    assert_eq!(target.address(), expected, "{dsn}");
}

#[track_caller]
fn refuses(dsn: &str, expected: &str) {
    let error = Target::resolve(Some(dsn), &surroundings()).unwrap_err();
    assert_eq!(error.kind(), ConnectErrorKind::BadOption);
    assert!(error.to_string().starts_with(expected), "{dsn}: {error}");
}

#[test]
fn without_a_string_it_is_the_users_database_on_the_local_socket() {
    let target = Target::resolve(None, &surroundings()).unwrap();
    assert_eq!(target.address(), "/nowhere/a:5432,/nowhere/b:5432/me");
}

#[test]
fn the_folder_that_has_a_socket_is_preferred() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".s.PGSQL.5432"), "").unwrap();
    let surroundings =
        surroundings().with_socket_directories(&[Path::new("/nowhere"), folder.path()]);
    let target = Target::resolve(None, &surroundings).unwrap();
    assert_eq!(
        target.address(),
        format!("{}:5432/me", folder.path().display())
    );
}

#[test]
fn hosts_and_ports_are_paired() {
    leads_to("postgres://a:1,b:2/db", "a:1,b:2/db");
    leads_to("host=a,b port=7", "a:7,b:7/me");
    leads_to("postgres://[::1]/db", "[::1]:5432/db");
    leads_to("hostaddr=10.0.0.1 dbname=db", "10.0.0.1:5432/db");
    refuses("host=a,b port=1,2,3", "connection option `port`");
    refuses("host=a port=x", "connection option `port`");
    refuses("host=a,b hostaddr=10.0.0.1", "connection option `hostaddr`");
}

#[test]
fn another_database_changes_only_the_database() {
    let target = Target::resolve(Some("postgres://a/db"), &surroundings()).unwrap();
    assert_eq!(target.for_database("other").address(), "a:5432/other");
}

#[test]
fn no_password_is_shown_anywhere() {
    let surroundings = surroundings().with("PGPASSWORD", "hunter2");
    let target = Target::resolve(Some("postgres://me:hunter2@a/db"), &surroundings).unwrap();
    let shown = format!("{surroundings:?} {target:?} {}", target.address());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn verification_needs_a_root_certificate() {
    refuses(
        "host=a sslmode=verify-full",
        "connection option `sslmode` asks",
    );
    refuses("host=a sslmode=sure", "connection option `sslmode` is none");
    refuses(
        "host=a sslmode=require sslrootcert=system",
        "connection option `sslmode` must be verify-full",
    );
}

#[test]
fn a_password_file_is_read_unless_others_may_read_it() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".pgpass");
    std::fs::write(
        &file,
        "localhost:*:*:me:socket\na:5432:db:me:one\na:*:other:me:two\n",
    )
    .unwrap();
    let allow = |mode| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        Target::resolve(
            Some("postgres://a/db"),
            &surroundings().with_home(home.path()),
        )
        .unwrap()
    };
    let password = |target: &Target| target.password(&target.places[0]).map(str::to_owned);

    let ours = allow(0o600);
    assert_eq!(password(&ours).as_deref(), Some("one"));
    assert_eq!(
        password(&ours.for_database("other")).as_deref(),
        Some("two")
    );
    assert_eq!(ours.notices(), [] as [&str; 0]);
    let local = Target::resolve(None, &surroundings().with_home(home.path())).unwrap();
    assert_eq!(password(&local).as_deref(), Some("socket"));

    let everyones = allow(0o644);
    assert_eq!(password(&everyones), None);
    assert!(everyones.notices()[0].contains("chmod 0600"));
}

#[test]
fn an_odd_connect_timeout_is_no_limit_and_none_is_five_seconds() {
    let timeout = |dsn| Target::resolve(Some(dsn), &surroundings()).unwrap().timeout;
    assert_eq!(timeout("host=a"), Some(Duration::from_secs(5)));
    assert_eq!(
        timeout("host=a connect_timeout=2"),
        Some(Duration::from_secs(2))
    );
    assert_eq!(timeout("host=a connect_timeout=0"), None);
    refuses(
        "host=a connect_timeout=soon",
        "connection option `connect_timeout`",
    );
}
