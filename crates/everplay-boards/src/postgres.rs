//! Standings in PostgreSQL, in the schema `everplay`, for any number of processes.
//!
//! Writers take turns by an advisory lock that ends with their transaction: changes are then numbered in the order they
//! become visible, and two results of one player cannot both start from the same standing. A turn reads and writes many
//! rows with one statement each, so that hundreds of results share it.

use crate::rules::RowKey;
use crate::standing::{GameResult, Scope, Standing};
use crate::store::{BoardStore, Pending, Profile, StoreError, Taken, Work};
use everplay_types::CustomerId;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::{ConnectOptions, Postgres, Row, Transaction};
use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

/// Key of the advisory lock of writers: any number, the same in every release.
const TURN: i64 = 0x6576_626f_6172_6473;
/// Connections of one process: one writer at a time, one follower, one for profiles, one to spare.
const CONNECTIONS: u32 = 4;

/// Steps of the schema; one is only ever added at the end, and what it makes unused goes in a step of a later release.
const STEPS: &[&str] = &["
    CREATE TABLE board_standings(
        customer TEXT NOT NULL, scope TEXT NOT NULL, player TEXT NOT NULL, name TEXT NOT NULL, region TEXT NOT NULL,
        played BIGINT NOT NULL, won BIGINT NOT NULL, lost BIGINT NOT NULL, drawn BIGINT NOT NULL,
        streak BIGINT NOT NULL, best_streak BIGINT NOT NULL, playtime_ms BIGINT NOT NULL,
        rating DOUBLE PRECISION NOT NULL, deviation DOUBLE PRECISION NOT NULL, volatility DOUBLE PRECISION NOT NULL,
        change BIGINT NOT NULL, PRIMARY KEY(customer, player, scope));
    CREATE INDEX board_standings_change ON board_standings(change);
    CREATE TABLE board_sources(customer TEXT NOT NULL, name TEXT NOT NULL, number BIGINT NOT NULL,
        PRIMARY KEY(customer, name));
    CREATE TABLE board_clock(one BIGINT PRIMARY KEY CHECK(one = 1), change BIGINT NOT NULL);
    INSERT INTO board_clock VALUES(1, 0);
", "
    ALTER TABLE board_standings ADD COLUMN updated_at TIMESTAMPTZ NOT NULL DEFAULT now();
    CREATE VIEW user_stats AS SELECT
        player AS user_id, played::INTEGER AS games_played, won::INTEGER AS games_won, lost::INTEGER AS games_lost,
        drawn::INTEGER AS games_drawn, streak::INTEGER AS current_streak, best_streak::INTEGER AS best_streak,
        playtime_ms * INTERVAL '1 millisecond' AS total_playtime, updated_at, customer
        FROM board_standings WHERE scope = '';
    CREATE VIEW global_leaderboard AS SELECT
        player AS user_id, name AS username, name AS display_name, played::INTEGER AS games_played,
        won::INTEGER AS games_won, lost::INTEGER AS games_lost,
        ROUND(won * 100.0 / GREATEST(played, 1), 2) AS win_percentage, streak::INTEGER AS current_streak,
        best_streak::INTEGER AS best_streak,
        RANK() OVER (PARTITION BY customer ORDER BY DIV(won::NUMERIC * 1099511627776, GREATEST(played, 1)) DESC,
            won DESC, played ASC) AS rank, customer
        FROM board_standings WHERE scope = '' AND played >= 5;
"];

/// Standings in PostgreSQL. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PostgresBoardStore(PgPool);

impl PostgresBoardStore {
    /// Connects and brings the schema up to date. No error holds the URL.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| {
                StoreError(
                    "the URL is not of the form postgres://user:password@host:port/database".to_owned(),
                )
            })?
            .application_name("everplay-boards")
            .options([("search_path", "everplay"), ("statement_timeout", "10000"), ("lock_timeout", "5000")])
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(Duration::from_secs(3))
            .connect_with(options)
            .await
            .map_err(told)?;
        let store = Self(pool);
        store.migrate().await?;
        Ok(store)
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let mut all = self.turn().await?;
        sqlx::raw_sql("CREATE SCHEMA IF NOT EXISTS everplay").execute(&mut *all).await.map_err(told)?;
        sqlx::raw_sql("CREATE TABLE IF NOT EXISTS board_migrations(version BIGINT PRIMARY KEY)")
            .execute(&mut *all)
            .await
            .map_err(told)?;
        let done: i64 = sqlx::query("SELECT COALESCE(MAX(version), 0) FROM board_migrations")
            .fetch_one(&mut *all)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(told)?;
        for (version, step) in (1i64..).zip(STEPS).filter(|(version, _)| *version > done) {
            sqlx::raw_sql(*step).execute(&mut *all).await.map_err(told)?;
            sqlx::query("INSERT INTO board_migrations VALUES($1)")
                .bind(version)
                .execute(&mut *all)
                .await
                .map_err(told)?;
        }
        all.commit().await.map_err(told)
    }

    /// A transaction that no other writer is beside.
    async fn turn(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        let mut turn = self.0.begin().await.map_err(told)?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(TURN).execute(&mut *turn).await.map_err(told)?;
        Ok(turn)
    }

    async fn count(self, results: Vec<GameResult>) -> Result<Taken, StoreError> {
        let (sources, rows) = Work::needs(&results);
        let mut turn = self.turn().await?;
        let mut work = Work::default();
        work.sources = read_sources(&mut turn, sources).await?;
        work.rows = read_rows(&mut turn, rows).await?;
        work.count(&results);
        let before = clock(&mut turn).await?;
        let (taken, risen, after) = work.finish(before);
        put(&mut turn, &taken.changed).await?;
        raise(&mut turn, risen).await?;
        finish(turn, before, after).await?;
        Ok(taken)
    }

    async fn change(
        self,
        customer: CustomerId,
        player: String,
        change: impl FnOnce(Vec<Standing>, i64) -> (Vec<Standing>, i64),
    ) -> Result<Vec<Standing>, StoreError> {
        let mut turn = self.turn().await?;
        let rows =
            sqlx::query("SELECT * FROM board_standings WHERE customer=$1 AND player=$2 ORDER BY scope")
                .bind(customer.as_str())
                .bind(player)
                .fetch_all(&mut *turn)
                .await
                .map_err(told)?;
        let before = clock(&mut turn).await?;
        let standings = rows.iter().map(standing).collect::<Result<_, _>>()?;
        let (changed, after) = change(standings, before);
        put(&mut turn, &changed).await?;
        finish(turn, before, after).await?;
        Ok(changed)
    }

    async fn changed(self, after: i64, limit: u32) -> Result<Vec<Standing>, StoreError> {
        let rows = sqlx::query("SELECT * FROM board_standings WHERE change>$1 ORDER BY change LIMIT $2")
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&self.0)
            .await
            .map_err(told)?;
        rows.iter().map(standing).collect()
    }
}

