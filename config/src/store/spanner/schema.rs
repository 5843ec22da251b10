//! Prepares a database and checks that it is one of ours: the files of `config/schema`, each applied
//! once, and a change stream of the shape that the reader understands.

use google_cloud_lro::Poller;
use google_cloud_spanner::client::DatabaseAdmin;
use google_cloud_spanner::mutation::Mutation;
use tokio::time::timeout;

use super::SpannerError;
use super::address::Spanner;
use super::client::{Client, connection, reason};
use crate::limits;
use crate::store::StoreError;

/// In order; a database at version N has the first N.
const MIGRATIONS: [&str; 1] = [include_str!("../../../schema/0001_records.sql")];

/// Creates the database if it is not there, and brings it to this build's schema.
///
/// # Errors
/// Spanner refuses, or the schema is a later build's.
pub(super) async fn init(address: &Spanner) -> Result<(), SpannerError> {
    let refused = |what: &str, reason: String| {
        SpannerError::Store(StoreError::Unavailable(format!(
            "{address}: {what} failed: {reason}"
        )))
    };
    let connection = connection(address)
        .await
        .map_err(|error| refused("connecting", error))?;
    let mut builder = connection.database_admin_builder();
    if let Some(admin) = &address.admin {
        builder = builder.with_endpoint(admin);
    }
    let admin = builder
        .build()
        .await
        .map_err(|error| refused("connecting to the admin API", error.to_string()))?;
    timeout(limits::SPANNER_DDL, create(&admin, address))
        .await
        .map_err(|_| refused("creating the database", "it takes too long".to_owned()))?
        .map_err(|error| refused("creating the database", error))?;

    let client = Client::connect(address).await?;
    let from = match version(&client).await {
        Ok(version) => version,
        Err(StoreError::Corrupt(_)) => 0,
        Err(error) => return Err(error.into()),
    };
    if from > MIGRATIONS.len() {
        return Err(newer(address, from));
    }
    for (place, file) in MIGRATIONS.iter().enumerate().skip(from) {
        timeout(limits::SPANNER_DDL, apply(&admin, address, file))
            .await
            .map_err(|_| refused("changing the schema", "it takes too long".to_owned()))?
            .map_err(|error| refused("changing the schema", error))?;
        let version = i64::try_from(place.saturating_add(1)).unwrap_or(i64::MAX);
        let done = Mutation::new_insert_builder("Migrations")
            .set("version")
            .to(version)
            .set("applied")
            .to("spanner.commit_timestamp()")
            .build();
        let head = (place == 0).then(first_head);
        client
            .write(head.into_iter().chain([done]).collect())
            .await?;
    }
    Ok(())
}

/// Checks that the database is of this build's schema and its stream can be followed.
///
/// # Errors
/// Says what is not so and what to do.
pub(super) async fn check(client: &Client, address: &Spanner) -> Result<(), SpannerError> {
    let version = version(client).await?;
    if version > MIGRATIONS.len() {
        return Err(newer(address, version));
    }
    if version < MIGRATIONS.len() {
        return Err(SpannerError::Schema(format!(
            "{address} is of schema {version}, this build needs {}; run `fprs store init`",
            MIGRATIONS.len()
        )));
    }
    let options = client
        .texts(
            "SELECT OPTION_NAME, OPTION_VALUE FROM INFORMATION_SCHEMA.CHANGE_STREAM_OPTIONS \
             WHERE CHANGE_STREAM_NAME = 'Changes'",
        )
        .await?;
    let option = |name: &str| {
        options.iter().find_map(|row| match row.as_slice() {
            [option, value] if option == name => Some(value.as_str()),
            _ => None,
        })
    };
    if option("value_capture_type") != Some("NEW_ROW") {
        return Err(SpannerError::Schema(format!(
            "the change stream `Changes` of {address} does not capture whole rows; set its \
             value_capture_type to NEW_ROW"
        )));
    }
    match option("partition_mode") {
        None | Some("IMMUTABLE_KEY_RANGE") => {}
        Some(mode) => {
            return Err(SpannerError::Schema(format!(
                "the change stream `Changes` of {address} has the partition mode {mode}, which \
                 fprs does not read; create it without one"
            )));
        }
    }
    client.head(None).await?;
    Ok(())
}

fn newer(address: &Spanner, version: usize) -> SpannerError {
    SpannerError::Schema(format!(
        "{address} is of schema {version}, this build knows {}; use a newer fprs",
        MIGRATIONS.len()
    ))
}

async fn version(client: &Client) -> Result<usize, StoreError> {
    let rows = client
        .texts("SELECT IFNULL(MAX(version), 0) FROM Migrations")
        .await?;
    let version = rows.first().and_then(|row| row.first());
    Ok(version.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// What the first commit follows.
fn first_head() -> Mutation {
    Mutation::new_insert_builder("Heads")
        .set("id")
        .to(0_i64)
        .set("revision")
        .to(0_i64)
        .set("commits")
        .to(Vec::<u8>::new())
        .build()
}

async fn create(admin: &DatabaseAdmin, address: &Spanner) -> Result<(), String> {
    let exists = admin
        .get_database()
        .set_name(&address.database)
        .send()
        .await;
    if exists.is_ok() {
        return Ok(());
    }
    let created = admin
        .create_database()
        .set_parent(address.instance())
        .set_create_statement(format!("CREATE DATABASE `{}`", address.name()))
        .poller()
        .until_done()
        .await;
    created.map(|_| ()).map_err(|error| reason(&error))
}

async fn apply(admin: &DatabaseAdmin, address: &Spanner, file: &str) -> Result<(), String> {
    let changed = admin
        .update_database_ddl()
        .set_database(&address.database)
        .set_statements(statements(file))
        .poller()
        .until_done()
        .await;
    changed.map(|_| ()).map_err(|error| reason(&error))
}

/// The statements of a file, without its comments.
fn statements(file: &str) -> Vec<String> {
    let lines = file.lines().filter(|line| !line.starts_with("--"));
    let text: Vec<&str> = lines.collect();
    text.join("\n")
        .split(';')
        .map(str::trim)
        .filter(|statement| !statement.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_its_statements() {
        let first = statements(MIGRATIONS[0]);
        assert_eq!(first.len(), 4);
        assert!(
            first
                .iter()
                .all(|statement| statement.starts_with("CREATE "))
        );
    }
}
