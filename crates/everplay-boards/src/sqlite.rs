//! Standings in an SQLite file that one thread owns: a call is a transaction, synced before it is answered.

use crate::rules::RowKey;
use crate::standing::{GameResult, Scope, Standing};
use crate::store::{BoardStore, Pending, Profile, StoreError, Taken, Work};
use everplay_types::CustomerId;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Calls that wait at most; beyond, the answer is an error at once.
const QUEUE: usize = 1024;
/// Identifies the file: "EvBd".
const APPLICATION_ID: i32 = 0x4576_4264;
/// Steps of the tables; one is only ever added at the end. A file knows how many it has, by its `user_version`; one with
/// more is of a later release and is not opened.
const STEPS: &[&str] = &["
    CREATE TABLE standings(
        customer TEXT NOT NULL, scope TEXT NOT NULL, player TEXT NOT NULL, name TEXT NOT NULL, region TEXT NOT NULL,
        played INTEGER NOT NULL, won INTEGER NOT NULL, lost INTEGER NOT NULL, drawn INTEGER NOT NULL,
        streak INTEGER NOT NULL, best_streak INTEGER NOT NULL, playtime_ms INTEGER NOT NULL,
        rating REAL NOT NULL, deviation REAL NOT NULL, volatility REAL NOT NULL, change INTEGER NOT NULL,
        PRIMARY KEY(customer, player, scope)) WITHOUT ROWID;
    CREATE INDEX standings_change ON standings(change);
    CREATE TABLE sources(customer TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL,
        PRIMARY KEY(customer, name)) WITHOUT ROWID;
    CREATE TABLE clock(one INTEGER PRIMARY KEY CHECK(one = 1), change INTEGER NOT NULL);
    INSERT INTO clock VALUES(1, 0);
"];

const COLUMNS: &str =
    "customer, scope, player, name, region, played, won, lost, drawn, streak, best_streak, playtime_ms,
    rating, deviation, volatility, change";

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

#[derive(Debug)]
enum Call {
    Take(Vec<GameResult>, Answer<Taken>),
    Profile(CustomerId, String, Profile, Answer<Vec<Standing>>),
    Forget(CustomerId, String, Answer<Vec<Standing>>),
    Changes(i64, u32, Answer<Vec<Standing>>),
}

/// Standings in an SQLite file. Clones share the thread; it ends with the last of them.
#[derive(Debug, Clone)]
pub struct SqliteBoardStore(Arc<mpsc::Sender<Call>>);

impl SqliteBoardStore {
    /// Opens the file, or makes it. Blocks while it does.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::over(Connection::open(path).map_err(told)?)
    }

    /// In memory: gone with the store.
    pub fn memory() -> Result<Self, StoreError> {
        Self::over(Connection::open_in_memory().map_err(told)?)
    }

    fn over(connection: Connection) -> Result<Self, StoreError> {
        prepare(&connection, STEPS)?;
        let (sender, calls) = mpsc::channel(QUEUE);
        let named = std::thread::Builder::new().name("everplay-boards".to_owned());
        let run = move || Thread(connection).run(calls);
        named.spawn(run).map_err(|error| StoreError(error.to_string()))?;
        Ok(Self(Arc::new(sender)))
    }

    fn ask<T: Send + 'static>(&self, call: impl FnOnce(Answer<T>) -> Call) -> Pending<Result<T, StoreError>> {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.try_send(call(answer)).map_err(|error| StoreError(error.to_string()));
        Box::pin(async move {
            sent?;
            answered.await.map_err(|_| StoreError("its thread has ended".to_owned()))?
        })
    }
}

impl BoardStore for SqliteBoardStore {
    fn take(&self, results: Vec<GameResult>) -> Pending<Result<Taken, StoreError>> {
        self.ask(|answer| Call::Take(results, answer))
    }

    fn set_profile(
        &self,
        customer: CustomerId,
        player: String,
        profile: Profile,
    ) -> Pending<Result<Vec<Standing>, StoreError>> {
        self.ask(|answer| Call::Profile(customer, player, profile, answer))
    }

    fn forget(&self, customer: CustomerId, player: String) -> Pending<Result<Vec<Standing>, StoreError>> {
        self.ask(|answer| Call::Forget(customer, player, answer))
    }

