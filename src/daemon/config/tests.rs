//! Configurations, understood and refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use super::{Age, Bytes, Config, ConfigError, read};
use crate::sample::pace::{Cadence, Need};

fn understood(text: &str) -> Config {
    read::config(Path::new("pgjam.toml"), text).unwrap()
}

/// Holds what is said of a file against what should be.
fn refused(text: &str, expected: &[&str]) {
    let error = read::config(Path::new("pgjam.toml"), text).unwrap_err();
    let said = error.to_string();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines, expected);
}

#[test]
fn a_server_takes_what_it_does_not_say_from_the_defaults() {
    let config = understood(
        r#"
        data_dir = "/data"
        [defaults]
        hz = 5
        raw_age = "7d"
        system_by = ["tag:tenant", "role"]
        [servers.prod-7]
        dsn = "host=db7"
        [servers.test]
        dsn = "host=db8"
        to = "elsewhere"
        budget = "1%"
        raw_age = "1d"
        minutes_bytes = "100MiB"
        hours_bytes = "50MiB"
        [servers.far]
        dsn = "host=db9"
        to = "/mnt/far"
        quiet_hz = 0.5
        "#,
    );
    let prod = config.server("prod-7").unwrap();
    assert_eq!(prod.to, Path::new("/data/prod-7"));
    assert_eq!(prod.cadence, Cadence::Fixed(5.0));
    assert_eq!(prod.system_by.to_string(), "tag:tenant,role");
    assert_eq!(prod.retention.raw_age, Age::from_days(7));
    assert_eq!(prod.memory, Bytes::from_mib(64));
    let test = config.server("test").unwrap();
    assert_eq!(test.to, Path::new("/data/elsewhere"));
    assert!((test.budget - 0.01).abs() < 1e-12);
    assert_eq!(test.retention.raw_age, Age::from_days(1));
    let in_detail = |server: &super::Settings| {
        let kept = server.retention;
        (kept.minutes_bytes, kept.hours_bytes)
    };
    let [minutes, hours] = [100, 50].map(Bytes::from_mib);
    assert_eq!(in_detail(test), (minutes, hours));
    let [minutes, hours] = [24, 12].map(Bytes::from_mib);
    assert_eq!(in_detail(prod), (minutes, hours));
    let far = config.server("far").unwrap();
    assert_eq!(far.to, Path::new("/mnt/far"));
    let by_need = Need {
        quiet: 0.5,
        ..Need::default()
    };
    assert_eq!(far.cadence, Cadence::ByNeed(by_need));
    assert_eq!(
        config.server("prod").unwrap_err().to_string(),
        "pgjam.toml names no server \"prod\"; it has far, prod-7, test"
    );
}

#[test]
fn every_mistake_is_told_at_once_with_its_line_and_key() {
    refused(
        r#"dat_dir = "/data"
[defaults]
hz = "fast"
[servers.prod]
dsn = "host=db7 sslmod=require"
raw_bytes = 12
rollup_age = "14"
[servers.test]
to = "prod"
system_by = "appname"
budget = 3
[log]
format = "xml"
"#,
        &[
            "pgjam.toml:1: dat_dir is not known; did you mean data_dir?",
            "pgjam.toml:3: defaults.hz is fast, and must be a number of looks per second, 0.1 to 100",
            "pgjam.toml:5: servers.prod.dsn cannot be used: connection option `sslmod` is not known",
            "pgjam.toml:6: servers.prod.raw_bytes is a number, and must be a string",
            "pgjam.toml:7: servers.prod.rollup_age is \"14\", which is no length of time: write it as \"36h\" or \"14d\"",
            "pgjam.toml:8: servers.test.dsn is missing: how the server is reached",
            "pgjam.toml:9: servers.test.to is /var/lib/pgjam/prod, where prod goes too",
            "pgjam.toml:10: servers.test.system_by cannot be used: no system can be named by 'appname': use application_name, role, database, client_addr or tag:KEY",
            "pgjam.toml:11: servers.test.budget is 3, and must be a share from \"0.01%\" to \"50%\"",
            "pgjam.toml:13: log.format is \"xml\", and must be \"human\" or \"json\"",
        ],
    );
}

#[test]
fn a_file_that_is_no_toml_is_told_by_line() {
    let error = read::config(Path::new("a.toml"), "[servers.prod]\ndsn = host\n").unwrap_err();
    let ConfigError::Mistakes(mistakes) = error else {
        panic!("{error}");
    };
    assert_eq!(mistakes[0].line, 2);
}

#[test]
fn a_configuration_without_a_server_is_a_mistake() {
    refused(
        "[log]\nlevel = \"warn\"\n",
        &["pgjam.toml:1: servers names no server: begin with [servers.NAME]"],
    );
}

#[test]
fn a_name_may_not_leave_its_folder() {
    for name in ["../up", "a b", ".hidden", "", "naïve"] {
        let text = format!("[servers.\"{name}\"]\ndsn = \"host=a\"\n");
        let error = read::config(Path::new("a.toml"), &text).unwrap_err();
        assert!(
            error.to_string().contains("is no name for a server"),
            "{error}"
        );
    }
}

#[test]
fn one_pace_and_two_do_not_go_together() {
    refused(
        "[servers.a]\ndsn = \"host=a\"\nhz = 5\nquiet_hz = 1\n",
        &[
            "pgjam.toml:3: servers.a.hz is one pace for all times: leave out quiet_hz and busy_hz, or it",
        ],
    );
    refused(
        "[servers.a]\ndsn = \"host=a\"\nquiet_hz = 20\n",
        &["pgjam.toml:3: servers.a.quiet_hz is 20, more than busy_hz, which is 10"],
    );
}

#[test]
fn who_listens_beyond_the_machine_asks_for_a_token_or_a_certificate() {
    let http = |lines: &str| format!("[servers.a]\ndsn = \"host=a\"\n[http]\n{lines}");
    refused(
        &http("listen = \"0.0.0.0:7487\"\n"),
        &[
            "pgjam.toml:4: http.listen can be reached by others: give token_file, or client_ca with cert and key",
        ],
    );
    refused(
        &http("listen = \"127.0.0.1:7487\"\ncert = \"a.pem\"\n"),
        &["pgjam.toml:3: http.key is missing beside cert"],
    );
    let config = understood(&http(
        "listen = \"0.0.0.0:7487\"\ntoken_file = \"/etc/pgjam/token\"\n",
    ));
    assert_eq!(config.http.listen.unwrap().port(), 7487);
}

#[test]
fn no_debug_output_has_a_password_in_it() {
    let config = understood("[servers.a]\ndsn = \"host=a password=hush\"\n");
    assert!(!format!("{config:?}").contains("hush"));
    let error = read::config(
        Path::new("a.toml"),
        "[servers.a]\ndsn = \"host=a password=hush sslmod=x\"\n",
    );
    assert!(!error.unwrap_err().to_string().contains("hush"));
}
