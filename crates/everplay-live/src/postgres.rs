//! The arbiter of a cluster, on PostgreSQL.
//!
//! One row per room, changed by compare-and-set on its epoch. One connection, used by one task; grants that queue while
//! a statement is on its way travel together in the next one. Rows of nodes have a connection of their own
//! ([`nodes`]).
//!
//! A commit may wait for a standby, and cancelling that wait makes PostgreSQL report success with a warning although the
//! standby has nothing. So nothing here ever cancels a statement: impatience closes the connection. A warning during a
//! grant counts as an unknown outcome. Such outcomes are settled by repeating the same compare-and-set with the same
//! nonce: it takes its turn behind whatever the lost statement still does, and when the row has the nonce already, a
//! second write to it is confirmed before the grant is told.

mod nodes;
mod warnings;

use crate::{
    Arbiter, ArbiterError, Grant, GrantError, GrantsOf, Incarnation, NodeLease, NodeRow, NodeState, Pending,
    Unavailable,
};
use everplay_types::{Epoch, Nonce, RoomKey, Token};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::instrument::WithSubscriber;
use warnings::Warnings;

/// Key of the advisory lock under which tables are made: any number, the same in every release.
const MIGRATION_LOCK: i64 = 0x6576_6572_706c_6179;

/// Grants in one statement.
const BATCH: usize = 256;

/// Pause between attempts to settle an outcome.
const PAUSE: Duration = Duration::from_millis(50);

