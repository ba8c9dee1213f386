//! Connections and the preflight against real servers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use pgjam::connect::{ConnectError, ConnectErrorKind, Environment, RawText, Session, Target};
use pgjam::doctor::Checkup;
use pgjam::lab::server::{Options, ThrowAway};

const PASSWORD: &str = "correct horse";

fn server() -> ThrowAway {
    ThrowAway::start(&Options {
        fsync: false,
        max_connections: 20,
        tcp_password: Some(PASSWORD.into()),
        ..Options::default()
    })
    .unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

async fn session(dsn: &str, environment: &Environment) -> Result<Session, ConnectError> {
    Target::resolve(Some(dsn), environment)?.connect().await
}

/// Expects a refusal of this kind, whose message has all of these words and no password.
#[track_caller]
fn refuses(dsn: &str, environment: &Environment, kind: ConnectErrorKind, words: &[&str]) {
    let error = wait(session(dsn, environment)).map(|_| ()).unwrap_err();
    let said = error.to_string();
    assert_eq!(error.kind(), kind, "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
    assert!(
        !said.contains("horse") && !said.contains("staple"),
        "{said}"
    );
}

fn checkup(dsn: &str) -> Checkup {
    wait(async {
        let session = session(dsn, &Environment::bare()).await.unwrap();
        let checkup = Checkup::run(session.client()).await.unwrap();
        session.close().await;
        checkup
    })
}

#[test]
fn a_session_is_a_polite_observer() {
    let server = server();
    let environment = Environment::bare()
        .with("PGAPPNAME", "somebody")
        .with("PGOPTIONS", "-c lock_timeout=0 -c geqo=off");
    let shown = wait(async {
        let session = session(&server.dsn("postgres", "postgres"), &environment)
            .await
            .unwrap();
        let mut shown = Vec::new();
        for name in [
            "application_name",
            "lock_timeout",
            "statement_timeout",
            "transaction_read_only",
            "search_path",
            "client_encoding",
            "jit",
            "work_mem",
            "geqo",
        ] {
            let row = session
                .client()
                .query_one("SELECT current_setting($1)", &[&name])
                .await
                .unwrap();
            shown.push(format!("{name}={}", row.get::<_, String>(0)));
        }
        session.close().await;
        shown
    });
    assert_eq!(
        shown,
        [
            "application_name=pgjam",
            "lock_timeout=100ms",
            "statement_timeout=5s",
            "transaction_read_only=on",
            "search_path=pg_catalog",
            "client_encoding=SQL_ASCII",
            "jit=off",
            "work_mem=32MB",
            "geqo=off",
        ]
    );
}

#[test]
fn text_of_any_encoding_arrives_as_the_servers_bytes() {
    let server = server();
    let mut superuser = server.connect("postgres").unwrap();
    for encoding in ["LATIN1", "SQL_ASCII"] {
        superuser
            .batch_execute(&format!(
                "CREATE DATABASE {encoding} TEMPLATE template0 ENCODING '{encoding}'"
            ))
            .unwrap();
    }
    let mut french = server.connect("latin1").unwrap();
    french.batch_execute("SELECT 'été'").unwrap();
    wait(async {
        for encoding in ["latin1", "sql_ascii"] {
            let session = session(&server.dsn(encoding, "postgres"), &Environment::bare())
                .await
                .unwrap();
            let sql = format!("SELECT convert_from('\\xe974e9', '{encoding}')");
            let row = session.client().query_one(&sql, &[]).await.unwrap();
            assert_eq!(row.get::<_, RawText<'_>>(0).0, b"\xe9t\xe9", "{encoding}");
        }
        // Another database's statement, read where the encoding is UTF-8.
        let session = session(&server.dsn("postgres", "postgres"), &Environment::bare())
            .await
            .unwrap();
        let row = session
            .client()
            .query_one(
                "SELECT query FROM pg_stat_get_activity(NULL) JOIN pg_database d ON d.oid = datid \
                 WHERE datname = 'latin1'",
                &[],
            )
            .await
            .unwrap();
        let query = row.get::<_, RawText<'_>>(0);
        assert_eq!(query.0, b"SELECT '\xe9t\xe9'");
        assert_eq!(query.to_lossy(), "SELECT '\u{fffd}t\u{fffd}'");
    });
}

#[test]
fn a_refusal_names_its_cause_and_the_next_step() {
    use ConnectErrorKind as K;
    let server = server();
    let mut superuser = server.connect("postgres").unwrap();
    superuser
        .batch_execute("CREATE ROLE narrow LOGIN CONNECTION LIMIT 0; CREATE ROLE \"Out\" LOGIN")
        .unwrap();
    superuser.batch_execute("CREATE DATABASE closed").unwrap();
    superuser
        .batch_execute("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
        .unwrap();
    let bare = Environment::bare();
    let (socket, tcp) = (
        |database, role| server.dsn(database, role),
        server.tcp_dsn("postgres", "postgres"),
    );
    let wrong = Environment::bare().with("PGPASSWORD", "battery staple");
    refuses(&tcp, &wrong, K::Authentication, &["password", "PGPASSWORD"]);
    refuses(&tcp, &bare, K::Authentication, &["\"postgres\"", ".pgpass"]);
    refuses(
        &socket("postgres", "nobody here"),
        &bare,
        K::Authentication,
        &["nobody here", "role's name"],
    );
    refuses(
        &socket("absent", "postgres"),
        &bare,
        K::NoDatabase,
        &["\"absent\"", "dbname="],
    );
    refuses(
        &socket("postgres", "narrow"),
        &bare,
        K::TooManyConnections,
        &["too many connections", "limit"],
    );
    refuses(
        &socket("closed", "Out"),
        &bare,
        K::Forbidden,
        &["GRANT CONNECT ON DATABASE \"closed\" TO \"Out\";"],
    );
    refuses(
        "host=/nowhere user=me",
        &bare,
        K::Unreachable,
        &["/nowhere:5432", "socket"],
    );
    refuses(
        "host=127.0.0.1 port=1 user=me",
        &bare,
        K::Unreachable,
        &["127.0.0.1:1", "listen_addresses"],
    );
    refuses(
        "postgres://me:horse@no-such-host.invalid/db",
        &bare,
        K::UnknownHost,
        &["no-such-host.invalid", "unknown"],
    );
    refuses(
        &format!("{tcp} target_session_attrs=standby password='{PASSWORD}'"),
        &bare,
        K::WrongRole,
        &["is a primary"],
    );
}

#[test]
fn a_silent_host_is_given_up_in_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let dsn = format!("host=127.0.0.1 port={port} user=me connect_timeout=1");
    let words = ["no answer within 1 s", "connect_timeout"];
    refuses(
        &dsn,
        &Environment::bare(),
        ConnectErrorKind::TimedOut,
        &words,
    );
}

#[test]
fn the_next_host_answers_for_one_that_is_gone() {
    let server = server();
    let dsn = format!(
        "host=127.0.0.1,127.0.0.1 port=1,{} user=postgres password='{PASSWORD}'",
        server.port()
    );
    let session = wait(session(&dsn, &Environment::bare())).unwrap();
    let expected = format!("127.0.0.1:{}/postgres", server.port());
    assert_eq!(session.address(), expected);
}

#[test]
fn pgpass_and_a_service_file_suffice() {
    let server = server();
    let home = tempfile::tempdir().unwrap();
    let passfile = home.path().join(".pgpass");
    let port = server.port();
    std::fs::write(
        &passfile,
        format!("127.0.0.1:{port}:*:postgres:{PASSWORD}\n"),
    )
    .unwrap();
    std::fs::write(
        home.path().join(".pg_service.conf"),
        format!("[prod-7]\nhost=127.0.0.1\nport={port}\nuser=postgres\n"),
    )
    .unwrap();
    let environment = Environment::bare()
        .with_home(home.path())
        .with("PGSERVICE", "prod-7");
    let connect = || wait(Target::resolve(None, &environment).unwrap().connect());

    std::fs::set_permissions(&passfile, std::fs::Permissions::from_mode(0o600)).unwrap();
    let expected = format!("127.0.0.1:{port}/postgres");
    assert_eq!(connect().unwrap().address(), expected);

    std::fs::set_permissions(&passfile, std::fs::Permissions::from_mode(0o640)).unwrap();
    let refused = connect().map(|_| ()).unwrap_err();
    assert_eq!(refused.kind(), ConnectErrorKind::Authentication);
}

#[test]
fn a_role_without_privileges_is_told_the_grant_and_with_it_passes() {
    let server = server();
    let mut superuser = server.connect("postgres").unwrap();
    superuser
        .batch_execute("CREATE ROLE \"on \"\"call\" LOGIN; CREATE ROLE modest LOGIN NOINHERIT")
        .unwrap();
    for (role, expected) in [
        ("on \"call", r#"GRANT pg_monitor TO "on ""call";"#),
        ("modest", r#"GRANT pg_monitor TO "modest";"#),
    ] {
        let dsn = server.dsn("postgres", role);
        let found = checkup(&dsn);
        assert!(found.is_fatal());
        assert_eq!(found.missing[0].remedy.as_deref(), Some(expected));

        superuser.batch_execute(expected).unwrap();
        let mut then = checkup(&dsn);
        if then.is_fatal() {
            // Before 16 a role that does not inherit has no use of the grant.
            let remedy = then.missing[0].remedy.clone().unwrap();
            superuser.batch_execute(&remedy).unwrap();
            then = checkup(&dsn);
        }
        assert!(!then.is_fatal(), "{:?}", then.missing);
        let facts = then.facts.as_ref().unwrap();
        assert!(facts.sees_others && facts.system_identifier.is_some());
        assert_eq!(facts.statements.usable(), server.has_statements());
        assert_eq!(then.server("x").unwrap().version_num, then.version);
    }
}

#[test]
fn whether_a_role_may_signal_others_is_found_out() {
    let server = server();
    let mut superuser = server.connect("postgres").unwrap();
    superuser
        .batch_execute(
            "CREATE ROLE watcher LOGIN IN ROLE pg_monitor; \
             CREATE ROLE signaller LOGIN IN ROLE pg_monitor, pg_signal_backend",
        )
        .unwrap();
    for (role, may) in [("watcher", false), ("signaller", true), ("postgres", true)] {
        let found = checkup(&server.dsn("postgres", role));
        let facts = found.facts.unwrap();
        assert_eq!(facts.may_signal, may, "{role}");
        assert_eq!(facts.superuser, role == "postgres");
        // Where the server has a role for it: from 18 on.
        let autovacuum = (found.version.major() >= 18).then_some(role == "postgres");
        assert_eq!(facts.may_signal_autovacuum, autovacuum, "{role}");
    }
}

#[test]
fn every_remedy_of_a_bare_server_works() {
    let server = ThrowAway::start(&Options {
        fsync: false,
        settings: [
            ("track_activities", "off"),
            ("compute_query_id", "off"),
            ("log_lock_waits", "off"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
        ..Options::default()
    })
    .unwrap();
    let mut superuser = server.connect("postgres").unwrap();
    superuser
        .batch_execute("CREATE ROLE watcher LOGIN IN ROLE pg_monitor")
        .unwrap();
    superuser.batch_execute("CREATE DATABASE plain").unwrap();
    let dsn = server.dsn("plain", "watcher");
    let before = checkup(&dsn);
    let whats: Vec<&str> = before.missing.iter().map(|m| m.what.as_str()).collect();
    assert_eq!(
        whats,
        [
            "track_activities is off",
            "pg_stat_statements is not created in this database",
            "compute_query_id is off",
            "track_activity_query_size is 1024 bytes",
            "log_lock_waits is off",
        ]
    );
    let mut owner = server.connect("plain").unwrap();
    for missing in &before.missing {
        // One statement a call: ALTER SYSTEM may not stand in a transaction.
        for statement in missing.remedy.as_deref().unwrap().split_inclusive(';') {
            owner.batch_execute(statement).unwrap();
        }
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let after = checkup(&dsn);
        // This one setting takes a restart, and says so.
        let rest: Vec<_> = after.missing.iter().map(|m| m.what.as_str()).collect();
        if rest == ["track_activity_query_size is 1024 bytes"] {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{rest:?}");
    }
}

/// Turns TLS on with a self-signed certificate for `name`; false without `openssl`.
fn with_certificate(server: &ThrowAway, name: &str) -> bool {
    let data = server.folder().join("data");
    let made = Command::new("openssl")
        .args(["req", "-new", "-x509", "-nodes", "-days", "2"])
        .args(["-newkey", "rsa:2048", "-subj", "/CN=test", "-addext"])
        .arg(format!("subjectAltName=DNS:{name}"))
        .arg("-keyout")
        .arg(data.join("server.key"))
        .arg("-out")
        .arg(data.join("server.crt"))
        .output();
    if !made.is_ok_and(|output| output.status.success()) {
        return false;
    }
    let owner = std::fs::metadata(&data).unwrap();
    for file in ["server.key", "server.crt"] {
        let path = data.join(file);
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let mut superuser = server.connect("postgres").unwrap();
    superuser
        .batch_execute("ALTER SYSTEM SET ssl = on")
        .unwrap();
    superuser.batch_execute("SELECT pg_reload_conf()").unwrap();
    true
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn tls_verifies_what_the_mode_asks_for() {
    let server = server();
    if !with_certificate(&server, "right.invalid") {
        eprintln!("skipped: there is no openssl to make a certificate with");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("root.pem");
    std::fs::copy(server.folder().join("data/server.crt"), &root).unwrap();
    let bare = Environment::bare().with("PGPASSWORD", PASSWORD);
    let dsn = |host: &str, rest: &str| {
        let port = server.port();
        format!("host={host} hostaddr=127.0.0.1 port={port} user=postgres {rest}")
    };
    let rooted = |mode: &str| format!("sslmode={mode} sslrootcert={}", root.display());
    let encrypted = |dsn: &str| {
        wait(async {
            let session = session(dsn, &bare).await?;
            let sql = "SELECT ssl FROM pg_stat_get_activity(pg_backend_pid())";
            Ok::<bool, ConnectError>(session.client().query_one(sql, &[]).await.unwrap().get(0))
        })
    };
    // A reload is not instant: `require` succeeds as soon as it has come through.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while encrypted(&dsn("wrong.invalid", "sslmode=require")).is_err() {
        assert!(std::time::Instant::now() < deadline, "TLS never came up");
    }
    let cases = [
        ("right.invalid", rooted("verify-full")),
        ("wrong.invalid", rooted("verify-ca")),
        ("wrong.invalid", rooted("require")),
        (
            "wrong.invalid",
            "channel_binding=require sslmode=require".into(),
        ),
        ("wrong.invalid", "sslmode=prefer".into()),
    ];
    for (host, rest) in &cases {
        assert_eq!(encrypted(&dsn(host, rest)), Ok(true), "{host} {rest}");
    }
    assert_eq!(
        encrypted(&dsn("wrong.invalid", "sslmode=disable")),
        Ok(false)
    );
    refuses(
        &dsn("wrong.invalid", &rooted("verify-full")),
        &bare,
        ConnectErrorKind::Tls,
        &["not valid for name", "subjectAltName"],
    );
    assert!(with_other_root(home.path()));
    let other = format!(
        "sslmode=require sslrootcert={}",
        home.path().join("other.pem").display()
    );
    refuses(
        &dsn("right.invalid", &other),
        &bare,
        ConnectErrorKind::Tls,
        &["sslrootcert"],
    );
}

/// Makes a certificate that signed nothing.
fn with_other_root(folder: &Path) -> bool {
    Command::new("openssl")
        .args(["req", "-new", "-x509", "-nodes", "-days", "2"])
        .args(["-newkey", "rsa:2048", "-subj", "/CN=other", "-keyout"])
        .arg(folder.join("other.key"))
        .arg("-out")
        .arg(folder.join("other.pem"))
        .output()
        .is_ok_and(|output| output.status.success())
}
