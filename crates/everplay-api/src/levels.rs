//! How much of the service there is just now, told with every answer.
//!
//! | level | what is served | when by itself |
//! |---|---|---|
//! | `full` | everything | |
//! | `limited` | everything; lists may be old, as they say | a store beside the rooms is away or slow, or this server is overloaded |
//! | `emergency` | reading, and rooms that are there; changes are answered 503 `READ_ONLY`, and no room is opened | journals do not advance |
//! | `maintenance` | nothing but `/status`, signing in and `/admin`; the rest is answered 503 `MAINTENANCE`; rooms play on with who is in them | never |
//!
//! What is seen is weighed once a second: worse for three seconds on end and the level falls, well for ten and it rises. An
//! operator's word stands above what is seen until it is taken back; it is kept beside the accounts, so that it holds in all
//! servers on that store and over their starts.

use crate::accounts::time;
use crate::error::timestamp;
use crate::{Allowed, ApiError, Json, need};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use everplay_accounts::{Accounts, Clock, SaidService, ServiceWord};
use everplay_types::ServiceLevel;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Observations on end that make it worse, and better.
const WORSE: u32 = 3;
const BETTER: u32 = 10;

/// The level in the API document.
fn level_schema() -> Object {
    let names = ServiceLevel::ALL.map(ServiceLevel::name);
    let what = "How much of the service there is.";
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).description(Some(what)).build()
}

/// What is seen of the parts that the service stands on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signals {
    /// Journals of rooms do not advance.
    pub journals_stand: bool,
    /// Something beside the rooms is away or slow, or a few rooms stand: in words for people.
    pub store_away: Option<&'static str>,
    /// This server does not get to its work in time.
    pub overloaded: bool,
}

impl Signals {
    /// The level they ask for, and why.
    pub fn level(self) -> (ServiceLevel, &'static str) {
        if self.journals_stand {
            return (ServiceLevel::Emergency, "games cannot be kept at the moment");
        }
        match (self.store_away, self.overloaded) {
            (Some(what), _) => (ServiceLevel::Limited, what),
            (None, true) => (ServiceLevel::Limited, "there is more to do than this server can"),
            (None, false) => (ServiceLevel::Full, ""),
        }
    }
}

/// How much of the service there is, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// How much.
    #[schema(schema_with = level_schema)]
    pub level: ServiceLevel,
    /// For people; empty when there is everything.
    pub message: String,
    /// When it will be over, if somebody said so: RFC 3339.
    pub until: Option<String>,
    /// Whether an operator set it.
    pub by_operator: bool,
    /// Since when it is so: RFC 3339.
    pub since: String,
}

/// The level of one server. Clones share it.
#[derive(Debug, Clone)]
pub struct Levels(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    weighed: Mutex<Weighed>,
    told: watch::Sender<Told>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    level: ServiceLevel,
    message: String,
    /// Milliseconds since 1970.
    until: Option<i64>,
    by_operator: bool,
    since: SystemTime,
}

#[derive(Debug)]
struct Weighed {
    seen: (ServiceLevel, &'static str),
    /// What the last observations asked for, and how many on end did.
    asked: (ServiceLevel, u32),
    said: SaidService,
}

impl Default for Levels {
    fn default() -> Self {
        let full = Told {
            level: ServiceLevel::Full,
            message: String::new(),
            until: None,
            by_operator: false,
            since: SystemTime::now(),
        };
        let weighed = Weighed {
            seen: (ServiceLevel::Full, ""),
            asked: (ServiceLevel::Full, 0),
            said: SaidService { version: 0, word: None },
        };
        Levels(Arc::new(Inner { weighed: Mutex::new(weighed), told: watch::Sender::new(full) }))
    }
}

impl Levels {
    /// How much there is.
    pub fn level(&self) -> ServiceLevel {
        self.0.told.borrow().level
    }

    /// How much there is, and why.
    pub fn status(&self) -> ServiceStatus {
        let told = self.0.told.borrow().clone();
        ServiceStatus {
            level: told.level,
            message: told.message,
            until: told.until.map(time),
            by_operator: told.by_operator,
            since: timestamp(told.since),
        }
    }

    /// Resolves when the level is not `seen`, with what it is; for whoever tells others.
    pub async fn changed(&self, seen: ServiceLevel) -> ServiceLevel {
        let mut told = self.0.told.subscribe();
        match told.wait_for(|told| told.level != seen).await {
            Ok(told) => told.level,
            // The sender is in `self`.
            Err(_) => seen,
        }
    }

    /// One look at the parts; to be called once a second.
    pub fn observe(&self, signals: Signals) {
        let mut weighed = self.0.weighed.lock();
        let (level, why) = signals.level();
        weighed.asked = match weighed.asked {
            (asked, count) if asked == level => (asked, count.saturating_add(1)),
            _ => (level, 1),
        };
        let needed = if level > weighed.seen.0 { WORSE } else { BETTER };
        if level != weighed.seen.0 && weighed.asked.1 >= needed {
            weighed.seen = (level, why);
            self.tell(&weighed);
        }
    }

