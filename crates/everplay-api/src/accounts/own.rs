//! What the asker may do with the account they are signed in to.

use super::time;
use crate::{ApiError, Json, Path, Player};
use axum::extract::State;
use axum::http::StatusCode;
use everplay_accounts::{Accounts, LinkedIdentity, Login, Principal, User};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// An account, as its owner and staff see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The account.
    pub id: String,
    /// Where mail goes.
    pub email: Option<String>,
    /// Whether its owner showed to read that mail.
    pub email_confirmed: bool,
    /// Unique.
    pub username: String,
    /// Shown to others.
    pub display_name: String,
    /// A picture.
    pub avatar_url: Option<String>,
    /// For regional boards.
    pub region: Option<String>,
    /// Whether nobody can sign in to it again.
    pub guest: bool,
    /// What it may do; `player` is always among them.
    pub roles: Vec<String>,
    /// False once it was deleted.
    pub active: bool,
    /// Until when it may not sign in, RFC 3339; `forever`; or null.
    pub banned_until: Option<String>,
    /// Why.
    pub ban_reason: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub last_login: Option<String>,
}

impl From<&User> for Account {
    fn from(user: &User) -> Self {
        let until = |until: i64| if until == i64::MAX { "forever".to_owned() } else { time(until) };
        Account {
            id: user.id.clone(),
            email: user.email.clone(),
            email_confirmed: user.email_confirmed,
            username: user.username.clone(),
            display_name: user.display_name.clone(),
            avatar_url: user.avatar_url.clone(),
            region: user.region.clone(),
            guest: user.guest,
            roles: user.roles.iter().map(|role| role.name().to_owned()).collect(),
            active: user.is_active,
            banned_until: user.banned_until.map(until),
            ban_reason: user.ban_reason.clone(),
            created_at: time(user.created_at),
            last_login: user.last_login.map(time),
        }
    }
}

/// One signing-in.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountLogin {
    /// Names it.
    pub id: String,
    /// Whether it is the one that asks.
    pub current: bool,
    /// What the program called itself.
    pub agent: String,
    /// The network it came from.
    pub network: String,
    /// Whether a second factor was shown.
    pub second_factor: bool,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub last_used: String,
    /// RFC 3339.
    pub expires_at: String,
}

impl AccountLogin {
    fn new(login: &Login, current: &str) -> Self {
        AccountLogin {
            id: login.id.clone(),
            current: login.id == current,
            agent: login.agent.clone(),
            network: login.network.clone(),
            second_factor: login.second_factor,
            created_at: time(login.created_at),
            last_used: time(login.last_used),
            expires_at: time(login.expires_at),
        }
    }
}