impl BoardStore for PostgresBoardStore {
    fn take(&self, results: Vec<GameResult>) -> Pending<Result<Taken, StoreError>> {
        Box::pin(self.clone().count(results))
    }

    fn set_profile(
        &self,
        customer: CustomerId,
        player: String,
        profile: Profile,
    ) -> Pending<Result<Vec<Standing>, StoreError>> {
        let new = Standing::new(customer.clone(), Scope::Overall, player.clone());
        Box::pin(self.clone().change(customer, player, move |mut standings, clock| {
            if standings.is_empty() {
                standings.push(new);
            }
            Work::profile(standings, clock, &profile)
        }))
    }

    fn forget(&self, customer: CustomerId, player: String) -> Pending<Result<Vec<Standing>, StoreError>> {
        Box::pin(self.clone().change(customer, player, Work::blank))
    }

    fn changes(&self, after: i64, limit: u32) -> Pending<Result<Vec<Standing>, StoreError>> {
        Box::pin(self.clone().changed(after, limit))
    }
}

fn told(error: sqlx::Error) -> StoreError {
    StoreError(error.to_string())
}

type Turn = Transaction<'static, Postgres>;

async fn clock(turn: &mut Turn) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT change FROM board_clock").fetch_one(&mut **turn).await.map_err(told)?;
    row.try_get(0).map_err(told)
}

async fn finish(mut turn: Turn, before: i64, after: i64) -> Result<(), StoreError> {
    if after != before {
        sqlx::query("UPDATE board_clock SET change=$1")
            .bind(after)
            .execute(&mut *turn)
            .await
            .map_err(told)?;
    }
    turn.commit().await.map_err(told)
}

async fn read_sources(
    turn: &mut Turn,
    sources: Vec<(CustomerId, String)>,
) -> Result<BTreeMap<(CustomerId, String), u64>, StoreError> {
    let (customers, names): (Vec<String>, Vec<String>) =
        sources.into_iter().map(|(customer, name)| (customer.to_string(), name)).unzip();
    let rows = sqlx::query(
        "SELECT s.customer, s.name, s.number FROM board_sources s
         JOIN UNNEST($1::TEXT[], $2::TEXT[]) AS k(customer, name) USING (customer, name)",
    )
    .bind(customers)
    .bind(names)
    .fetch_all(&mut **turn)
    .await
    .map_err(told)?;
    let source = |row: &PgRow| {
        let number: i64 = row.try_get(2).map_err(told)?;
        Ok(((customer(row)?, row.try_get(1).map_err(told)?), number as u64))
    };
    rows.iter().map(source).collect()
}

