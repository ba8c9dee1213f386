//! Real statements, cut ones and hostile ones, and what is understood of them.

use proptest::prelude::*;

use super::*;

/// Statements that PostgreSQL's parser takes, each with what it is called in a sentence.
const REAL: &[(&str, &str)] = &[
    (
        "UPDATE state_counter SET n = n + 1 WHERE id = 7",
        "UPDATE state_counter",
    ),
    (
        "select * from agency where id = 5 for no key update",
        "SELECT from agency FOR NO KEY UPDATE",
    ),
    (
        "SELECT * FROM public.agency a WHERE name = 'x' FOR UPDATE OF a SKIP LOCKED",
        "SELECT from agency FOR UPDATE",
    ),
    (
        "SELECT count(*) FROM permission WHERE role IN (1, 2, 3)",
        "SELECT from permission",
    ),
    (
        "INSERT INTO audit VALUES (1, 'it''s', E'\\'', $$x$$, $a$y$a$, 1.5e-3)",
        "INSERT INTO audit",
    ),
    (
        "DELETE FROM queue WHERE ts < now() - interval '1 day'",
        "DELETE FROM queue",
    ),
    (
        "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = 1",
        "MERGE INTO t",
    ),
    ("COMMIT", "COMMIT"),
    ("PREPARE TRANSACTION 'order-17'", "PREPARE TRANSACTION"),
    ("LOCK TABLE agency IN SHARE MODE", "LOCK TABLE agency"),
    (
        "ALTER TABLE agency ADD COLUMN x int DEFAULT 5",
        "ALTER TABLE agency",
    ),
    (
        "CREATE INDEX CONCURRENTLY i ON agency (name)",
        "CREATE INDEX … ON agency",
    ),
    ("REINDEX INDEX agency_pkey", "REINDEX INDEX agency_pkey"),
    (
        "ALTER INDEX agency_pkey RENAME TO key",
        "ALTER INDEX agency_pkey",
    ),
    ("VACUUM FULL agency", "VACUUM agency"),
    (
        "CREATE TABLE visit (agency int REFERENCES agency)",
        "CREATE TABLE visit",
    ),
    (
        "CREATE VIEW open AS SELECT * FROM agency",
        "CREATE VIEW open",
    ),
    (
        "REFRESH MATERIALIZED VIEW counts",
        "REFRESH MATERIALIZED VIEW counts",
    ),
    ("SET statement_timeout = '5s'", "SET statement_timeout = $1"),
    ("SELECT 1", "SELECT $1"),
];

#[test]
fn every_real_statement_is_parsed_and_named() {
    for (sql, short) in REAL {
        let statement = read(sql.as_bytes());
        assert!(statement.parsed, "{sql}");
        assert_eq!(statement.short(), *short, "{sql}");
    }
}

#[test]
fn literals_comments_and_layout_make_no_difference() {
    let [a, b] = [
        "/*tenant='a'*/ UPDATE t SET a = 'x'\n  WHERE id IN (1, 2) -- why",
        "UPDATE t SET a = 'yy' WHERE id IN (3,4,5) /*tenant='b'*/;",
    ]
    .map(|sql| read(sql.as_bytes()));
    assert_eq!(a.id, b.id);
    assert_eq!(&*a.text, "UPDATE t SET a = $1 WHERE id IN ($2, …)");
    assert_eq!(a.text, b.text);
}

#[test]
fn literals_of_utility_statements_make_no_difference_either() {
    for (a, b) in [
        ("PREPARE TRANSACTION 'a'", "PREPARE TRANSACTION 'b'"),
        ("COMMIT PREPARED 'a'", "COMMIT PREPARED 'b'"),
        ("NOTIFY c, 'a'", "NOTIFY c, 'b'"),
        ("SET application_name = 'a'", "SET application_name = 'b'"),
        ("COMMENT ON TABLE t IS 'a'", "COMMENT ON TABLE t IS 'b'"),
        ("EXECUTE p('a', 1)", "EXECUTE p('b', 2)"),
        ("FETCH 100 FROM c", "FETCH 200 FROM c"),
        (
            "ALTER TABLE t ADD a text DEFAULT 'a'",
            "ALTER TABLE t ADD a text DEFAULT 'b'",
        ),
        ("DO $$ begin end $$", "DO $$ begin null; end $$"),
    ] {
        assert_eq!(read(a.as_bytes()).id, read(b.as_bytes()).id, "{a}");
    }
}