    /// An operator's word, as it was read or written; an older one than the last is not heard.
    pub fn hear(&self, said: SaidService) {
        let mut weighed = self.0.weighed.lock();
        if said.version > weighed.said.version {
            weighed.said = said;
            self.tell(&weighed);
        }
    }

    fn tell(&self, weighed: &Weighed) {
        let (level, message, until) = match &weighed.said.word {
            Some(word) => (word.level, word.message.clone(), word.until),
            None => (weighed.seen.0, weighed.seen.1.to_owned(), None),
        };
        let by_operator = weighed.said.word.is_some();
        tracing::warn!(level = level.name(), message, by_operator, "the level of service");
        self.0.told.send_if_modified(|told| {
            let since = if told.level == level { told.since } else { SystemTime::now() };
            let next = Told { level, message, until, by_operator, since };
            let changed = *told != next;
            *told = next;
            changed
        });
    }

    /// Whether a request is served at this level.
    pub(crate) fn admit(&self, method: &Method, path: &str) -> Result<(), ApiError> {
        let told = self.0.told.borrow();
        let always = ["/status", "/admin", "/auth", "/.well-known", "/openapi.json", "/docs/api"];
        let spared = always
            .iter()
            .any(|root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
        let (code, message) = match told.level {
            ServiceLevel::Maintenance => ("MAINTENANCE", "the service is being worked on"),
            ServiceLevel::Emergency if !method.is_safe() => {
                ("READ_ONLY", "nothing can be changed at the moment")
            }
            _ => return Ok(()),
        };
        if spared {
            return Ok(());
        }
        Err(refusal(&told, code, message))
    }

    /// Whether a player may come to a room at this level. Errors: the refusal, whose message holds the operator's.
    pub fn admit_player(&self, coming: Coming) -> Result<(), ApiError> {
        let told = self.0.told.borrow();
        let (code, message) = match (told.level, coming) {
            (ServiceLevel::Maintenance, Coming::New | Coming::Opening) => {
                ("MAINTENANCE", "the service is being worked on")
            }
            (ServiceLevel::Emergency, Coming::Opening) => {
                ("READ_ONLY", "no new room can be opened at the moment")
            }
            _ => return Ok(()),
        };
        let message =
            if told.message.is_empty() { message.to_owned() } else { format!("{message}: {}", told.message) };
        Err(refusal(&told, code, message))
    }

    /// Says the level in an answer's header.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        let name = HeaderValue::from_static(self.level().name());
        headers.insert(HeaderName::from_static("everplay-service"), name);
    }
}

/// How a player comes to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coming {
    /// To a seat that is theirs: at every level.
    Back,
    /// To a room that is there: not in maintenance.
    New,
    /// To a room that has to be made: not in an emergency either.
    Opening,
}

fn refusal(told: &Told, code: &'static str, message: impl Into<String>) -> ApiError {
    let mut refusal = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, message).details(json!({
        "level": told.level.name(), "message": told.message, "until": told.until.map(time),
    }));
    let left = told.until.and_then(|until| u64::try_from(until - Clock::system().now()).ok());
    let left = left.map_or(Duration::from_secs(10), Duration::from_millis);
    refusal.retry_after = Some(left.min(Duration::from_secs(3600)));
    refusal
}

/// The routes: `GET /status`, `PUT` and `DELETE /admin/service`. Words are kept in the store of `accounts`.
pub fn routes(levels: Levels, accounts: Accounts) -> OpenApiRouter {
    let said = OpenApiRouter::new().routes(routes!(set, unset)).with_state((levels.clone(), accounts));
    OpenApiRouter::new().routes(routes!(status)).with_state(levels).merge(said)
}

/// An operator's word.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetLevel {
    /// How much of the service there is to be.
    #[schema(schema_with = level_schema)]
    level: ServiceLevel,
    /// Told to players; at most 500 characters.
    #[serde(default)]
    #[schema(max_length = 500)]
    message: String,
    /// Seconds from now until it is expected to be over; at most a week. It does not end by itself.
    #[schema(minimum = 1, maximum = 604800)]
    seconds: Option<u32>,
}

/// See how much of the service there is
#[utoipa::path(
    get, path = "/status", tag = "service", operation_id = "getServiceStatus",
    responses((status = 200, description = "The level, also told in each answer's header everplay-service", body = ServiceStatus))
)]
async fn status(State(levels): State<Levels>) -> Json<ServiceStatus> {
    Json(levels.status())
}