/// A number of logins.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Ended {
    /// How many ended.
    pub(super) ended: usize,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PasswordChange {
    /// The present one.
    old_password: String,
    /// At least 8 characters.
    new_password: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EmailChange {
    /// The present password; may be empty for accounts without one that signed in a moment ago.
    #[serde(default)]
    password: String,
    /// A code of the second factor, for accounts that have one.
    #[serde(default)]
    code: Option<String>,
    /// The new address.
    email: String,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordShown {
    /// The present password; may be empty for accounts without one that signed in a moment ago.
    #[serde(default)]
    password: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CodeShown {
    /// Six digits of the authenticator, or a recovery code.
    code: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct FactorStatus {
    /// Whether an authenticator is asked for at sign-in.
    enabled: bool,
    /// Recovery codes that are left.
    recovery_codes: i64,
}

#[derive(Debug, Serialize, ToSchema)]
struct FactorBegun {
    /// For the authenticator, as a link or a picture. It counts once a code of it was shown.
    url: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RecoveryCodes {
    /// Each opens the account once in place of the authenticator. They are not shown again.
    recovery_codes: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AccountIdentity {
    /// The provider.
    provider: String,
    /// What the provider calls the person.
    subject: String,
    /// What the provider said.
    email: Option<String>,
    /// RFC 3339.
    linked_at: String,
}

impl From<LinkedIdentity> for AccountIdentity {
    fn from(identity: LinkedIdentity) -> Self {
        AccountIdentity {
            provider: identity.provider,
            subject: identity.subject,
            email: identity.email,
            linked_at: time(identity.linked_at),
        }
    }
}

pub(super) fn routes() -> OpenApiRouter<Accounts> {
    OpenApiRouter::new()
        .routes(routes!(account, delete_account))
        .routes(routes!(export))
        .routes(routes!(change_password))
        .routes(routes!(change_email))
        .routes(routes!(resend_confirmation))
        .routes(routes!(logins, end_other_logins))
        .routes(routes!(end_login))
        .routes(routes!(factor, begin_factor))
        .routes(routes!(confirm_factor))
        .routes(routes!(renew_recovery_codes))
        .routes(routes!(remove_factor))
        .routes(routes!(identities))
        .routes(routes!(unlink))
}

/// See one's own account
#[utoipa::path(
    get, path = "/account", tag = "account", operation_id = "getAccount", security(("bearer" = [])),
    responses((status = 200, description = "The account", body = Account))
)]
async fn account(
    State(accounts): State<Accounts>,
    Player(identity): Player,
) -> Result<Json<Account>, ApiError> {
    Ok(Json(Account::from(&accounts.account(&identity).await?)))
}

/// Delete one's own account
///
/// At once and for good. What others played with it stays, under nobody's name.
#[utoipa::path(
    delete, path = "/account", tag = "account", operation_id = "deleteAccount", security(("bearer" = [])),
    request_body = PasswordShown, responses((status = 204, description = "It is gone"))
)]
async fn delete_account(
    State(accounts): State<Accounts>,
    Player(identity): Player,
    Json(shown): Json<PasswordShown>,
) -> Result<StatusCode, ApiError> {
    accounts.step_up(&identity, &shown.password).await?;
    let id = identity.id.to_string();
    accounts.delete(&Principal::Player(identity), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All that is kept of one's own account
#[utoipa::path(
    get, path = "/account/export", tag = "account", operation_id = "exportAccount", security(("bearer" = [])),
    responses((status = 200, description = "All of it, as JSON", body = Value))
)]
async fn export(State(accounts): State<Accounts>, Player(identity): Player) -> Result<Json<Value>, ApiError> {
    Ok(Json(accounts.export(&identity.customer, &identity.id).await?))
}

/// Change the password
///
/// All other logins end.
#[utoipa::path(
    put, path = "/account/password", tag = "account", operation_id = "changePassword", security(("bearer" = [])),
    request_body = PasswordChange, responses((status = 204, description = "It is changed"))
)]
async fn change_password(
    State(accounts): State<Accounts>,
    Player(identity): Player,
    Json(change): Json<PasswordChange>,
) -> Result<StatusCode, ApiError> {
    accounts.change_password(&identity, &change.old_password, &change.new_password).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Change the e-mail address
///
/// An address that was confirmed stays until the new one is, and is told of it. Accounts with a second factor show a code of
/// it: `SECOND_FACTOR_REQUIRED` without one.
#[utoipa::path(
    put, path = "/account/email", tag = "account", operation_id = "changeEmail", security(("bearer" = [])),
    request_body = EmailChange, responses((status = 204, description = "A mail is on its way to it"))
)]
async fn change_email(
    State(accounts): State<Accounts>,
    Player(identity): Player,
    Json(change): Json<EmailChange>,
) -> Result<StatusCode, ApiError> {
    let code = change.code.as_deref();
    accounts.change_email(&identity, &change.password, code, &change.email).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Send the confirmation of the e-mail address again
#[utoipa::path(
    post, path = "/account/email/confirmation", tag = "account", operation_id = "resendConfirmation",
    security(("bearer" = [])), responses((status = 204, description = "It is sent, if it is due"))
)]
async fn resend_confirmation(
    State(accounts): State<Accounts>,
    Player(identity): Player,
) -> Result<StatusCode, ApiError> {
    accounts.resend_confirmation(&identity).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where one is signed in
#[utoipa::path(
    get, path = "/account/logins", tag = "account", operation_id = "listLogins", security(("bearer" = [])),
    responses((status = 200, description = "Open logins, the newest first", body = Vec<AccountLogin>))
)]
async fn logins(
    State(accounts): State<Accounts>,
    Player(identity): Player,
) -> Result<Json<Vec<AccountLogin>>, ApiError> {
    let logins = accounts.logins(&identity).await?;
    Ok(Json(logins.iter().map(|login| AccountLogin::new(login, &identity.login)).collect()))
}

/// Sign out everywhere else
#[utoipa::path(
    delete, path = "/account/logins", tag = "account", operation_id = "endOtherLogins", security(("bearer" = [])),
    responses((status = 200, description = "How many ended", body = Ended))
)]
async fn end_other_logins(
    State(accounts): State<Accounts>,
    Player(identity): Player,
) -> Result<Json<Ended>, ApiError> {
    Ok(Json(Ended { ended: accounts.end_logins(&identity, true).await? }))
}

