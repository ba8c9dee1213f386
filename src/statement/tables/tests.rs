//! Statements, and what they lock and write. `tests/strengths` compares many more with a server.

use crate::statement::{TableUse, Writes, read};

fn locks(sql: &str) -> Vec<String> {
    let one = |table: &TableUse| {
        let schema = table
            .schema
            .as_ref()
            .map_or(String::new(), |schema| format!("{schema}."));
        let rows = table.rows.map_or(String::new(), |rows| format!(" {rows}"));
        format!("{schema}{} {}{rows}", table.name, table.lock)
    };
    read(sql.as_bytes()).tables.iter().map(one).collect()
}

#[test]
fn each_query_locks_its_tables_as_the_manual_says() {
    let check = |sql: &str, expected: &[&str]| assert_eq!(locks(sql), expected, "{sql}");
    check(
        "SELECT * FROM a JOIN b USING (id)",
        &["a AccessShareLock", "b AccessShareLock"],
    );
    check(
        "SELECT * FROM a FOR KEY SHARE",
        &["a RowShareLock AccessShareLock"],
    );
    check(
        "SELECT * FROM a FOR SHARE",
        &["a RowShareLock RowShareLock"],
    );
    check(
        "SELECT * FROM a JOIN b USING (id) FOR UPDATE OF b",
        &["a AccessShareLock", "b RowShareLock AccessExclusiveLock"],
    );
    check(
        "INSERT INTO a SELECT * FROM b",
        &["a RowExclusiveLock", "b AccessShareLock"],
    );
    check(
        "INSERT INTO a VALUES (1) ON CONFLICT (id) DO UPDATE SET n = 1",
        &["a RowExclusiveLock ExclusiveLock"],
    );
    check(
        "INSERT INTO a VALUES (1) ON CONFLICT DO NOTHING",
        &["a RowExclusiveLock"],
    );
    check(
        "UPDATE s.a SET n = 1 FROM b WHERE a.id = b.id AND a.k IN (SELECT k FROM c)",
        &[
            "b AccessShareLock",
            "c AccessShareLock",
            "s.a RowExclusiveLock ExclusiveLock",
        ],
    );
    check("DELETE FROM a", &["a RowExclusiveLock AccessExclusiveLock"]);
    check(
        "MERGE INTO a USING b ON a.i = b.i WHEN MATCHED THEN DELETE",
        &[
            "a RowExclusiveLock AccessExclusiveLock",
            "b AccessShareLock",
        ],
    );
    check(
        "WITH moved AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM moved",
        &[
            "a RowExclusiveLock AccessExclusiveLock",
            "b RowExclusiveLock",
        ],
    );
    check(
        "BEGIN; UPDATE a SET n = 1; COMMIT",
        &["a RowExclusiveLock ExclusiveLock"],
    );
}

#[test]
fn each_schema_change_locks_its_tables_as_the_manual_says() {
    let check = |sql: &str, expected: &[&str]| assert_eq!(locks(sql), expected, "{sql}");
    check(
        "TRUNCATE a, b",
        &["a AccessExclusiveLock", "b AccessExclusiveLock"],
    );
    check("DROP TABLE s.a", &["s.a AccessExclusiveLock"]);
    check("DROP TRIGGER x ON a", &["a AccessExclusiveLock"]);
    check("ALTER TABLE a ADD COLUMN x int", &["a AccessExclusiveLock"]);
    check(
        "ALTER TABLE a VALIDATE CONSTRAINT c",
        &["a ShareUpdateExclusiveLock"],
    );
    check(
        "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b (id)",
        &["a ShareRowExclusiveLock", "b ShareRowExclusiveLock"],
    );
    check(
        "CREATE TABLE a (b int REFERENCES b)",
        &["a AccessExclusiveLock", "b ShareRowExclusiveLock"],
    );
    check("CREATE INDEX ON a (x)", &["a ShareLock"]);
    check(
        "CREATE INDEX CONCURRENTLY ON a (x)",
        &["a ShareUpdateExclusiveLock"],
    );
    check("LOCK a IN EXCLUSIVE MODE", &["a ExclusiveLock"]);
    check("LOCK a", &["a AccessExclusiveLock"]);
    check("VACUUM a", &["a ShareUpdateExclusiveLock"]);
    check("VACUUM (FULL) a", &["a AccessExclusiveLock"]);
    check("ANALYZE a", &["a ShareUpdateExclusiveLock"]);
    check("REFRESH MATERIALIZED VIEW a", &["a AccessExclusiveLock"]);
    check(
        "REFRESH MATERIALIZED VIEW CONCURRENTLY a",
        &["a ExclusiveLock"],
    );
}

#[test]
fn what_is_written_is_told_with_its_columns() {
    let check = |sql: &str, expected: &str| {
        let statement = read(sql.as_bytes());
        let Writes {
            inserts,
            updates,
            deletes,
            columns,
        } = &statement.tables[0].writes;
        let mut told = Vec::new();
        told.extend(inserts.then_some("inserts".to_owned()));
        told.extend(updates.then(|| format!("updates {}", columns.join(" "))));
        told.extend(deletes.then_some("deletes".to_owned()));
        assert_eq!(told.join(", "), expected, "{sql}");
    };
    check("SELECT * FROM a FOR UPDATE", "");
    check("INSERT INTO a VALUES (1)", "inserts");
    check("COPY a FROM stdin", "inserts");
    check("INSERT INTO a VALUES (1) ON CONFLICT DO NOTHING", "inserts");
    check(
        "INSERT INTO a VALUES (1) ON CONFLICT (id) DO UPDATE SET n = 1, m = 2",
        "inserts, updates m n",
    );
    check("UPDATE a SET (n, m) = (1, 2), k[3] = 1", "updates k m n");
    check("DELETE FROM a", "deletes");
    check(
        "MERGE INTO a USING b ON a.i = b.i WHEN MATCHED AND b.k THEN DELETE
         WHEN MATCHED THEN UPDATE SET n = 1 WHEN NOT MATCHED THEN INSERT VALUES (1)",
        "inserts, updates n, deletes",
    );
    // Cut: of the columns nobody knows the rest.
    check("UPDATE a SET n = 'it goes o", "updates ");
    assert!(
        read(b"UPDATE a SET n = 'it goes o").tables[0]
            .writes
            .changes(&["id".into()])
    );
}

#[test]
fn tables_are_found_wherever_they_stand() {
    let check = |sql: &str, expected: &[&str]| assert_eq!(locks(sql), expected, "{sql}");
    let both = ["a RowExclusiveLock", "b RowShareLock RowShareLock"];
    check("INSERT INTO a VALUES ((SELECT id FROM b FOR SHARE))", &both);
    check(
        "INSERT INTO a VALUES (1) RETURNING (SELECT id FROM b FOR SHARE)",
        &both,
    );
    check(
        "INSERT INTO a VALUES (ARRAY[(SELECT id FROM b FOR SHARE)])",
        &both,
    );
    check(
        "SELECT (SELECT n FROM b) FROM a LIMIT (SELECT count(*) FROM c)",
        &[
            "a AccessShareLock",
            "b AccessShareLock",
            "c AccessShareLock",
        ],
    );
    check(
        "UPDATE a SET (n, m) = (SELECT n, m FROM b)",
        &["a RowExclusiveLock ExclusiveLock", "b AccessShareLock"],
    );
}
