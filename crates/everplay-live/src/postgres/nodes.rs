//! Rows of nodes, and the lists that a take-over starts from.
//!
//! On a connection of their own: a grant that waits for the standby must not keep a node from saying that it is alive.
//! These rows wait for neither disk nor standby; what is lost with a server is written again by the node it is about,
//! which [`ArbiterError::NotListed`] tells to.

use super::{PAUSE, Query, Task, Trouble, grants};
use crate::{ArbiterError, Grant, GrantsOf, Incarnation, NodeLease, NodeRow, NodeState, Unavailable};
use everplay_types::RoomKey;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

type Answer<T> = oneshot::Sender<Result<T, ArbiterError>>;

#[derive(Debug)]
pub(super) enum Request {
    Join(NodeRow, Answer<()>),
    Renew(Incarnation, NodeState, Answer<()>),
    Leave(Incarnation, Answer<()>),
    Nodes(Answer<Vec<NodeLease>>),
    Grants(GrantsOf, Answer<Vec<(RoomKey, Grant)>>),
}

/// The statements with the schema's name in them.
#[derive(Clone)]
pub(super) struct Statements {
    /// Part of the transaction that makes all tables.
    pub(super) create: String,
    join: String,
    renew: String,
    leave: String,
    nodes: String,
    of_owner: String,
    of_others: String,
}

impl Statements {
    pub(super) fn new(schema: &str, grants: &str) -> Statements {
        let table = format!("{schema}.nodes");
        let select = format!("select customer, room, epoch, nonce, owner from {grants}");
        let order = "order by customer collate \"C\", room collate \"C\"";
        Statements {
            create: format!(
                "create index if not exists room_grants_owner on {grants} (owner); \
                 create table if not exists {table} (\
                   incarnation bytea primary key, process_id text not null, address text not null, http text not null, \
                   version text not null, zone text not null, draining boolean not null, rooms bigint not null, \
                   joined_at timestamptz not null default now(), renewed_at timestamptz not null default now());"
            ),
            join: format!(
                "insert into {table} (incarnation, process_id, address, http, version, zone, draining, rooms) \
                 values ($1, $2, $3, $4, $5, $6, false, 0) on conflict (incarnation) do update set \
                   process_id = excluded.process_id, address = excluded.address, http = excluded.http, \
                   version = excluded.version, zone = excluded.zone, draining = false, rooms = 0, renewed_at = now()"
            ),
            renew: format!(
                "update {table} set draining = $2, rooms = $3, renewed_at = now() where incarnation = $1 returning true"
            ),
            leave: format!("delete from {table} where incarnation = $1"),
            nodes: format!(
                "select incarnation, process_id, address, http, version, zone, draining, rooms, \
                   extract(epoch from clock_timestamp() - renewed_at)::float8 from {table} order by incarnation"
            ),
            of_owner: format!("{select} where owner = $1 {order}"),
            of_others: format!("{select} where owner <> all($1) {order}"),
        }
    }
}

impl Task {
    /// A second task on the same server, whose writes nobody waits for.
    pub(super) fn beside(&self) -> Task {
        Task {
            options: self.options.clone(),
            connect: self.connect.clone(),
            statements: self.statements.clone(),
            warnings: self.warnings.clone(),
            connection: None,
            confirm: false,
        }
    }

    pub(super) async fn list(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(request) = requests.recv().await {
            // Nobody may wait any more; the call was made all the same.
            match request {
                Request::Join(node, answer) => drop(answer.send(self.join(&node).await)),
                Request::Renew(node, state, answer) => drop(answer.send(self.renew(node, state).await)),
                Request::Leave(node, answer) => drop(answer.send(self.leave(node).await)),
                Request::Nodes(answer) => drop(answer.send(self.nodes().await)),
                Request::Grants(of, answer) => drop(answer.send(self.of(&of).await)),
            }
        }
    }

