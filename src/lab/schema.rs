//! The schema `pgjam_lab`: made, replaced if a lab made it, dropped.

use postgres::{Client, Config, NoTls};

use super::LabError;

/// Makes the schema; the comment tells a later run that a lab made it and may replace it.
const SCHEMA: &str = "CREATE SCHEMA pgjam_lab; COMMENT ON SCHEMA pgjam_lab IS 'made by pgjam lab';";

/// What [`SCHEMA`] writes on the schema it makes.
const MADE_BY_US: &str = "made by pgjam lab";

fn connect(config: &Config) -> Result<Client, LabError> {
    let mut config = config.clone();
    config.application_name("pgjam-lab");
    config
        .connect(NoTls)
        .map_err(LabError::postgres("connect to the lab's database"))
}

/// Makes the schema with `tables` in it, in place of one that an earlier lab left.
pub(super) fn make(config: &Config, tables: &str) -> Result<(), LabError> {
    let mut client = connect(config)?;
    let comment =
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'pgjam_lab'";
    let standing = client
        .query_opt(comment, &[])
        .map_err(LabError::postgres("look for the schema pgjam_lab"))?;
    if let Some(standing) = standing {
        if standing.get::<_, Option<&str>>(0) != Some(MADE_BY_US) {
            return Err(LabError::SchemaTaken);
        }
        remove(config)?;
    }
    let mut transaction = client
        .transaction()
        .map_err(LabError::postgres("make the schema pgjam_lab"))?;
    transaction
        .batch_execute(SCHEMA)
        .and_then(|()| transaction.batch_execute(tables))
        .and_then(|()| transaction.commit())
        .map_err(LabError::postgres("make the schema pgjam_lab"))
}

/// Makes a database.
pub(super) fn make_database(config: &Config, name: &str) -> Result<(), LabError> {
    connect(config)?
        .batch_execute(&format!("CREATE DATABASE {name}"))
        .map_err(LabError::postgres(format!("make the database {name}")))
}

/// Drops the schema with all that is in it.
pub(super) fn remove(config: &Config) -> Result<(), LabError> {
    connect(config)?
        .batch_execute("DROP SCHEMA IF EXISTS pgjam_lab CASCADE")
        .map_err(LabError::postgres("drop the schema pgjam_lab"))
}
