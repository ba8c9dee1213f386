//! Options as people write them: URLs, key=value, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;

#[track_caller]
fn check(dsn: &str, expected: &[(&str, &str)]) {
    let options = Options::parse(dsn).unwrap();
    let mut expected: Vec<(&str, &str)> = expected.to_vec();
    expected.sort_unstable();
    let found: Vec<(&str, &str)> = options.0.iter().map(|(k, v)| (*k, v.as_str())).collect();
    assert_eq!(found, expected, "{dsn}");
}

#[track_caller]
fn refuses(dsn: &str, expected: &str) {
    let error = Options::parse(dsn).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ConnectErrorKind::BadOption);
    assert_eq!(error.to_string(), expected, "{dsn}");
}

#[test]
fn a_url_has_user_password_host_port_and_database() {
    check(
        "postgres://me:se%40cret@db.example:6432/shop?sslmode=verify-full",
        &[
            ("user", "me"),
            ("password", "se@cret"),
            ("host", "db.example"),
            ("port", "6432"),
            ("dbname", "shop"),
            ("sslmode", "verify-full"),
        ],
    );
}

#[test]
fn a_url_may_say_next_to_nothing() {
    check("postgresql://", &[]);
    check("postgresql:///shop", &[("dbname", "shop")]);
    check(
        "postgresql:///shop?host=/run/pg",
        &[("dbname", "shop"), ("host", "/run/pg")],
    );
}

#[test]
fn a_url_takes_several_hosts_sockets_and_ipv6() {
    check(
        "postgresql://a:1,[::1]:2,c/db",
        &[("host", "a,::1,c"), ("port", "1,2,"), ("dbname", "db")],
    );
    check(
        "postgresql://%2Frun%2Fpg/db",
        &[("host", "/run/pg"), ("dbname", "db")],
    );
}

#[test]
fn pairs_take_spaces_quotes_and_backslashes() {
    check(
        r"host = a  password='it\'s \\ so' dbname=x\ y",
        &[("host", "a"), ("password", r"it's \ so"), ("dbname", "x y")],
    );
}

#[test]
fn a_bare_word_is_a_database() {
    check("shop", &[("dbname", "shop")]);
}

#[test]
fn a_mistake_is_named_and_its_value_is_not() {
    refuses("host=a prot=1", "connection option `prot` is not known");
    refuses(
        "password=two words",
        "connection option `password` is followed by something without `=`; \
         a value with spaces goes in quotes: 'a b'",
    );
    refuses(
        "password='open",
        "connection option `password` has an opening quote without its end",
    );
    refuses(
        "postgres://me:slash/word@host/db",
        "connection option `password` has a / or ? in it: write it percent-encoded (%2F, %3F)",
    );
    refuses(
        "postgres://me:%zz@host/db",
        "connection option `password` has an invalid percent-encoding",
    );
}

#[test]
fn an_at_sign_in_a_password_does_not_reach_the_host() {
    let options = Options::parse("postgres://me:p@ss@host/db").unwrap();
    assert_eq!(options.get("host"), Some("host"));
    assert_eq!(options.get("password"), Some("p@ss"));
}

#[test]
fn a_protection_that_is_not_offered_is_refused() {
    refuses(
        "requirepeer=postgres",
        "connection option `requirepeer` asks for something that is not supported; leave it out",
    );
    check("gssencmode=prefer", &[]);
}

#[test]
fn the_string_wins_over_the_service_and_the_service_over_the_variables() {
    let home = tempfile::tempdir().unwrap();
    let text = "[s]\nhost=from-service\nport=1\nuser=service\n";
    std::fs::write(home.path().join(".pg_service.conf"), text).unwrap();
    let environment = Environment::bare()
        .with_home(home.path())
        .with("PGHOST", "from-variable")
        .with("PGDATABASE", "variable");
    let options = Options::gather(Some("service=s user=string"), &environment).unwrap();
    assert_eq!(options.get("host"), Some("from-service"));
    assert_eq!(options.get("user"), Some("string"));
    assert_eq!(options.get("dbname"), Some("variable"));
}
