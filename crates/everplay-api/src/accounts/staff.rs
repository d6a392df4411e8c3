//! What staff may do. Every act is in the audit log; every route says which permission it needs.

use super::own::{Account, Ended};
use super::time;
use crate::{Allowed, ApiError, Json, Path, Query, need};
use axum::extract::State;
use axum::http::StatusCode;
use everplay_accounts::{Accounts, ApiKey, IssuedKey, Permission, Principal};
use everplay_types::{Identity, Role};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Ban {
    /// Told to the player; 1 to 500 characters.
    reason: String,
    /// Seconds from now; left out: for ever.
    #[schema(minimum = 1)]
    seconds: Option<u32>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewKey {
    /// What people call it.
    name: String,
    /// What it may do: names of permissions, as docs/accounts.md lists them.
    scopes: Vec<String>,
    /// Days until it ends by itself; left out: never.
    #[schema(minimum = 1, maximum = 3650)]
    days: Option<u16>,
}

/// A server's key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Key {
    id: String,
    name: String,
    scopes: Vec<String>,
    created_by: String,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    /// How often it was presented.
    uses: i64,
    last_used: Option<String>,
    /// What the server presents as its bearer token; told only when it is made or rotated.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl From<ApiKey> for Key {
    fn from(key: ApiKey) -> Self {
        Key {
            id: key.id,
            name: key.name,
            scopes: key.scopes.iter().map(|scope| scope.name().to_owned()).collect(),
            created_by: key.created_by,
            created_at: time(key.created_at),
            expires_at: key.expires_at.map(time),
            revoked_at: key.revoked_at.map(time),
            uses: key.uses,
            last_used: key.last_used.map(time),
            token: None,
        }
    }
}

impl From<IssuedKey> for Key {
    fn from(issued: IssuedKey) -> Self {
        Key { token: Some(issued.token), ..issued.key.into() }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AuditPage {
    /// Entries before this one.
    before: Option<i64>,
    /// At most so many; 1 to 500.
    limit: Option<i64>,
}

/// Something that was done.
#[derive(Debug, Serialize, ToSchema)]
struct Entry {
    /// Place in the log, from 1.
    seq: i64,
    /// RFC 3339.
    at: String,
    /// `account:...`, `key:...` or `system`.
    actor: String,
    /// What.
    action: String,
    /// To whom or what.
    target: String,
    /// What else matters.
    details: Value,
    /// SHA-256 over the hash before and this entry, in hexadecimal.
    hash: String,
}

/// Whether the log is whole.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Chain {
    /// Whether every entry follows from the one before.
    whole: bool,
    /// Entries.
    entries: i64,
    /// Where it breaks.
    broken_at: Option<i64>,
    /// Hash of the last entry, to be kept elsewhere.
    hash: Option<String>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn routes() -> OpenApiRouter<Accounts> {
    OpenApiRouter::new()
        .routes(routes!(account, delete_account))
        .routes(routes!(export))
        .routes(routes!(ban, unban))
        .routes(routes!(sign_out))
        .routes(routes!(reset_factor))
        .routes(routes!(grant, take))
        .routes(routes!(keys, create_key))
        .routes(routes!(rotate_key))
        .routes(routes!(revoke_key))
        .routes(routes!(audit))
        .routes(routes!(verify_audit))
}

/// See any account
#[utoipa::path(
    get, path = "/admin/accounts/{id}", tag = "admin", operation_id = "adminGetAccount", security(("bearer" = [])),
    params(("id" = String, Path, description = "An account")),
    responses((status = 200, description = "Needs accounts:read", body = Account))
)]
async fn account(
    State(accounts): State<Accounts>,
    Allowed(by, _): Allowed<need::AccountsRead>,
    Path(id): Path<String>,
) -> Result<Json<Account>, ApiError> {
    Ok(Json(Account::from(&accounts.account_of(by.customer(), &id).await?)))
}

/// Delete an account
#[utoipa::path(
    delete, path = "/admin/accounts/{id}", tag = "admin", operation_id = "adminDeleteAccount",
    security(("bearer" = [])), params(("id" = String, Path, description = "An account")),
    responses((status = 204, description = "Needs accounts:manage"))
)]
async fn delete_account(
    State(accounts): State<Accounts>,
    Allowed(by, _): Allowed<need::AccountsManage>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    accounts.delete(&by, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All that is kept of an account
#[utoipa::path(
    get, path = "/admin/accounts/{id}/export", tag = "admin", operation_id = "adminExportAccount",
    security(("bearer" = [])), params(("id" = String, Path, description = "An account")),
    responses((status = 200, description = "Needs accounts:manage", body = Value))
)]
async fn export(
    State(accounts): State<Accounts>,
    Allowed(by, _): Allowed<need::AccountsManage>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(accounts.export_for(&by, &id).await?))
}