    fn changes(&self, after: i64, limit: u32) -> Pending<Result<Vec<Standing>, StoreError>> {
        self.ask(|answer| Call::Changes(after, limit, answer))
    }
}

fn told(error: rusqlite::Error) -> StoreError {
    StoreError(error.to_string())
}

fn prepare(connection: &Connection, steps: &[&str]) -> Result<(), StoreError> {
    let number =
        |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(told);
    let (application, format) = (number("application_id")?, number("user_version")?);
    let fresh = application == 0 && format == 0 && number("schema_version")? == 0;
    let done = usize::try_from(format).unwrap_or(usize::MAX);
    if !fresh && (application != APPLICATION_ID || done == 0 || done > steps.len()) {
        return Err(StoreError(format!(
            "the file is no board store of this release ({application:#x}, {format})"
        )));
    }
    // 64 MiB of log before it is moved into the file: a call of 256 results touches some 2,000 pages all over it, so that
    // by the default of 1,000 every call would write all of them twice.
    let pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536; \
                   PRAGMA wal_autocheckpoint=16384;";
    connection.execute_batch(pragmas).map_err(told)?;
    connection.set_prepared_statement_cache_capacity(32);
    if done < steps.len() {
        let marks = format!("PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={};", steps.len());
        let missing = steps[done..].concat();
        connection.execute_batch(&format!("BEGIN; {missing} {marks} COMMIT;")).map_err(|error| {
            // Half of a step is none.
            let _ = connection.execute_batch("ROLLBACK");
            told(error)
        })?;
    }
    Ok(())
}

struct Thread(Connection);

impl Thread {
    fn run(mut self, mut calls: mpsc::Receiver<Call>) {
        while let Some(call) = calls.blocking_recv() {
            match call {
                Call::Take(results, answer) => {
                    let taken = self.write(|connection, clock| take(connection, clock, &results));
                    drop(answer.send(taken));
                }
                Call::Profile(customer, player, profile, answer) => {
                    let changed = self.write(|connection, clock| {
                        let mut standings = of_player(connection, &customer, &player)?;
                        if standings.is_empty() {
                            standings.push(Standing::new(customer.clone(), Scope::Overall, player.clone()));
                        }
                        let (changed, clock) = Work::profile(standings, clock, &profile);
                        put(connection, &changed)?;
                        Ok((changed, clock))
                    });
                    drop(answer.send(changed));
                }
                Call::Forget(customer, player, answer) => {
                    let changed = self.write(|connection, clock| {
                        let (changed, clock) = Work::blank(of_player(connection, &customer, &player)?, clock);
                        put(connection, &changed)?;
                        Ok((changed, clock))
                    });
                    drop(answer.send(changed));
                }
                Call::Changes(after, limit, answer) => {
                    drop(answer.send(changes(&self.0, after, limit).map_err(told)));
                }
            }
        }
    }

    /// In a transaction that sees the clock and may move it.
    fn write<T>(
        &mut self,
        work: impl FnOnce(&Connection, i64) -> rusqlite::Result<(T, i64)>,
    ) -> Result<T, StoreError> {
        let transaction =
            self.0.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(told)?;
        let before: i64 =
            transaction.query_row("SELECT change FROM clock", [], |row| row.get(0)).map_err(told)?;
        let (answer, after) = work(&transaction, before).map_err(told)?;
        if after != before {
            transaction.execute("UPDATE clock SET change=?1", [after]).map_err(told)?;
        }
        transaction.commit().map_err(told)?;
        Ok(answer)
    }
}

fn take(connection: &Connection, clock: i64, results: &[GameResult]) -> rusqlite::Result<(Taken, i64)> {
    let (sources, rows) = Work::needs(results);
    let mut work = Work::default();
    let mut find = connection.prepare_cached("SELECT number FROM sources WHERE customer=?1 AND name=?2")?;
    for (customer, name) in sources {
        let number = find.query_row((customer.as_str(), &name), |row| row.get::<_, i64>(0)).optional()?;
        work.sources.insert((customer, name), number.unwrap_or(0) as u64);
    }
    for key in rows {
        if let Some(standing) = read(connection, &key)? {
            work.rows.insert(key, standing);
        }
    }
    work.count(results);
    let (taken, risen, clock) = work.finish(clock);
    put(connection, &taken.changed)?;
    let mut raise = connection.prepare_cached(
        "INSERT INTO sources VALUES(?1,?2,?3) ON CONFLICT(customer,name) DO UPDATE SET number=excluded.number",
    )?;
    for ((customer, name), number) in risen {
        raise.execute((customer.as_str(), name, number as i64))?;
    }
    Ok((taken, clock))
}