    async fn join(&mut self, node: &NodeRow) -> Result<(), ArbiterError> {
        let statement = self.statements.nodes.join.clone();
        self.insist(|| {
            let query = sqlx::query(AssertSqlSafe(statement.clone())).bind(node.incarnation.0.to_vec());
            let query = query.bind(node.process_id.to_string()).bind(node.address.clone());
            query.bind(node.http.clone()).bind(node.version.clone()).bind(node.zone.clone())
        })
        .await
        .map(drop)
    }

    async fn renew(&mut self, node: Incarnation, state: NodeState) -> Result<(), ArbiterError> {
        let statement = self.statements.nodes.renew.clone();
        let query = || sqlx::query(AssertSqlSafe(statement.clone())).bind(node.0.to_vec());
        let renewed = self.insist(|| query().bind(state.draining).bind(i64::from(state.rooms))).await?;
        if renewed.is_empty() { Err(ArbiterError::NotListed) } else { Ok(()) }
    }

    async fn leave(&mut self, node: Incarnation) -> Result<(), ArbiterError> {
        let statement = self.statements.nodes.leave.clone();
        self.insist(|| sqlx::query(AssertSqlSafe(statement.clone())).bind(node.0.to_vec())).await.map(drop)
    }

    async fn nodes(&mut self) -> Result<Vec<NodeLease>, ArbiterError> {
        let statement = self.statements.nodes.nodes.clone();
        let rows = self.insist(|| sqlx::query(AssertSqlSafe(statement.clone()))).await?;
        Ok(rows.iter().filter_map(lease).collect())
    }

    async fn of(&mut self, of: &GrantsOf) -> Result<Vec<(RoomKey, Grant)>, ArbiterError> {
        let rows = match of {
            GrantsOf::Owner(owner) => {
                let statement = self.statements.nodes.of_owner.clone();
                self.insist(|| sqlx::query(AssertSqlSafe(statement.clone())).bind(owner.0.to_vec())).await?
            }
            GrantsOf::NotOf(others) => {
                let statement = self.statements.nodes.of_others.clone();
                let others: Vec<Vec<u8>> = others.iter().map(|other| other.0.to_vec()).collect();
                self.insist(|| sqlx::query(AssertSqlSafe(statement.clone())).bind(others.clone())).await?
            }
        };
        Ok(grants(&rows))
    }

    /// Runs a statement that may be repeated until it has an answer, as long as the patience lasts.
    async fn insist<'q>(&mut self, query: impl Fn() -> Query<'q>) -> Result<Vec<PgRow>, ArbiterError> {
        let start = Instant::now();
        loop {
            let left = self.options.patience.saturating_sub(start.elapsed());
            match self.rows(query(), left).await {
                Ok(rows) => return Ok(rows),
                Err(Trouble::Hopeless(reason)) => return Err(Unavailable::new(reason).into()),
                Err(Trouble::Lost { .. }) if start.elapsed() + PAUSE >= self.options.patience => {
                    return Err(ArbiterError::Later);
                }
                Err(Trouble::Lost { .. }) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

/// One row of `nodes`. One that is not ours is left out.
fn lease(row: &PgRow) -> Option<NodeLease> {
    let text = |n: usize| row.try_get::<String, _>(n).ok();
    let age = row.try_get::<f64, _>(8).ok()?;
    Some(NodeLease {
        row: NodeRow {
            incarnation: Incarnation(row.try_get::<Vec<u8>, _>(0).ok()?.try_into().ok()?),
            process_id: text(1)?.parse().ok()?,
            address: text(2)?,
            http: text(3)?,
            version: text(4)?,
            zone: text(5)?,
        },
        state: NodeState {
            draining: row.try_get(6).ok()?,
            rooms: u32::try_from(row.try_get::<i64, _>(7).ok()?).ok()?,
        },
        // A clock that was set back in between.
        age: Duration::try_from_secs_f64(age.max(0.0)).ok()?,
    })
}