#[test]
fn schemas_tell_tables_apart() {
    assert_ne!(read(b"SELECT * FROM a.t").id, read(b"SELECT * FROM b.t").id);
    assert_ne!(read(b"SELECT * FROM a x").id, read(b"SELECT * FROM b x").id);
}

#[test]
fn placeholders_follow_the_parameters_that_are_there() {
    let statement = read(b"SELECT * FROM t WHERE a = $2 AND b = 'x' AND c = $1");
    assert_eq!(
        &*statement.text,
        "SELECT * FROM t WHERE a = $2 AND b = $3 AND c = $1"
    );
}

#[test]
fn a_statement_may_do_more_than_it_says() {
    for sql in [
        "SELECT pay(1)",
        "SELECT s.now()",
        "SELECT \"Now\"()",
        "INSERT INTO a VALUES (1, price(2))",
        "UPDATE a SET n = 1 RETURNING audit(n)",
        "INSERT INTO a VALUES (1) ON CONFLICT (id) DO UPDATE SET n = price(2)",
        "CALL pay(1)",
        "DO $$ begin end $$",
        "EXECUTE pay",
        "FETCH 1 FROM c",
        "COMMIT",
        "BEGIN; UPDATE a SET n = 1",
        "UPDATE a SET n = 'it goes o",
        "no sql at all",
    ] {
        assert!(read(sql.as_bytes()).opaque, "{sql}");
    }
    for sql in [
        "SELECT count(*), pg_catalog.now() FROM a WHERE id IN (1, 2) AND (n = 1)",
        "INSERT INTO a (id, n) VALUES (1, coalesce(NULL, 2)), (nextval('s'), 3)",
        "INSERT INTO s.a (id) SELECT max(id) FROM a",
        "UPDATE a SET n = v.n FROM (VALUES (1, 2)) AS v (id, n) WHERE a.id = v.id",
        "UPDATE a SET at = now(), p = 1::numeric(10, 2) WHERE EXISTS (SELECT FROM b)",
        "SELECT * FROM a ORDER BY row_number() OVER (PARTITION BY n) FOR UPDATE",
        "CREATE TABLE a (id int)",
        "autovacuum: VACUUM public.t (to prevent wraparound)",
    ] {
        assert!(!read(sql.as_bytes()).opaque, "{sql}");
    }
}

#[test]
fn what_no_parser_takes_is_still_understood_as_far_as_it_goes() {
    let vacuum = read(b"autovacuum: VACUUM public.queue (to prevent wraparound)");
    assert_eq!(vacuum.kind, Kind::Utility);
    assert_eq!(vacuum.tables[0].lock, LockMode::ShareUpdateExclusive);
    assert_eq!(
        vacuum.short(),
        "autovacuum: VACUUM public.queue (to prevent wraparound)"
    );

    let cut = read(b"UPDATE public.queue SET payload = 'the secr");
    assert!(!cut.parsed);
    assert_eq!(cut.kind, Kind::Update);
    assert_eq!(&*cut.text, "UPDATE public.queue SET payload = ?");
    assert_eq!(cut.short(), "UPDATE queue");

    for odd in [
        "<insufficient privilege>",
        "START_REPLICATION SLOT \"s\" LOGICAL 0/16B3748",
        "",
        ";;",
        "\0x",
    ] {
        let statement = read(odd.as_bytes());
        assert_eq!(
            (statement.kind, statement.parsed),
            (Kind::Unknown, false),
            "{odd}"
        );
    }
}

