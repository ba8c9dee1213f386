//! Whether the role in use may do what `pgjam now` offers: what is told against what the server
//! rules.

use pgjam::lab::server::ThrowAway;

use crate::stage::{Session, pgjam, run, server, until_waiting};

/// What a role is told about a step.
pub(crate) struct Told {
    pub(crate) may: bool,
    pub(crate) clause: String,
}

/// Reads the clause below the statement that has these words in it.
#[track_caller]
pub(crate) fn told(server: &ThrowAway, role: &str, statement: &str) -> Told {
    let page = pgjam(&["now", "--dsn", &server.dsn("postgres", role)])
        .well()
        .out;
    let mut lines = page.lines().skip_while(|line| !line.contains(statement));
    let clause = lines.nth(1).unwrap_or_default().trim().to_owned();
    let may = match clause.as_str() {
        "This role may." => true,
        clause if clause.starts_with("This role may not: ") => false,
        _ => panic!("{clause:?} below {statement:?} in {page}"),
    };
    Told { may, clause }
}

/// Runs a statement as a role, and tells whether it may.
#[track_caller]
pub(crate) fn ruled(server: &ThrowAway, role: &str, statement: &str) -> bool {
    let mut client = server.connect("postgres").unwrap();
    client
        .batch_execute(&format!(r#"set role "{role}""#))
        .unwrap();
    match client.batch_execute(statement) {
        Ok(()) => true,
        Err(error) => {
            let code = error.as_db_error().map(|error| error.code().code());
            assert_eq!(code, Some("42501"), "{error:?}");
            false
        }
    }
}

const ROLES: &str = r#"
    create role "On Call" login in role pg_monitor;
    create role signaller login in role pg_monitor, pg_signal_backend;
    create role billing login in role pg_monitor;
    create role billing_owner login in role pg_monitor, billing;
    create role crown login in role pg_monitor, postgres;
    create table counter (id int primary key, n int);
    insert into counter values (1, 0);
    grant all on counter to public;
"#;

/// Those who look; a superuser last, for nothing is refused to it.
const LOOKERS: [&str; 6] = [
    "On Call",
    "signaller",
    "billing",
    "billing_owner",
    "crown",
    "postgres",
];

#[test]
fn each_role_is_told_of_each_session_what_the_server_rules() {
    let server = server(&[]);
    run(&server, "postgres", ROLES);
    for owner in ["billing", "postgres"] {
        let mut holder = Session::with(&server, "postgres", owner, "billing-app", "UTF8");
        holder.say("begin");
        holder.say("update counter set n = 1");
        let mut waiter = Session::open(&server, "postgres", "intake");
        waiter.send("update counter set n = 2");
        until_waiting(&server, 1);
        let pid = holder.pid;
        let mut may = Vec::new();
        for role in LOOKERS {
            let told = told(&server, role, &format!("WHERE pid = {pid} AND"));
            // It runs nothing, so a cancel does it no harm.
            let ruled = ruled(&server, role, &format!("select pg_cancel_backend({pid})"));
            assert_eq!(told.may, ruled, "{role} of {owner}: {}", told.clause);
            may.push(told.may);
            if !told.may && owner == "postgres" {
                assert_eq!(told.clause, "This role may not: only a superuser may.");
            }
        }
        let expected = match owner {
            "billing" => [false, true, true, true, false, true],
            _ => [false, false, false, false, false, true],
        };
        assert_eq!(may, expected, "{owner}");
        if owner == "billing" {
            let refused = told(&server, "On Call", &format!("WHERE pid = {pid} AND"));
            let grant = refused.clause.strip_prefix("This role may not: ").unwrap();
            assert_eq!(grant, r#"GRANT pg_signal_backend TO "On Call";"#);
            run(&server, "postgres", grant);
            assert!(told(&server, "On Call", &format!("WHERE pid = {pid} AND")).may);
            run(
                &server,
                "postgres",
                &grant.replace("GRANT", "REVOKE").replace(" TO ", " FROM "),
            );
        }
        drop(holder);
        until_waiting(&server, 0);
    }
}

#[test]
fn a_prepared_transaction_is_its_owner_s_and_no_member_s() {
    let server = server(&[("max_prepared_transactions", "2")]);
    run(&server, "postgres", ROLES);
    let mut session = Session::with(&server, "postgres", "billing", "billing-app", "UTF8");
    session.say("begin");
    session.say("update counter set n = 1");
    session.say("prepare transaction 'transfer 42'");
    let mut waiter = Session::open(&server, "postgres", "intake");
    waiter.send("update counter set n = 2");
    until_waiting(&server, 1);
    let statement = "ROLLBACK PREPARED 'transfer 42'";
    assert!(told(&server, "postgres", statement).may);
    for role in ["On Call", "signaller", "billing_owner"] {
        let told = told(&server, role, statement);
        assert_eq!(
            told.clause,
            r#"This role may not: only "billing" or a superuser may."#
        );
        assert!(!ruled(&server, role, statement), "{role}");
    }
    assert!(told(&server, "billing", statement).may);
    assert!(ruled(&server, "billing", statement));
}