/// Set how much of the service there is
///
/// In all servers on the same accounts, within seconds, until it is taken back with DELETE.
#[utoipa::path(
    put, path = "/admin/service", tag = "service", operation_id = "setServiceLevel", security(("bearer" = [])),
    request_body = SetLevel, responses((status = 200, description = "Needs service:manage", body = ServiceStatus))
)]
async fn set(
    State((levels, accounts)): State<(Levels, Accounts)>,
    Allowed(by, _): Allowed<need::ServiceManage>,
    Json(word): Json<SetLevel>,
) -> Result<Json<ServiceStatus>, ApiError> {
    if word.message.chars().count() > 500 || word.message.chars().any(char::is_control) {
        return Err(ApiError::invalid_field("message", "at most 500 characters on one line"));
    }
    if word.seconds.is_some_and(|seconds| !(1..=604_800).contains(&seconds)) {
        return Err(ApiError::invalid_field("seconds", "1 to 604,800"));
    }
    let until = word.seconds.map(|seconds| Clock::system().now() + 1_000 * i64::from(seconds));
    let word = ServiceWord { level: word.level, message: word.message, until };
    let version = accounts.say_service(&by, Some(&word)).await?;
    levels.hear(SaidService { version, word: Some(word) });
    Ok(Json(levels.status()))
}

/// Let the server say how much of the service there is
#[utoipa::path(
    delete, path = "/admin/service", tag = "service", operation_id = "unsetServiceLevel", security(("bearer" = [])),
    responses((status = 200, description = "Needs service:manage", body = ServiceStatus))
)]
async fn unset(
    State((levels, accounts)): State<(Levels, Accounts)>,
    Allowed(by, _): Allowed<need::ServiceManage>,
) -> Result<Json<ServiceStatus>, ApiError> {
    let version = accounts.say_service(&by, None).await?;
    levels.hear(SaidService { version, word: None });
    Ok(Json(levels.status()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away() -> Signals {
        Signals { store_away: Some("the boards are away"), ..Signals::default() }
    }

    #[test]
    fn the_worst_part_decides() {
        let stand = Signals { journals_stand: true, ..away() };
        assert_eq!(stand.level().0, ServiceLevel::Emergency);
        assert_eq!(away().level(), (ServiceLevel::Limited, "the boards are away"));
        assert_eq!(Signals { overloaded: true, ..Signals::default() }.level().0, ServiceLevel::Limited);
        assert_eq!(Signals::default().level().0, ServiceLevel::Full);
    }

    #[test]
    fn it_falls_after_three_looks_and_rises_after_ten() {
        let levels = Levels::default();
        let look = |signals, times| (0..times).for_each(|_| levels.observe(signals));
        look(away(), 2);
        look(Signals::default(), 1);
        look(away(), 2);
        assert_eq!(levels.level(), ServiceLevel::Full, "a blink is not an outage");
        look(away(), 1);
        assert_eq!(
            (levels.level(), levels.status().message.as_str()),
            (ServiceLevel::Limited, "the boards are away")
        );
        look(Signals::default(), 9);
        assert_eq!(levels.level(), ServiceLevel::Limited);
        look(Signals::default(), 1);
        assert_eq!(levels.level(), ServiceLevel::Full);
    }

    #[test]
    fn an_operators_word_stands_until_it_is_taken_back() {
        let levels = Levels::default();
        let word = ServiceWord {
            level: ServiceLevel::Maintenance,
            message: "new disks".into(),
            until: Some(Clock::system().now() + 60_000),
        };
        levels.hear(SaidService { version: 2, word: Some(word) });
        levels.hear(SaidService { version: 1, word: None });
        (0..20).for_each(|_| levels.observe(away()));
        let refusal = levels.admit(&Method::GET, "/tickets").unwrap_err();
        assert_eq!((refusal.code, refusal.status.as_u16()), ("MAINTENANCE", 503));
        let wait = refusal.retry_after.unwrap();
        assert!(wait > Duration::from_secs(50) && wait <= Duration::from_secs(60), "{wait:?}");
        for path in ["/status", "/admin/service", "/auth/login", "/openapi.json"] {
            levels.admit(&Method::GET, path).unwrap();
        }
        levels.admit(&Method::GET, "/statuses").unwrap_err();
        levels.hear(SaidService { version: 3, word: None });
        assert_eq!(levels.level(), ServiceLevel::Limited, "what was seen meanwhile");
        levels.admit(&Method::POST, "/tickets").unwrap();
    }

    #[test]
    fn an_emergency_is_read_only() {
        let levels = Levels::default();
        let stand = Signals { journals_stand: true, ..Signals::default() };
        (0..3).for_each(|_| levels.observe(stand));
        levels.admit(&Method::GET, "/tickets").unwrap();
        assert_eq!(levels.admit(&Method::POST, "/tickets").unwrap_err().code, "READ_ONLY");
        levels.admit(&Method::POST, "/auth/login").unwrap();
    }
}