#[test]
fn secrets_outside_of_literals_are_redacted_with_their_statement() {
    let check = |sql: &str, expected: &str| {
        assert_eq!(&*read(sql.as_bytes()).text, expected, "{sql}");
    };
    check("ALTER ROLE bob PASSWORD 'hunter2'", "ALTER ROLE (redacted)");
    check("CREATE USER bob PASSWORD hunter2", "CREATE USER (redacted)");
    check(
        "CREATE USER MAPPING FOR bob SERVER s OPTIONS (password 'hunter2')",
        "CREATE USER (redacted)",
    );
    check("SET app.jwt_token TO hunter2", "SET (redacted)");
    check("COPY t FROM PROGRAM 'curl hunter2'", "COPY (redacted)");
    check(
        "SELECT 1; ALTER ROLE bob PASSWORD 'hunter2'; SELECT 2",
        "SELECT $1; ALTER ROLE (redacted); SELECT $2",
    );
    check("SET search_path TO agency", "SET search_path TO agency");
    // Nobody could guess the password from the id.
    assert_eq!(
        read(b"ALTER ROLE bob PASSWORD 'a'").id,
        read(b"ALTER ROLE bob PASSWORD 'b'").id
    );
}

#[test]
fn a_string_whose_end_is_in_doubt_goes_on_to_the_end() {
    let statement = read(br"UPDATE t SET a = 'it\'s secret', b = 'mor");
    assert_eq!(&*statement.text, "UPDATE t SET a = ?");
}

#[test]
fn a_normal_form_is_bounded() {
    let columns: Vec<String> = (0..5000).map(|n| format!("straße_{n}")).collect();
    let statement = read(format!("SELECT {} FROM t", columns.join(", ")).as_bytes());
    assert!(statement.text.len() <= 4096 && statement.text.ends_with('…'));
}

#[test]
fn extremes_are_survived() {
    let nests = |open: &str, close: &str| {
        format!("SELECT {}1{}", open.repeat(10_000), close.repeat(10_000))
    };
    let chain = |link: &str| format!("SELECT 1{}", link.repeat(9_000));
    for sql in [
        nests("(", ")"),
        nests("(SELECT ", ")"),
        nests("ARRAY[", "]"),
        nests("NOT ", ""),
        nests("- ", ""),
        nests("CASE WHEN true THEN ", " END"),
        chain(" + 1"),
        chain("::int"),
        chain(" UNION SELECT 1"),
        chain(" COLLATE a"),
        format!("SELECT * FROM a{}", " JOIN b ON true".repeat(4_000)),
        format!("SELECT {}", "a.".repeat(30_000)),
        "/*".repeat(500_000),
        "'".repeat(1_000_001),
        "$a$".repeat(300_000),
        format!("SELECT '{}'", "x".repeat(1 << 20)),
    ] {
        let statement = read(sql.as_bytes());
        assert!(statement.text.len() <= 4096, "{}", &sql[..40]);
    }
    // What is deeper than the decoder goes still has its fingerprint.
    let deep = format!("UPDATE t SET a = {}1{}", "(1 + ".repeat(60), ")".repeat(60));
    let deep = read(deep.as_bytes());
    assert!(deep.parsed && deep.kind == Kind::Update, "{deep:?}");
    assert_eq!(&*deep.tables[0].name, "t");
}

#[test]
fn a_normal_form_is_understood_as_its_text_was() {
    for (sql, _) in REAL {
        let statement = read(sql.as_bytes());
        let again = read(statement.text.as_bytes());
        assert_eq!(
            (again.kind, &again.tables),
            (statement.kind, &statement.tables),
            "{sql}"
        );
        assert_eq!(again.text, statement.text, "{sql}");
    }
}

#[test]
fn an_id_is_the_same_in_every_release() {
    assert_eq!(
        read(b"SELECT * FROM agency WHERE id = 1").id.to_string(),
        "5cef6fb24321ac7e"
    );
    assert_eq!(
        read(b"<insufficient privilege>").id.to_string(),
        "2d7fbf645492d74f"
    );
}

