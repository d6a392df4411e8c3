//! The tables: made, brought up to date, and compared with what this release asks for.
//!
//! Several processes may open the store at once, of two releases: steps are done one after the other under an advisory
//! lock, each in the transaction that also notes it. A step only adds. What a release no longer uses is taken away by a
//! step of a later one, so that the release before it still runs beside it.

use super::sql::{column_name, column_names, index_name, table_name};
use crate::{StoreError, TABLES};
use sqlx::{Connection, PgConnection, Row};
use std::collections::BTreeMap;

/// Key of the advisory lock under which the schema is changed: any number, the same in every release.
const LOCK: i64 = 0x6576_7265_636f_7264;

/// The steps, in order; a step that was in a release is never changed. A new index comes as a column with its index, is
/// filled from `body` by a step of the release after, and is read from then on: until then both releases write.
const STEPS: &[&str] = &["
    CREATE TABLE record_games(partition BYTEA NOT NULL, sort BIGINT NOT NULL, body TEXT NOT NULL,
        version BIGINT, expires BIGINT, player_id BYTEA, created_at BIGINT, PRIMARY KEY(partition, sort));
    CREATE INDEX record_games_expires ON record_games(expires) WHERE expires IS NOT NULL;
    CREATE INDEX record_games_player_games ON record_games(player_id, created_at, partition, sort)
        WHERE player_id IS NOT NULL AND created_at IS NOT NULL;

    CREATE TABLE record_tic_tac_toe_users(partition BYTEA NOT NULL, sort BIGINT NOT NULL, body TEXT NOT NULL,
        version BIGINT, expires BIGINT, status BYTEA, joined_at BYTEA, PRIMARY KEY(partition, sort));
    CREATE INDEX record_tic_tac_toe_users_expires ON record_tic_tac_toe_users(expires) WHERE expires IS NOT NULL;
    CREATE INDEX record_tic_tac_toe_users_status_index
        ON record_tic_tac_toe_users(status, joined_at, partition, sort)
        WHERE status IS NOT NULL AND joined_at IS NOT NULL;

    CREATE TABLE record_tickets(partition BYTEA NOT NULL, sort BIGINT NOT NULL, body TEXT NOT NULL,
        version BIGINT, expires BIGINT, author_id BYTEA, created_at BIGINT, desk_status BYTEA, due_at BIGINT,
        customer BYTEA, updated_at BIGINT, clock BYTEA, PRIMARY KEY(partition, sort));
    CREATE INDEX record_tickets_expires ON record_tickets(expires) WHERE expires IS NOT NULL;
    CREATE INDEX record_tickets_author_tickets ON record_tickets(author_id, created_at, partition, sort)
        WHERE author_id IS NOT NULL AND created_at IS NOT NULL;
    CREATE INDEX record_tickets_desk_tickets ON record_tickets(desk_status, due_at, partition, sort)
        WHERE desk_status IS NOT NULL AND due_at IS NOT NULL;
    CREATE INDEX record_tickets_customer_tickets ON record_tickets(customer, updated_at, partition, sort)
        WHERE customer IS NOT NULL AND updated_at IS NOT NULL;
    CREATE INDEX record_tickets_running_clocks ON record_tickets(clock, due_at, partition, sort)
        WHERE clock IS NOT NULL AND due_at IS NOT NULL;

    CREATE TABLE record_notices(partition BYTEA NOT NULL, sort BIGINT NOT NULL, body TEXT NOT NULL,
        version BIGINT, expires BIGINT, queue BYTEA, due_at BIGINT, PRIMARY KEY(partition, sort));
    CREATE INDEX record_notices_expires ON record_notices(expires) WHERE expires IS NOT NULL;
    CREATE INDEX record_notices_due_notices ON record_notices(queue, due_at, partition, sort)
        WHERE queue IS NOT NULL AND due_at IS NOT NULL;

    CREATE TABLE record_articles(partition BYTEA NOT NULL, sort BIGINT NOT NULL, body TEXT NOT NULL,
        version BIGINT, expires BIGINT, customer BYTEA, updated_at BIGINT, PRIMARY KEY(partition, sort));
    CREATE INDEX record_articles_expires ON record_articles(expires) WHERE expires IS NOT NULL;
    CREATE INDEX record_articles_customer_articles ON record_articles(customer, updated_at, partition, sort)
        WHERE customer IS NOT NULL AND updated_at IS NOT NULL;
"];

/// Makes what is missing. A role without the right to make tables finds those that are there.
pub(super) async fn migrate(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    if is_current(connection).await? {
        return Ok(());
    }
    let mut all = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *all).await?;
    sqlx::raw_sql("CREATE SCHEMA IF NOT EXISTS everplay").execute(&mut *all).await?;
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS record_migrations(version BIGINT PRIMARY KEY)")
        .execute(&mut *all)
        .await?;
    let done = version(&mut all).await?;
    for (version, step) in (1i64..).zip(STEPS).filter(|(version, _)| *version > done) {
        sqlx::raw_sql(*step).execute(&mut *all).await?;
        sqlx::query("INSERT INTO record_migrations VALUES($1)").bind(version).execute(&mut *all).await?;
    }
    all.commit().await
}

async fn is_current(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let there = sqlx::query("SELECT TO_REGCLASS('everplay.record_migrations') IS NOT NULL");
    if !there.fetch_one(&mut *connection).await?.try_get::<bool, _>(0)? {
        return Ok(false);
    }
    Ok(version(connection).await? >= STEPS.len() as i64)
}

async fn version(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let query = sqlx::query("SELECT COALESCE(MAX(version), 0) FROM record_migrations");
    query.fetch_one(connection).await?.try_get(0)
}

/// Tells what is missing of what this release asks for: somebody else made or changed the tables.
pub(super) async fn check(connection: &mut PgConnection) -> Result<Result<(), StoreError>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT c.relname::TEXT, ARRAY_AGG(a.attname::TEXT ORDER BY a.attnum)
         FROM pg_class c JOIN pg_attribute a ON a.attrelid=c.oid AND a.attnum>0 AND NOT a.attisdropped
         LEFT JOIN pg_index i ON i.indexrelid=c.oid
         WHERE c.relnamespace='everplay'::REGNAMESPACE AND STARTS_WITH(c.relname::TEXT, 'record_')
         AND i.indisvalid IS NOT FALSE GROUP BY c.relname",
    );
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows.fetch_all(connection).await? {
        found.insert(row.try_get(0)?, row.try_get(1)?);
    }
    let columns = |name: &str| found.get(name).map_or(&[][..], Vec::as_slice);
    for spec in &TABLES {
        let table = table_name(spec);
        let missing = column_names(spec).into_iter().find(|column| !columns(&table).contains(column));
        if let Some(column) = missing {
            return Ok(Err(StoreError::Invalid(format!(
                "the table everplay.{table} has no column {column}"
            ))));
        }
        for index in spec.indexes {
            let name = index_name(spec, index.name);
            let (home, order) = (column_name(index.partition), column_name(index.sort));
            let wanted = [home.as_str(), order.as_str(), "partition", "sort"];
            if columns(&name) != wanted {
                let wanted = wanted.join(", ");
                let why = format!("the index everplay.{name} on ({wanted}) is not there, or is another one");
                return Ok(Err(StoreError::Invalid(why)));
            }
        }
    }
    Ok(Ok(()))
}
