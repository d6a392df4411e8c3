//! Joins the support desk to what it asks for: positions of games from journals, addresses from accounts, mail and a
//! webhook for what it tells.

use crate::config::Config;
use crate::inspect;
use crate::{Error, Result};
use everplay_accounts::{AccountError, Accounts, Letter, Mailer, PersonalData};
use everplay_live::{LiveStore, LoadError};
use everplay_records::{GameId, Games, RecordStore};
use everplay_support::{
    BoxFuture, Channel, Channels, Courier, CourierError, Desk, Event, Faq, Outbox, Position, Told, Witness,
    WitnessError, now_ms,
};
use everplay_types::{CustomerId, RoomId, RoomKey, Seq};
use serde_json::{Value, json};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Journals that are read at the same time for tickets; one more ticket is answered "later".
const READERS: usize = 4;
/// Between two looks at the tickets' clocks. Hours are promised, so seconds do not matter.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The desk of a server, before anybody is told anything.
pub(crate) struct Support {
    pub(crate) desk: Desk,
    pub(crate) faq: Faq,
}

impl Support {
    /// Over these stores.
    pub(crate) fn new(config: &Config, records: Arc<dyn RecordStore>, live: &Arc<dyn LiveStore>) -> Self {
        let games = Games::new(Arc::clone(&records));
        let journals =
            Journals { live: Arc::downgrade(live), games, readers: Arc::new(Semaphore::new(READERS)) };
        let channels = Channels {
            player_mail: true,
            desk_mail: !config.support_mail.is_empty(),
            webhook: !config.support_webhook.0.is_empty(),
        };
        let desk = Desk::new(Arc::clone(&records), Arc::new(journals), channels);
        Support { desk, faq: Faq::new(records) }
    }

    /// What the desk keeps of a player.
    pub(crate) fn personal(&self) -> Arc<dyn PersonalData> {
        Arc::new(TicketsOf(self.desk.clone()))
    }

    /// Begins to tell what is to be told and to look at the clocks, until what it returns is dropped.
    pub(crate) fn start(
        &self,
        config: &Config,
        accounts: Accounts,
        mailer: Arc<dyn Mailer>,
    ) -> Result<Duties> {
        let webhook = match config.support_webhook.0.as_str() {
            "" => None,
            url => Some(Webhook::new(url, &config.support_webhook_key.0)?),
        };
        let courier = Letters { accounts, mailer, desk_mail: config.support_mail.clone(), webhook };
        let outbox = Outbox::start(self.desk.notices(), Arc::new(courier), self.desk.wake());
        let ringing = tokio::spawn(ring(self.desk.clone()));
        Ok(Duties { _outbox: outbox, ringing })
    }
}

/// What the desk does by itself; it ends when this is dropped.
pub(crate) struct Duties {
    _outbox: Outbox,
    ringing: JoinHandle<()>,
}

impl Drop for Duties {
    fn drop(&mut self) {
        self.ringing.abort();
    }
}

async fn ring(desk: Desk) {
    loop {
        match desk.ring(now_ms()).await {
            Ok(0) => tokio::time::sleep(LOOK_EVERY).await,
            Ok(rang) => tracing::info!(rang, "clocks of tickets have run out"),
            Err(error) => {
                tracing::warn!(%error, "the clocks of tickets cannot be looked at");
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

/// Positions of games, from the journals of rooms and the games that were kept.
struct Journals {
    /// Not kept open by the desk: when the server has stopped, the next one may have it.
    live: Weak<dyn LiveStore>,
    games: Games,
    readers: Arc<Semaphore>,
}

impl Journals {
    /// The state of the room after a record, if its journal is still there.
    async fn state(
        &self,
        room: RoomKey,
        seq: Option<Seq>,
    ) -> std::result::Result<Option<Position>, WitnessError> {
        let Ok(_reading) = self.readers.try_acquire() else {
            return Err(WitnessError::Unavailable("too many journals are being read".to_owned()));
        };
        let Some(live) = self.live.upgrade() else {
            return Err(WitnessError::Unavailable("the server is stopping".to_owned()));
        };
        let loaded = match live.load(room).await {
            Ok(loaded) => loaded,
            Err(LoadError::NotFound) => return Ok(None),
            Err(error) => return Err(WitnessError::Unavailable(error.to_string())),
        };
        let read = tokio::task::spawn_blocking(move || inspect::state_at(&loaded, seq)).await;
        match read {
            Ok(Ok(mut value)) => {
                // Seats and tokens are nobody's business here.
                value.as_object_mut().and_then(|fields| fields.remove("ledger"));
                let at = value["seq"].as_u64().unwrap_or_default();
                Ok(Some(Position { seq: at, exact: seq.is_none_or(|seq| seq.0 == at), body: value }))
            }
            Ok(Err(problem)) => Err(WitnessError::Unavailable(problem)),
            Err(error) => Err(WitnessError::Unavailable(error.to_string())),
        }
    }
}

impl Witness for Journals {
    fn position<'a>(
        &'a self,
        customer: &'a CustomerId,
        room: &'a RoomId,
        seq: Option<u64>,
        game: Option<u32>,
    ) -> BoxFuture<'a, std::result::Result<Position, WitnessError>> {
        Box::pin(async move {
            let key = RoomKey { customer: customer.clone(), room: room.clone() };
            let state = self.state(key, seq.map(Seq)).await?;
            let kept = match game {
                None => None,
                Some(number) => {
                    let id = GameId { room: room.clone(), number };
                    let found = self.games.game(customer, &id).await;
                    found.map_err(|error| WitnessError::Unavailable(error.to_string()))?
                }
            };
            let mut position = match (state, &kept) {
                (None, None) => return Err(WitnessError::Unknown),
                (Some(state), _) => state,
                (None, Some(_)) => Position { seq: seq.unwrap_or_default(), exact: false, body: json!({}) },
            };
            if let Some(kept) = kept {
                position.body["game"] = serde_json::to_value(kept.game).unwrap_or_default();
            }
            Ok(position)
        })
    }
}

/// Tells by mail and webhook.
struct Letters {
    accounts: Accounts,
    mailer: Arc<dyn Mailer>,
    desk_mail: String,
    webhook: Option<Webhook>,
}

impl Courier for Letters {
    fn deliver<'a>(
        &'a self,
        customer: &'a CustomerId,
        channel: Channel,
        id: &'a str,
        told: &'a Told,
    ) -> BoxFuture<'a, std::result::Result<(), CourierError>> {
        Box::pin(async move {
            let to = match channel {
                Channel::Webhook => {
                    let Some(webhook) = &self.webhook else { return Ok(()) };
                    return webhook.post(customer, id, told).await;
                }
                Channel::DeskMail => Some(self.desk_mail.clone()).filter(|address| !address.is_empty()),
                Channel::PlayerMail => self.address(customer, &told.author_id).await?,
            };
            let Some(to) = to else { return Ok(()) };
            self.mailer.send(letter(to, told, self.accounts.public_url())).await.map_err(CourierError::Later)
        })
    }
}