/// A literal that carries the mark `zqx`, as an application may write it.
fn marked_literal() -> impl Strategy<Value = String> {
    prop_oneof![
        "zqx[a-z ]{0,8}".prop_map(|text| format!("'{text}'")),
        "zqx[a-z ]{0,8}".prop_map(|text| format!("'a''{text}'''")),
        "zqx[a-z]{0,8}".prop_map(|text| format!("E'\\'{text}\\\\'")),
        "zqx[a-z']{0,8}".prop_map(|text| format!("$${text}$$")),
        // Without a q the text cannot hold its own closing tag.
        "zqx[a-pr-z'$]{0,8}".prop_map(|text| format!("$q${text} $q$")),
        "zqx[a-z]{0,8}".prop_map(|text| format!("U&'\\0041{text}'")),
        "zqx[a-z]{0,8}".prop_map(|text| format!("/* {text} */ 'b{text}'")),
        "zqx[a-z]{0,8}".prop_map(|text| format!("1 -- {text} '\n")),
    ]
}

fn marked_sql() -> impl Strategy<Value = String> {
    let shapes = prop_oneof![
        Just("SELECT * FROM t WHERE a = @ AND b IN (@, @) OR c = @"),
        Just("INSERT INTO t VALUES (@, @, @), (@, 2, @)"),
        Just("UPDATE t SET a = @, b = coalesce(@, b) WHERE c LIKE @"),
        Just("SELECT set_config('app.x', @, false); SELECT @"),
        Just("no sql at all @ but ( a text @ with @"),
    ];
    (shapes, prop::collection::vec(marked_literal(), 6)).prop_map(|(shape, literals)| {
        let mut literals = literals.into_iter();
        shape.split('@').fold(String::new(), |sql, part| {
            sql + part + &literals.next().unwrap_or_default()
        })
    })
}

#[test]
fn without_its_text_a_statement_still_says_what_it_does() {
    let check = |sql: &str, expected: &str| {
        let mut statement = read(sql.as_bytes());
        let text = statement
            .without_text()
            .replace(&statement.id.to_string(), "ID");
        assert_eq!(text, expected, "{sql}");
        statement.text = statement.without_text();
        statement.short()
    };
    assert_eq!(
        check("UPDATE hot SET zebra = 1", "UPDATE … (statement ID)"),
        "UPDATE hot"
    );
    assert_eq!(
        check(
            "ALTER TABLE hot ADD zebra int",
            "ALTER TABLE … (statement ID)"
        ),
        "ALTER TABLE hot"
    );
    check("SELECT zebra", "SELECT … (statement ID)");
    check("zebra zebra zebra", "… (statement ID)");
    let vacuum = "autovacuum: VACUUM public.t (to prevent wraparound)";
    check(vacuum, vacuum);
}

proptest! {
    #[test]
    fn any_bytes_are_read(raw in prop::collection::vec(any::<u8>(), 0..300)) {
        let statement = read(&raw);
        prop_assert!(statement.text.len() <= 4096);
        prop_assert_eq!(tags(&raw, &["tenant"]), tags(&raw, &["tenant", "tenant"]));
    }

    #[test]
    fn any_cut_of_a_real_statement_is_read(at in 0..REAL.len(), percent in 0..100_usize) {
        let sql = REAL[at].0;
        let cut = sql.len() * percent / 100;
        prop_assert!(read(&sql.as_bytes()[..cut]).text.len() <= 4096);
    }

    #[test]
    fn no_literal_survives(sql in marked_sql(), percent in 30..100_usize) {
        let cut = sql.len() * percent / 100;
        for sql in [sql.as_bytes(), &sql.as_bytes()[..cut]] {
            let text = read(sql).text;
            prop_assert!(!text.contains("zqx"), "{} gave {text}", sql.escape_ascii());
        }
    }
}