/// Ban an account
///
/// It is signed out everywhere, with its sockets.
#[utoipa::path(
    put, path = "/admin/accounts/{id}/ban", tag = "admin", operation_id = "banAccount", security(("bearer" = [])),
    params(("id" = String, Path, description = "An account")), request_body = Ban,
    responses((status = 204, description = "Needs accounts:ban"))
)]
async fn ban(
    State(accounts): State<Accounts>,
    Allowed(by, _): Allowed<need::AccountsBan>,
    Path(id): Path<String>,
    Json(ban): Json<Ban>,
) -> Result<StatusCode, ApiError> {
    let until = ban.seconds.map(|seconds| accounts.now() + 1000 * i64::from(seconds.max(1)));
    accounts.ban(&by, &id, &ban.reason, until).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lift a ban
#[utoipa::path(
    delete, path = "/admin/accounts/{id}/ban", tag = "admin", operation_id = "unbanAccount",
    security(("bearer" = [])), params(("id" = String, Path, description = "An account")),
    responses((status = 204, description = "Needs accounts:ban"))
)]
async fn unban(
    State(accounts): State<Accounts>,
    Allowed(by, _): Allowed<need::AccountsBan>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    accounts.unban(&by, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sign an account out everywhere
#[utoipa::path(
    post, path = "/admin/accounts/{id}/sign-out", tag = "admin", operation_id = "signOutAccount",
    security(("bearer" = [])), params(("id" = String, Path, description = "An account")),
    responses((status = 200, description = "Needs accounts:manage", body = Ended))
)]
async fn sign_out(
    State(accounts): State<Accounts>,
    Allowed(by, _): Allowed<need::AccountsManage>,
    Path(id): Path<String>,
) -> Result<Json<Ended>, ApiError> {
    Ok(Json(Ended { ended: accounts.sign_out_account(&by, &id).await? }))
}

/// Remove the second factor of somebody who lost it
#[utoipa::path(
    delete, path = "/admin/accounts/{id}/factor", tag = "admin", operation_id = "resetFactor",
    security(("bearer" = [])), params(("id" = String, Path, description = "An account")),
    responses((status = 204, description = "Needs accounts:manage"))
)]
async fn reset_factor(
    State(accounts): State<Accounts>,
    Allowed(by, _): Allowed<need::AccountsManage>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    accounts.reset_factor(&by, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn role(text: &str) -> Result<Role, ApiError> {
    text.parse().map_err(|()| ApiError::not_found("role"))
}

/// Give a role
#[utoipa::path(
    put, path = "/admin/accounts/{id}/roles/{role}", tag = "admin", operation_id = "grantRole",
    security(("bearer" = [])),
    params(("id" = String, Path, description = "An account"), ("role" = String, Path, description = "A role")),
    responses((status = 200, description = "Needs roles:grant", body = Account))
)]
async fn grant(
    State(accounts): State<Accounts>,
    Allowed(by, _): Allowed<need::RolesGrant>,
    Path((id, name)): Path<(String, String)>,
) -> Result<Json<Account>, ApiError> {
    Ok(Json(Account::from(&accounts.set_role(&by, &id, role(&name)?, true).await?)))
}

/// Take a role
///
/// What it allowed ends at once, also for tokens that were issued before.
#[utoipa::path(
    delete, path = "/admin/accounts/{id}/roles/{role}", tag = "admin", operation_id = "takeRole",
    security(("bearer" = [])),
    params(("id" = String, Path, description = "An account"), ("role" = String, Path, description = "A role")),
    responses((status = 200, description = "Needs roles:grant", body = Account))
)]
async fn take(
    State(accounts): State<Accounts>,
    Allowed(by, _): Allowed<need::RolesGrant>,
    Path((id, name)): Path<(String, String)>,
) -> Result<Json<Account>, ApiError> {
    Ok(Json(Account::from(&accounts.set_role(&by, &id, role(&name)?, false).await?)))
}

/// Keys are made by people: no key has the scope.
fn person(by: &Principal) -> Result<&Identity, ApiError> {
    match by {
        Principal::Player(identity) => Ok(identity),
        Principal::Server(_) => Err(ApiError::forbidden("this is for people, not for servers")),
    }
}