async fn read_rows(turn: &mut Turn, keys: Vec<RowKey>) -> Result<BTreeMap<RowKey, Standing>, StoreError> {
    let (mut customers, mut scopes, mut players) = (Vec::new(), Vec::new(), Vec::new());
    for (customer, scope, player) in keys {
        customers.push(customer.to_string());
        scopes.push(scope);
        players.push(player);
    }
    let rows = sqlx::query(
        "SELECT s.* FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[]) AS k(customer, scope, player)
         JOIN board_standings s ON s.customer=k.customer AND s.player=k.player AND s.scope=k.scope",
    )
    .bind(customers)
    .bind(scopes)
    .bind(players)
    .fetch_all(&mut **turn)
    .await
    .map_err(told)?;
    let keyed = |row: &PgRow| {
        let standing = standing(row)?;
        let key = (standing.customer.clone(), standing.scope.to_text(), standing.player.clone());
        Ok((key, standing))
    };
    rows.iter().map(keyed).collect()
}

async fn put(turn: &mut Turn, standings: &[Standing]) -> Result<(), StoreError> {
    if standings.is_empty() {
        return Ok(());
    }
    let texts = |of: fn(&Standing) -> String| standings.iter().map(of).collect::<Vec<String>>();
    let numbers = |of: fn(&Standing) -> i64| standings.iter().map(of).collect::<Vec<i64>>();
    let reals = |of: fn(&Standing) -> f64| standings.iter().map(of).collect::<Vec<f64>>();
    sqlx::query(
        "INSERT INTO board_standings(customer, scope, player, name, region, played, won, lost, drawn, streak,
            best_streak, playtime_ms, rating, deviation, volatility, change)
         SELECT * FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::BIGINT[], $7::BIGINT[],
            $8::BIGINT[], $9::BIGINT[], $10::BIGINT[], $11::BIGINT[], $12::BIGINT[], $13::FLOAT8[], $14::FLOAT8[],
            $15::FLOAT8[], $16::BIGINT[])
         ON CONFLICT(customer, player, scope) DO UPDATE SET name=excluded.name, region=excluded.region,
            played=excluded.played, won=excluded.won, lost=excluded.lost, drawn=excluded.drawn, streak=excluded.streak,
            best_streak=excluded.best_streak, playtime_ms=excluded.playtime_ms, rating=excluded.rating,
            deviation=excluded.deviation, volatility=excluded.volatility, change=excluded.change, updated_at=now()",
    )
    .bind(texts(|standing| standing.customer.to_string()))
    .bind(texts(|standing| standing.scope.to_text()))
    .bind(texts(|standing| standing.player.clone()))
    .bind(texts(|standing| standing.name.clone()))
    .bind(texts(|standing| standing.region.clone()))
    .bind(numbers(|standing| standing.played.into()))
    .bind(numbers(|standing| standing.won.into()))
    .bind(numbers(|standing| standing.lost.into()))
    .bind(numbers(|standing| standing.drawn.into()))
    .bind(numbers(|standing| standing.streak.into()))
    .bind(numbers(|standing| standing.best_streak.into()))
    .bind(numbers(|standing| standing.playtime_ms as i64))
    .bind(reals(|standing| standing.rating))
    .bind(reals(|standing| standing.deviation))
    .bind(reals(|standing| standing.volatility))
    .bind(numbers(|standing| standing.change))
    .execute(&mut **turn)
    .await
    .map_err(told)?;
    Ok(())
}

async fn raise(turn: &mut Turn, risen: BTreeMap<(CustomerId, String), u64>) -> Result<(), StoreError> {
    let (mut customers, mut names, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    for ((customer, name), number) in risen {
        customers.push(customer.to_string());
        names.push(name);
        numbers.push(number as i64);
    }
    sqlx::query(
        "INSERT INTO board_sources SELECT * FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[])
         ON CONFLICT(customer, name) DO UPDATE SET number=excluded.number",
    )
    .bind(customers)
    .bind(names)
    .bind(numbers)
    .execute(&mut **turn)
    .await
    .map_err(told)?;
    Ok(())
}

fn customer(row: &PgRow) -> Result<CustomerId, StoreError> {
    let text: String = row.try_get("customer").map_err(told)?;
    CustomerId::new(&text).map_err(|error| StoreError(format!("the customer {text:?}: {error}")))
}

fn standing(row: &PgRow) -> Result<Standing, StoreError> {
    let text = |name: &str| row.try_get::<String, _>(name).map_err(told);
    let number = |name: &str| row.try_get::<i64, _>(name).map_err(told);
    let count = |name: &str| number(name).map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    let real = |name: &str| row.try_get::<f64, _>(name).map_err(told);
    Ok(Standing {
        customer: customer(row)?,
        scope: Scope::from_text(&text("scope")?),
        player: text("player")?,
        name: text("name")?,
        region: text("region")?,
        played: count("played")?,
        won: count("won")?,
        lost: count("lost")?,
        drawn: count("drawn")?,
        streak: count("streak")?,
        best_streak: count("best_streak")?,
        playtime_ms: number("playtime_ms")? as u64,
        rating: real("rating")?,
        deviation: real("deviation")?,
        volatility: real("volatility")?,
        change: number("change")?,
    })
}