/// Sign out somewhere
#[utoipa::path(
    delete, path = "/account/logins/{id}", tag = "account", operation_id = "endLogin", security(("bearer" = [])),
    params(("id" = String, Path, description = "A login")),
    responses((status = 204, description = "It ended, with its sockets"))
)]
async fn end_login(
    State(accounts): State<Accounts>,
    Player(identity): Player,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    accounts.end_login(&identity, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether there is a second factor
#[utoipa::path(
    get, path = "/account/factor", tag = "account", operation_id = "getFactor", security(("bearer" = [])),
    responses((status = 200, description = "What there is", body = FactorStatus))
)]
async fn factor(
    State(accounts): State<Accounts>,
    Player(identity): Player,
) -> Result<Json<FactorStatus>, ApiError> {
    let (enabled, recovery_codes) = accounts.factor_status(&identity).await?;
    Ok(Json(FactorStatus { enabled, recovery_codes }))
}

/// Begin an authenticator
#[utoipa::path(
    post, path = "/account/factor", tag = "account", operation_id = "beginFactor", security(("bearer" = [])),
    request_body = PasswordShown, responses((status = 200, description = "For the authenticator", body = FactorBegun))
)]
async fn begin_factor(
    State(accounts): State<Accounts>,
    Player(identity): Player,
    Json(shown): Json<PasswordShown>,
) -> Result<Json<FactorBegun>, ApiError> {
    Ok(Json(FactorBegun { url: accounts.begin_factor(&identity, &shown.password).await? }))
}

/// Show the first code of an authenticator
///
/// From now on it is asked for. All other logins end.
#[utoipa::path(
    post, path = "/account/factor/confirm", tag = "account", operation_id = "confirmFactor",
    security(("bearer" = [])), request_body = CodeShown,
    responses((status = 200, description = "For when the authenticator is lost", body = RecoveryCodes))
)]
async fn confirm_factor(
    State(accounts): State<Accounts>,
    Player(identity): Player,
    Json(shown): Json<CodeShown>,
) -> Result<Json<RecoveryCodes>, ApiError> {
    Ok(Json(RecoveryCodes { recovery_codes: accounts.confirm_factor(&identity, &shown.code).await? }))
}

/// Get new recovery codes
#[utoipa::path(
    post, path = "/account/factor/recovery-codes", tag = "account", operation_id = "renewRecoveryCodes",
    security(("bearer" = [])), request_body = CodeShown,
    responses((status = 200, description = "In the place of the old ones", body = RecoveryCodes))
)]
async fn renew_recovery_codes(
    State(accounts): State<Accounts>,
    Player(identity): Player,
    Json(shown): Json<CodeShown>,
) -> Result<Json<RecoveryCodes>, ApiError> {
    Ok(Json(RecoveryCodes { recovery_codes: accounts.renew_recovery_codes(&identity, &shown.code).await? }))
}

/// Remove the authenticator
#[utoipa::path(
    post, path = "/account/factor/remove", tag = "account", operation_id = "removeFactor",
    security(("bearer" = [])), request_body = CodeShown,
    responses((status = 204, description = "It is not asked for any more"))
)]
async fn remove_factor(
    State(accounts): State<Accounts>,
    Player(identity): Player,
    Json(shown): Json<CodeShown>,
) -> Result<StatusCode, ApiError> {
    accounts.remove_factor(&identity, &shown.code).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What else opens the account
#[utoipa::path(
    get, path = "/account/identities", tag = "account", operation_id = "listIdentities", security(("bearer" = [])),
    responses((status = 200, description = "Identities of providers", body = Vec<AccountIdentity>))
)]
async fn identities(
    State(accounts): State<Accounts>,
    Player(identity): Player,
) -> Result<Json<Vec<AccountIdentity>>, ApiError> {
    let all = accounts.identities(&identity).await?;
    Ok(Json(all.into_iter().map(Into::into).collect()))
}

/// Unlink a provider
#[utoipa::path(
    delete, path = "/account/identities/{provider}", tag = "account", operation_id = "unlinkIdentity",
    security(("bearer" = [])), params(("provider" = String, Path, description = "A provider")),
    responses((status = 204, description = "It opens this account no more"))
)]
async fn unlink(
    State(accounts): State<Accounts>,
    Player(identity): Player,
    Path(provider): Path<String>,
) -> Result<StatusCode, ApiError> {
    accounts.unlink(&identity, &provider).await?;
    Ok(StatusCode::NO_CONTENT)
}