/// The keys of servers
#[utoipa::path(
    get, path = "/admin/keys", tag = "admin", operation_id = "listKeys", security(("bearer" = [])),
    responses((status = 200, description = "Needs keys:manage", body = Vec<Key>))
)]
async fn keys(
    State(accounts): State<Accounts>,
    Allowed(by, _): Allowed<need::KeysManage>,
) -> Result<Json<Vec<Key>>, ApiError> {
    let keys = accounts.keys(by.customer()).await?;
    Ok(Json(keys.into_iter().map(Into::into).collect()))
}

/// Make a key for a server
#[utoipa::path(
    post, path = "/admin/keys", tag = "admin", operation_id = "createKey", security(("bearer" = [])),
    request_body = NewKey, responses((status = 201, description = "Needs keys:manage", body = Key))
)]
async fn create_key(
    State(accounts): State<Accounts>,
    Allowed(by, _): Allowed<need::KeysManage>,
    Json(new): Json<NewKey>,
) -> Result<(StatusCode, Json<Key>), ApiError> {
    let unknown = || ApiError::invalid_field("scopes", "there is no such scope");
    let scopes: Option<Vec<Permission>> = new.scopes.iter().map(|scope| scope.parse().ok()).collect();
    let expires_at = new.days.map(|days| accounts.now() + 86_400_000 * i64::from(days));
    let issued =
        accounts.create_key(person(&by)?, &new.name, &scopes.ok_or_else(unknown)?, expires_at).await?;
    Ok((StatusCode::CREATED, Json(issued.into())))
}

/// Give a key a new secret
///
/// The present one is good for another day.
#[utoipa::path(
    post, path = "/admin/keys/{id}/rotate", tag = "admin", operation_id = "rotateKey", security(("bearer" = [])),
    params(("id" = String, Path, description = "A key")),
    responses((status = 200, description = "Needs keys:manage", body = Key))
)]
async fn rotate_key(
    State(accounts): State<Accounts>,
    Allowed(by, _): Allowed<need::KeysManage>,
    Path(id): Path<String>,
) -> Result<Json<Key>, ApiError> {
    Ok(Json(accounts.rotate_key(person(&by)?, &id).await?.into()))
}

/// End a key at once
#[utoipa::path(
    delete, path = "/admin/keys/{id}", tag = "admin", operation_id = "revokeKey", security(("bearer" = [])),
    params(("id" = String, Path, description = "A key")),
    responses((status = 204, description = "Needs keys:manage"))
)]
async fn revoke_key(
    State(accounts): State<Accounts>,
    Allowed(by, _): Allowed<need::KeysManage>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    accounts.revoke_key(person(&by)?, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The audit log, the newest first
///
/// Reading it is an entry too.
#[utoipa::path(
    get, path = "/admin/audit", tag = "admin", operation_id = "readAudit", security(("bearer" = [])),
    params(AuditPage), responses((status = 200, description = "Needs audit:read", body = Vec<Entry>))
)]
async fn audit(
    State(accounts): State<Accounts>,
    Allowed(by, _): Allowed<need::AuditRead>,
    Query(page): Query<AuditPage>,
) -> Result<Json<Vec<Entry>>, ApiError> {
    let records = accounts.audit_log(&by, page.before, page.limit.unwrap_or(100)).await?;
    let entry = |record: everplay_accounts::AuditRecord| Entry {
        seq: record.seq,
        at: time(record.at),
        actor: record.actor,
        action: record.action,
        target: record.target,
        details: serde_json::from_str(&record.details).unwrap_or(Value::Null),
        hash: hex(&record.hash),
    };
    Ok(Json(records.into_iter().map(entry).collect()))
}

/// Whether the audit log is whole
#[utoipa::path(
    get, path = "/admin/audit/chain", tag = "admin", operation_id = "verifyAudit", security(("bearer" = [])),
    responses((status = 200, description = "Needs audit:read", body = Chain))
)]
async fn verify_audit(
    State(accounts): State<Accounts>,
    Allowed(by, _): Allowed<need::AuditRead>,
) -> Result<Json<Chain>, ApiError> {
    Ok(Json(match accounts.verify_audit(by.customer()).await? {
        Ok((entries, hash)) => Chain { whole: true, entries, broken_at: None, hash: Some(hex(&hash)) },
        Err(broken) => {
            Chain { whole: false, entries: broken.seq - 1, broken_at: Some(broken.seq), hash: None }
        }
    }))
}