/// How to open a [`PostgresArbiter`].
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host/database?sslmode=...`. The primary itself or a pooler in session mode; a
    /// pooler that shares sessions between transactions loses the settings made here.
    pub url: String,
    /// Schema of the tables; made when it is not there. Default `everplay`.
    pub schema: String,
    /// Refuse a server that no synchronous standby confirms for. Default false: opening warns then.
    pub require_standby: bool,
    /// Time for one connection with its first statements. Default 3 s.
    pub connect_timeout: Duration,
    /// How long one call is tried, over several connections if need be, before its outcome is told to be unknown.
    /// Default 10 s.
    pub patience: Duration,
    /// Calls that may queue. Default 4,096.
    pub queue: usize,
}

impl PostgresOptions {
    /// The defaults for a URL.
    pub fn new(url: impl Into<String>) -> PostgresOptions {
        PostgresOptions {
            url: url.into(),
            schema: "everplay".to_owned(),
            require_standby: false,
            connect_timeout: Duration::from_secs(3),
            patience: Duration::from_secs(10),
            queue: 4096,
        }
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// Why an arbiter was not opened. No message holds the URL.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// Not a URL of PostgreSQL.
    #[error("the URL is not of the form postgres://user:password@host:port/database")]
    Url,
    /// Not a plain name.
    #[error("the schema's name must be 1 to 63 of a-z, 0-9 and _, and not start with a digit")]
    Schema,
    /// Opened outside of a runtime.
    #[error("a runtime of tokio is needed")]
    NoRuntime,
    /// No connection in time.
    #[error("no connection within {} ms", after.as_millis())]
    Silent {
        /// As configured.
        after: Duration,
    },
    /// The server, or the way to it, said no.
    #[error("no connection: {0}")]
    Refused(#[source] sqlx::Error),
    /// It only follows another server.
    #[error("the server is a standby: its grants would not count")]
    Standby,
    /// It confirms what a power cut takes back.
    #[error("`{setting}` is off: the server confirms what it may forget")]
    Unsafe {
        /// The setting to turn on.
        setting: &'static str,
    },
    /// Asked for and not there.
    #[error("synchronous_standby_names is empty: no standby confirms grants")]
    NoStandby,
}

/// An [`Arbiter`] on PostgreSQL. Clones share the connections.
#[derive(Clone)]
pub struct PostgresArbiter {
    requests: mpsc::Sender<Request>,
    listings: mpsc::Sender<nodes::Request>,
    standby: bool,
}

impl fmt::Debug for PostgresArbiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresArbiter").field("standby", &self.standby).finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Request {
    Grant(Ask, oneshot::Sender<Result<Token, GrantError>>),
    Current(RoomKey, oneshot::Sender<Result<Option<Grant>, ArbiterError>>),
    Retire(RoomKey, Token, oneshot::Sender<Result<(), ArbiterError>>),
}

/// One grant that is asked for.
#[derive(Debug, Clone)]
struct Ask {
    room: RoomKey,
    seen: Epoch,
    owner: Incarnation,
    nonce: Nonce,
}

impl PostgresArbiter {
    /// Connects, refuses servers whose confirmations mean nothing, makes the tables, and starts the task on the
    /// present runtime.
    pub async fn open(options: PostgresOptions) -> Result<PostgresArbiter, PostgresError> {
        tokio::runtime::Handle::try_current().map_err(|_| PostgresError::NoRuntime)?;
        let first = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        let name = options.schema.as_bytes();
        let plain = name.iter().all(|byte| first(*byte) || byte.is_ascii_digit());
        if !plain || name.len() > 63 || !name.first().is_some_and(|byte| first(*byte)) {
            return Err(PostgresError::Schema);
        }
        let connect = PgConnectOptions::from_str(&options.url).map_err(|_| PostgresError::Url)?;
        let connect = connect.application_name("everplay-arbiter").disable_statement_logging();
        let statements = Statements::new(&options.schema);
        let queue = options.queue.max(1);
        let warnings = Warnings::new();
        let mut task = Task {
            options,
            connect,
            statements,
            warnings: warnings.clone(),
            connection: None,
            confirm: true,
        };
        let standby = task.begin().with_subscriber(warnings.dispatch()).await?;
        if !standby {
            tracing::warn!(
                "arbiter on PostgreSQL: no synchronous standby confirms grants; \
                 when this server is lost, the last of them may be issued again"
            );
        }
        let (listings, waiting) = mpsc::channel(queue);
        tokio::spawn(task.beside().list(waiting));
        let (requests, waiting) = mpsc::channel(queue);
        tokio::spawn(task.run(waiting).with_subscriber(warnings.dispatch()));
        Ok(PostgresArbiter { requests, listings, standby })
    }

    /// Whether a synchronous standby confirmed grants when the arbiter was opened.
    pub fn has_standby(&self) -> bool {
        self.standby
    }
}

/// Queues a request now; the returned future only waits.
fn ask<R, T, E>(
    queue: &mpsc::Sender<R>,
    request: impl FnOnce(oneshot::Sender<Result<T, E>>) -> R,
    busy: E,
    gone: E,
) -> Pending<Result<T, E>>
where
    T: Send + 'static,
    E: Send + 'static,
{
    let (answer, waiting) = oneshot::channel();
    let queued = queue.try_send(request(answer)).is_ok();
    Box::pin(async move { if queued { waiting.await.unwrap_or(Err(gone)) } else { Err(busy) } })
}

/// As [`ask`], for calls that are simply repeated.
fn call<R, T: Send + 'static>(
    queue: &mpsc::Sender<R>,
    request: impl FnOnce(oneshot::Sender<Result<T, ArbiterError>>) -> R,
) -> Pending<Result<T, ArbiterError>> {
    ask(queue, request, ArbiterError::Later, ArbiterError::Later)
}

impl Arbiter for PostgresArbiter {
    fn grant(&self, room: RoomKey, seen: Epoch, owner: Incarnation) -> Pending<Result<Token, GrantError>> {
        let asked = Ask { room, seen, owner, nonce: Nonce(rand::random()) };
        let busy = GrantError::Later { reason: "the arbiter's queue is full" };
        ask(&self.requests, |answer| Request::Grant(asked, answer), busy, GrantError::Unknown)
    }

    fn current(&self, room: RoomKey) -> Pending<Result<Option<Grant>, ArbiterError>> {
        call(&self.requests, |answer| Request::Current(room, answer))
    }

    fn retire(&self, room: RoomKey, token: Token) -> Pending<Result<(), ArbiterError>> {
        call(&self.requests, |answer| Request::Retire(room, token, answer))
    }

    fn join(&self, node: NodeRow) -> Pending<Result<(), ArbiterError>> {
        if !node.fits() {
            return Box::pin(std::future::ready(Err(ArbiterError::Text)));
        }
        call(&self.listings, |answer| nodes::Request::Join(node, answer))
    }

    fn renew(&self, node: Incarnation, state: NodeState) -> Pending<Result<(), ArbiterError>> {
        call(&self.listings, |answer| nodes::Request::Renew(node, state, answer))
    }

    fn leave(&self, node: Incarnation) -> Pending<Result<(), ArbiterError>> {
        call(&self.listings, |answer| nodes::Request::Leave(node, answer))
    }

    fn nodes(&self) -> Pending<Result<Vec<NodeLease>, ArbiterError>> {
        call(&self.listings, nodes::Request::Nodes)
    }

    fn grants(&self, of: GrantsOf) -> Pending<Result<Vec<(RoomKey, Grant)>, ArbiterError>> {
        call(&self.listings, |answer| nodes::Request::Grants(of, answer))
    }
}

/// The statements with the schema's name in them. The name was checked; everything else is bound.
#[derive(Clone)]
struct Statements {
    create: String,
    exists: String,
    grant: String,
    confirm: String,
    current: String,
    retire: String,
    nodes: nodes::Statements,
}

impl Statements {
    fn new(schema: &str) -> Statements {
        let table = format!("{schema}.room_grants");
        let nodes = nodes::Statements::new(schema, &table);
        Statements {
            // The table that is made last.
            exists: format!("select to_regclass('{schema}.nodes') is not null"),
            create: format!(
                "begin; select pg_advisory_xact_lock({MIGRATION_LOCK}); \
                 create schema if not exists {schema}; \
                 create table if not exists {table} (\
                   customer text not null, room text not null, epoch bigint not null, nonce bytea not null, \
                   owner bytea not null, granted_at timestamptz not null default now(), \
                   confirmed bigint not null default 0, primary key (customer, room)); \
                 {} commit",
                nodes.create
            ),
            // Rows are locked in the order of their names, so that batches of several nodes do not deadlock.
            grant: format!(
                "with asked as (select * from unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[], $5::bytea[]) \
                   as a (customer, room, seen, nonce, owner)), \
                 locked as (select r.customer, r.room from {table} r join asked using (customer, room) \
                   order by r.customer, r.room for update of r), \
                 first as (insert into {table} (customer, room, epoch, nonce, owner) \
                   select customer, room, 1, nonce, owner from asked where seen = 0 order by customer, room \
                   on conflict do nothing returning customer, room, epoch, nonce, owner), \
                 next as (update {table} r set epoch = r.epoch + 1, nonce = a.nonce, owner = a.owner, granted_at = now(), \
                   confirmed = 0 from asked a join locked using (customer, room) \
                   where r.customer = a.customer and r.room = a.room and r.epoch = a.seen and a.seen > 0 \
                   returning r.customer, r.room, r.epoch, r.nonce, r.owner) \
                 select * from first union all select * from next"
            ),
            confirm: format!(
                "update {table} set confirmed = confirmed + 1 where nonce = any($1::bytea[]) \
                 and (customer, room) in (select * from unnest($2::text[], $3::text[])) \
                 returning customer, room, epoch, nonce, owner"
            ),
            current: format!(
                "select r.customer, r.room, r.epoch, r.nonce, r.owner from {table} r \
                 join unnest($1::text[], $2::text[]) as a (customer, room) using (customer, room)"
            ),
            retire: format!(
                "delete from {table} where customer = $1 and room = $2 and epoch = $3 and nonce = $4"
            ),
            nodes,
        }
    }
}

struct Task {
    options: PostgresOptions,
    connect: PgConnectOptions,
    statements: Statements,
    warnings: Warnings,
    connection: Option<PgConnection>,
    /// Whether commits wait for the disk and the standby.
    confirm: bool,
}

/// Why a statement has no result.
enum Trouble {
    /// The connection is gone, or never was. `sent`: something may have happened.
    Lost { sent: bool },
    /// The same statement will fail again.
    Hopeless(String),
}

impl Trouble {
    fn of(error: &sqlx::Error) -> Trouble {
        let code = error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned());
        match code.as_deref().and_then(|code| code.get(..2)) {
            // No such user, database, schema or table, or no right to them.
            Some("28" | "3D" | "3F" | "42") => Trouble::Hopeless(error.to_string()),
            _ => Trouble::Lost { sent: true },
        }
    }
}

impl Task {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                let Some(request) = requests.recv().await else { return };
                waiting.push_back(request);
            }
            while waiting.len() < BATCH
                && let Ok(request) = requests.try_recv()
            {
                waiting.push_back(request);
            }
            let Some(request) = waiting.pop_front() else { continue };
            // Nobody may wait any more; the call was made all the same.
            match request {
                Request::Current(room, answer) => drop(answer.send(self.current(room).await)),
                Request::Retire(room, token, answer) => drop(answer.send(self.retire(room, token).await)),
                Request::Grant(ask, answer) => {
                    let mut rooms = HashSet::from([ask.room.clone()]);
                    let mut batch = vec![(ask, answer)];
                    // Grants next to each other, of different rooms: one statement sees each row once.
                    while let Some(Request::Grant(ask, _)) = waiting.front()
                        && rooms.insert(ask.room.clone())
                    {
                        if let Some(Request::Grant(ask, answer)) = waiting.pop_front() {
                            batch.push((ask, answer));
                        }
                    }
                    let (asks, answers): (Vec<Ask>, Vec<_>) = batch.into_iter().unzip();
                    for (result, answer) in self.grant(&asks).await.into_iter().zip(answers) {
                        drop(answer.send(result));
                    }
                }
            }
        }
    }

    /// First connection, checks and tables. Whether a standby confirms.
    async fn begin(&mut self) -> Result<bool, PostgresError> {
        let after = self.options.connect_timeout;
        let begin = async {
            let mut connection = self.dial().await?;
            let refused = PostgresError::Refused;
            let there: bool = sqlx::query_scalar(AssertSqlSafe(self.statements.exists.clone()))
                .fetch_one(&mut connection)
                .await
                .map_err(refused)?;
            if !there {
                let create = AssertSqlSafe(self.statements.create.clone());
                sqlx::raw_sql(create).execute(&mut connection).await.map_err(refused)?;
            }
            let names: String = sqlx::query_scalar("show synchronous_standby_names")
                .fetch_one(&mut connection)
                .await
                .map_err(refused)?;
            Ok((connection, !names.trim().is_empty()))
        };
        let (connection, standby) =
            timeout(after, begin).await.map_err(|_| PostgresError::Silent { after })??;
        if self.options.require_standby && !standby {
            return Err(PostgresError::NoStandby);
        }
        self.connection = Some(connection);
        Ok(standby)
    }

    /// A connection to a primary whose confirmations mean something, with nothing that cancels statements.
    async fn dial(&self) -> Result<PgConnection, PostgresError> {
        let refused = PostgresError::Refused;
        let mut connection = PgConnection::connect_with(&self.connect).await.map_err(refused)?;
        let settings = "set statement_timeout = 0; set lock_timeout = 0; set idle_session_timeout = 0; \
            set idle_in_transaction_session_timeout = 0; set default_transaction_read_only = off";
        sqlx::raw_sql(settings).execute(&mut connection).await.map_err(refused)?;
        let state = "select pg_is_in_recovery(), current_setting('fsync'), current_setting('full_page_writes'), \
            current_setting('synchronous_commit')";
        let row = sqlx::query(state).fetch_one(&mut connection).await.map_err(refused)?;
        let text = |n| row.try_get::<String, _>(n).map_err(refused);
        if row.try_get::<bool, _>(0).map_err(refused)? {
            return Err(PostgresError::Standby);
        }
        if text(1)? == "off" {
            return Err(PostgresError::Unsafe { setting: "fsync" });
        }
        if text(2)? == "off" {
            return Err(PostgresError::Unsafe { setting: "full_page_writes" });
        }
        if !self.confirm {
            sqlx::raw_sql("set synchronous_commit = off").execute(&mut connection).await.map_err(refused)?;
        } else if text(3)? != "remote_apply" {
            // A role or database may have weakened it; a stronger one is left alone.
            sqlx::raw_sql("set synchronous_commit = on").execute(&mut connection).await.map_err(refused)?;
        }
        Ok(connection)
    }

    /// Runs one statement to its very end (the commit is confirmed after the rows). Every failure closes the
    /// connection; a warning is a failure.
    async fn rows<'q>(&mut self, query: Query<'q>, left: Duration) -> Result<Vec<PgRow>, Trouble> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let dial = timeout(self.options.connect_timeout.min(left), self.dial()).await;
                match dial {
                    Ok(Ok(connection)) => connection,
                    Ok(Err(PostgresError::Refused(error))) => {
                        return Err(match Trouble::of(&error) {
                            Trouble::Lost { .. } => Trouble::Lost { sent: false },
                            hopeless => hopeless,
                        });
                    }
                    Ok(Err(_)) | Err(_) => return Err(Trouble::Lost { sent: false }),
                }
            }
        };
        self.warnings.forget();
        match timeout(left, query.fetch_all(&mut connection)).await {
            Ok(Ok(_)) if self.warnings.any() => Err(Trouble::Lost { sent: true }),
            Ok(Ok(rows)) => {
                self.connection = Some(connection);
                Ok(rows)
            }
            Ok(Err(error)) => Err(Trouble::of(&error)),
            Err(_) => Err(Trouble::Lost { sent: true }),
        }
    }

    async fn grant(&mut self, asks: &[Ask]) -> Vec<Result<Token, GrantError>> {
        let start = Instant::now();
        let mut in_doubt = false;
        loop {
            let left = self.options.patience.saturating_sub(start.elapsed());
            match self.try_grant(asks, in_doubt, left).await {
                Ok(found) => return asks.iter().map(|ask| outcome(ask, &found)).collect(),
                Err(Trouble::Hopeless(reason)) => {
                    let error = GrantError::Unavailable(Unavailable::new(reason));
                    return asks.iter().map(|_| Err(error.clone())).collect();
                }
                Err(Trouble::Lost { sent }) => in_doubt |= sent,
            }
            if start.elapsed() + PAUSE >= self.options.patience {
                let later = GrantError::Later { reason: "no connection to PostgreSQL" };
                let error = if in_doubt { GrantError::Unknown } else { later };
                return asks.iter().map(|_| Err(error.clone())).collect();
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// One attempt at the same grants with the same nonces. What is in force afterwards.
    async fn try_grant(
        &mut self,
        asks: &[Ask],
        in_doubt: bool,
        left: Duration,
    ) -> Result<HashMap<RoomKey, Grant>, Trouble> {
        let seen: Vec<i64> = asks.iter().map(|ask| i64::try_from(ask.seen.0).unwrap_or(-1)).collect();
        let nonces: Vec<Vec<u8>> = asks.iter().map(|ask| ask.nonce.0.to_vec()).collect();
        let owners: Vec<Vec<u8>> = asks.iter().map(|ask| ask.owner.0.to_vec()).collect();
        let (customers, rooms) = names(asks.iter().map(|ask| &ask.room));
        let statement = AssertSqlSafe(self.statements.grant.clone());
        let query =
            sqlx::query(statement).bind(&customers).bind(&rooms).bind(seen).bind(&nonces).bind(owners);
        let mut found: HashMap<RoomKey, Grant> = grants(&self.rows(query, left).await?);
        if found.len() == asks.len() {
            return Ok(found);
        }
        if in_doubt {
            // An earlier attempt may have been it. Its commit may not have reached the standby: this one must.
            let statement = AssertSqlSafe(self.statements.confirm.clone());
            let query = sqlx::query(statement).bind(&nonces).bind(&customers).bind(&rooms);
            found.extend(grants::<Vec<_>>(&self.rows(query, left).await?));
        }
        let rest = asks.iter().map(|ask| &ask.room).filter(|room| !found.contains_key(*room));
        let (customers, rooms) = names(rest);
        if !rooms.is_empty() {
            let statement = AssertSqlSafe(self.statements.current.clone());
            let query = sqlx::query(statement).bind(customers).bind(rooms);
            found.extend(grants::<Vec<_>>(&self.rows(query, left).await?));
        }
        Ok(found)
    }

    async fn current(&mut self, room: RoomKey) -> Result<Option<Grant>, ArbiterError> {
        let start = Instant::now();
        loop {
            let left = self.options.patience.saturating_sub(start.elapsed());
            let (customers, rooms) = names(std::iter::once(&room));
            let statement = AssertSqlSafe(self.statements.current.clone());
            let query = sqlx::query(statement).bind(customers).bind(rooms);
            match self.rows(query, left).await {
                Ok(rows) => return Ok(grants::<HashMap<_, _>>(&rows).remove(&room)),
                Err(Trouble::Hopeless(reason)) => return Err(Unavailable::new(reason).into()),
                Err(Trouble::Lost { .. }) if start.elapsed() + PAUSE >= self.options.patience => {
                    return Err(ArbiterError::Later);
                }
                Err(Trouble::Lost { .. }) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn retire(&mut self, room: RoomKey, token: Token) -> Result<(), ArbiterError> {
        let epoch = i64::try_from(token.epoch.0).unwrap_or(-1);
        let statement = AssertSqlSafe(self.statements.retire.clone());
        let query = sqlx::query(statement).bind(room.customer.as_str()).bind(room.room.as_str());
        let query = query.bind(epoch).bind(token.nonce.0.to_vec());
        match self.rows(query, self.options.patience).await {
            Ok(_) => {}
            Err(Trouble::Hopeless(reason)) => return Err(Unavailable::new(reason).into()),
            // Retired or not: the repeated call finds out.
            Err(Trouble::Lost { .. }) => return Err(ArbiterError::Later),
        }
        match self.current(room).await? {
            Some(current) => Err(ArbiterError::Taken { current }),
            None => Ok(()),
        }
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn names<'a>(rooms: impl Iterator<Item = &'a RoomKey>) -> (Vec<String>, Vec<String>) {
    rooms.map(|room| (room.customer.to_string(), room.room.to_string())).unzip()
}

/// Rows of `customer, room, epoch, nonce, owner`. A row that is not one of ours is left out.
fn grants<C: FromIterator<(RoomKey, Grant)>>(rows: &[PgRow]) -> C {
    let read = |row: &PgRow| -> Option<(RoomKey, Grant)> {
        let text = |n: usize| row.try_get::<String, _>(n).ok();
        let bytes = |n: usize| <[u8; 16]>::try_from(row.try_get::<Vec<u8>, _>(n).ok()?).ok();
        let room = RoomKey { customer: text(0)?.parse().ok()?, room: text(1)?.parse().ok()? };
        let epoch = Epoch(u64::try_from(row.try_get::<i64, _>(2).ok()?).ok()?);
        let token = Token { epoch, nonce: Nonce(bytes(3)?) };
        Some((room, Grant { token, owner: Incarnation(bytes(4)?) }))
    };
    rows.iter().filter_map(read).collect()
}

fn outcome(ask: &Ask, found: &HashMap<RoomKey, Grant>) -> Result<Token, GrantError> {
    match found.get(&ask.room).copied() {
        Some(grant) if grant.token.nonce == ask.nonce => Ok(grant.token),
        current => Err(GrantError::taken(current)),
    }
}