fn read(connection: &Connection, (customer, scope, player): &RowKey) -> rusqlite::Result<Option<Standing>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM standings WHERE customer=?1 AND player=?2 AND scope=?3"
        ))?
        .query_row((customer.as_str(), player, scope), standing)
        .optional()
}

fn of_player(
    connection: &Connection,
    customer: &CustomerId,
    player: &str,
) -> rusqlite::Result<Vec<Standing>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM standings WHERE customer=?1 AND player=?2"))?
        .query_map((customer.as_str(), player), standing)?
        .collect()
}

fn changes(connection: &Connection, after: i64, limit: u32) -> rusqlite::Result<Vec<Standing>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM standings WHERE change>?1 ORDER BY change LIMIT ?2"))?
        .query_map((after, limit), standing)?
        .collect()
}

fn put(connection: &Connection, standings: &[Standing]) -> rusqlite::Result<()> {
    let mut put = connection.prepare_cached(&format!(
        "INSERT INTO standings({COLUMNS}) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16)
         ON CONFLICT(customer,player,scope) DO UPDATE SET name=excluded.name, region=excluded.region,
         played=excluded.played, won=excluded.won, lost=excluded.lost, drawn=excluded.drawn, streak=excluded.streak,
         best_streak=excluded.best_streak, playtime_ms=excluded.playtime_ms, rating=excluded.rating,
         deviation=excluded.deviation, volatility=excluded.volatility, change=excluded.change"
    ))?;
    for standing in standings {
        put.execute(params![
            standing.customer.as_str(),
            standing.scope.to_text(),
            standing.player,
            standing.name,
            standing.region,
            standing.played,
            standing.won,
            standing.lost,
            standing.drawn,
            standing.streak,
            standing.best_streak,
            standing.playtime_ms as i64,
            standing.rating,
            standing.deviation,
            standing.volatility,
            standing.change,
        ])?;
    }
    Ok(())
}

fn standing(row: &Row<'_>) -> rusqlite::Result<Standing> {
    let customer: String = row.get(0)?;
    let scope: String = row.get(1)?;
    let customer = CustomerId::new(&customer).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })?;
    Ok(Standing {
        customer,
        scope: Scope::from_text(&scope),
        player: row.get(2)?,
        name: row.get(3)?,
        region: row.get(4)?,
        played: row.get(5)?,
        won: row.get(6)?,
        lost: row.get(7)?,
        drawn: row.get(8)?,
        streak: row.get(9)?,
        best_streak: row.get(10)?,
        playtime_ms: row.get::<_, i64>(11)? as u64,
        rating: row.get(12)?,
        deviation: row.get(13)?,
        volatility: row.get(14)?,
        change: row.get(15)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(connection: &Connection) -> i64 {
        let count = "SELECT count(*) FROM pragma_table_info('standings')";
        connection.query_row(count, [], |row| row.get(0)).unwrap()
    }

    /// The next release adds a step: files of this one get it, with what they hold, once; this one leaves them alone then.
    #[test]
    fn a_file_of_an_earlier_release_is_brought_forward() {
        let next = [STEPS, &["ALTER TABLE standings ADD COLUMN more TEXT NOT NULL DEFAULT 'none';"]].concat();
        let broken =
            [STEPS, &["ALTER TABLE standings ADD COLUMN less TEXT; ALTER TABLE nowhere ADD COLUMN a;"]];
        let connection = Connection::open_in_memory().unwrap();
        prepare(&connection, STEPS).unwrap();
        connection.execute_batch("INSERT INTO sources VALUES('everplay', 'room', 7)").unwrap();
        let before = columns(&connection);
        assert!(prepare(&connection, &broken.concat()).is_err());
        assert_eq!(columns(&connection), before, "a step that fails leaves the file as it was");
        for _ in 0..2 {
            prepare(&connection, &next).unwrap();
        }
        let number =
            connection.query_row("SELECT number FROM sources", [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!((number, columns(&connection)), (7, before + 1));
        assert!(prepare(&connection, STEPS).is_err(), "of a later release");
    }
}
