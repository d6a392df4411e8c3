use crate::{ApiError, Json, Path, Player};
use axum::extract::State;
use everplay_accounts::{Accounts, Profile, ProfileChange};
use everplay_types::CustomerId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What everybody may see of an account.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserProfile {
    /// The account.
    #[schema(example = "3e0c6c1e-6f0e-4b57-a2a1-1d4b1f0f4f55")]
    pub id: String,
    /// Unique.
    pub username: String,
    /// Shown to others; not unique.
    pub display_name: String,
    /// A picture; `https`.
    pub avatar_url: Option<String>,
    /// For regional boards.
    pub region: Option<String>,
    /// Whether nobody can sign in to it again.
    pub guest: bool,
    /// RFC 3339.
    pub created_at: String,
}

impl From<Profile> for UserProfile {
    fn from(profile: Profile) -> Self {
        UserProfile {
            id: profile.id,
            username: profile.username,
            display_name: profile.display_name,
            avatar_url: profile.avatar_url,
            region: profile.region,
            guest: profile.guest,
            created_at: super::time(profile.created_at),
        }
    }
}

/// What changes of a profile; what is left out stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ProfileUpdate {
    /// 3 to 50 letters, digits, `_`, `-` and `.`; unique without regard to case.
    username: Option<String>,
    /// 1 to 50 printable characters of any script.
    display_name: Option<String>,
    /// An `https` URL of at most 500 characters; empty removes it.
    avatar_url: Option<String>,
    /// 2 to 20 lower-case letters, digits and `-`; empty removes it.
    region: Option<String>,
}

pub(super) fn routes() -> OpenApiRouter<Accounts> {
    OpenApiRouter::new().routes(routes!(profile, change_profile))
}

/// See a profile
///
/// `me` is the account that asks.
#[utoipa::path(
    get, path = "/users/{id}", tag = "users", operation_id = "getUser",
    params(("id" = String, Path, description = "An account, or `me`")),
    responses((status = 200, description = "The profile", body = UserProfile))
)]
async fn profile(
    State(accounts): State<Accounts>,
    who: crate::MaybePlayer,
    Path(id): Path<String>,
) -> Result<Json<UserProfile>, ApiError> {
    let (customer, id) = match who.0 {
        Some(identity) if id == "me" => (identity.customer, identity.id.to_string()),
        None if id == "me" => return Err(ApiError::unauthenticated()),
        Some(identity) => (identity.customer, id),
        None => (CustomerId::default(), id),
    };
    Ok(Json(accounts.profile(&customer, &id).await?.into()))
}

/// Change one's own profile
#[utoipa::path(
    put, path = "/users/{id}", tag = "users", operation_id = "putUser", security(("bearer" = [])),
    params(("id" = String, Path, description = "The account that asks, or `me`")),
    request_body = ProfileUpdate,
    responses((status = 200, description = "The profile as it is now", body = UserProfile))
)]
async fn change_profile(
    State(accounts): State<Accounts>,
    Player(identity): Player,
    Path(id): Path<String>,
    Json(update): Json<ProfileUpdate>,
) -> Result<Json<UserProfile>, ApiError> {
    if id != "me" && id != identity.id.as_str() {
        return Err(ApiError::forbidden("this is somebody else's profile"));
    }
    let change = ProfileChange {
        username: update.username,
        display_name: update.display_name,
        avatar_url: update.avatar_url,
        region: update.region,
    };
    Ok(Json(accounts.change_profile(&identity, &change).await?.into()))
}