impl Letters {
    /// The address of an account that somebody showed to read.
    async fn address(
        &self,
        customer: &CustomerId,
        account: &str,
    ) -> std::result::Result<Option<String>, CourierError> {
        match self.accounts.account_of(customer, account).await {
            Ok(user) => Ok(user.email.filter(|_| user.email_confirmed && user.is_active)),
            Err(AccountError::NotFound(_)) => Ok(None),
            Err(error) => Err(CourierError::Later(error.to_string())),
        }
    }
}

fn letter(to: String, told: &Told, public_url: &str) -> Letter {
    let status = told.status.name().replace('_', " ");
    let what = match told.event {
        Event::Opened => "A ticket was opened.".to_owned(),
        Event::PlayerReplied => "The player wrote:".to_owned(),
        Event::AgentReplied => "There is an answer to your ticket:".to_owned(),
        Event::StatusChanged | Event::StatusChangedByPlayer => format!("The ticket is {status} now."),
        Event::Escalated => "The time to answer this ticket is over.".to_owned(),
    };
    let said = told.text.as_ref().map(|text| format!("\n\n{text}")).unwrap_or_default();
    let (ticket, subject) = (&told.ticket_id, &told.subject);
    let facts = format!("{} / {} / {status}", told.category, told.priority);
    Letter {
        to,
        subject: format!("[{ticket}] {subject}"),
        text: format!("{what}{said}\n\n{subject}\n{facts}\n\nTicket {ticket} at {public_url}\n"),
    }
}

/// A program of the desk that is told by `POST`.
struct Webhook {
    url: String,
    key: Option<aws_lc_rs::hmac::Key>,
    client: reqwest::Client,
}

impl Webhook {
    fn new(url: &str, key: &str) -> Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("everplay")
            .build()
            .map_err(|error| Error::Store(format!("the webhook of the support desk: {error}")))?;
        let key = (!key.is_empty())
            .then(|| aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key.as_bytes()));
        Ok(Webhook { url: url.to_owned(), key, client })
    }

    async fn post(
        &self,
        customer: &CustomerId,
        id: &str,
        told: &Told,
    ) -> std::result::Result<(), CourierError> {
        let body = json!({ "id": id, "customer": customer.as_str(), "notice": told }).to_string();
        let mut request = self
            .client
            .post(&self.url)
            .header("content-type", "application/json")
            .header("x-everplay-notice", id);
        if let Some(key) = &self.key {
            let signature = aws_lc_rs::hmac::sign(key, body.as_bytes());
            let hex: String = signature.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            request = request.header("x-everplay-signature", format!("sha256={hex}"));
        }
        let answer = request.body(body).send().await;
        // The address may hold a secret: it is not told.
        let answer = answer.map_err(|error| CourierError::Later(error.without_url().to_string()))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status if status == reqwest::StatusCode::GONE => {
                Err(CourierError::Never("the webhook answered 410".to_owned()))
            }
            status => Err(CourierError::Later(format!("the webhook answered {}", status.as_u16()))),
        }
    }
}

/// Tickets as data of a player.
struct TicketsOf(Desk);

impl PersonalData for TicketsOf {
    fn name(&self) -> &'static str {
        "tickets"
    }

    fn export<'a>(
        &'a self,
        customer: &'a CustomerId,
        account: &'a str,
    ) -> BoxFuture<'a, std::result::Result<Value, String>> {
        Box::pin(async move {
            let tickets = self.0.conversations_of(customer, account).await;
            let tickets = tickets.map_err(|error| error.to_string())?;
            let one = |(ticket, replies): &(everplay_records::Ticket, Vec<everplay_records::Reply>)| json!({ "ticket": ticket, "replies": replies });
            Ok(tickets.iter().map(one).collect())
        })
    }

    fn erase<'a>(
        &'a self,
        customer: &'a CustomerId,
        account: &'a str,
    ) -> BoxFuture<'a, std::result::Result<(), String>> {
        Box::pin(async move { self.0.forget(customer, account).await.map_err(|error| error.to_string()) })
    }
}
