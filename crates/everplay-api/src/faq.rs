//! Answers to common questions: for everybody to read and search, for agents to write.

use crate::tickets::TicketCategory;
use crate::{Allowed, ApiError, Json, MaybePlayer, Path, Query, need};
use axum::extract::State;
use axum::http::StatusCode;
use everplay_support::{Category, Faq, FaqArticle as Article, FaqError, LIMITS, NewArticle};
use everplay_types::timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Articles of an answer when nobody says, and at most.
const ARTICLES: (u32, u32) = (50, 500);
/// Suggestions when nobody says, and at most.
const SUGGESTIONS: (u32, u32) = (5, 20);

/// The routes: `/faq`.
pub fn routes(faq: Faq) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(suggest))
        .routes(routes!(article, write, hide))
        .with_state(faq)
}

/// A question and its answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FaqArticle {
    /// Its name in addresses.
    #[schema(example = "forgot-password")]
    pub slug: String,
    /// The question.
    pub title: String,
    /// What it is about.
    pub category: TicketCategory,
    /// Further words it is found by.
    pub words: Vec<String>,
    /// The answer, Markdown.
    pub text: String,
    /// RFC 3339; null: as it came with the program.
    pub updated_at: Option<String>,
    /// Rises with every change; 0: as it came with the program.
    pub version: u64,
}

/// A question.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FaqTitle {
    /// Its name in addresses.
    #[schema(example = "forgot-password")]
    pub slug: String,
    /// The question.
    pub title: String,
    /// What it is about.
    pub category: TicketCategory,
}

/// Questions and answers.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FaqList {
    /// Best first when something was searched for, else by name.
    pub articles: Vec<FaqArticle>,
}

/// Questions.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FaqSuggestions {
    /// Best first.
    pub suggestions: Vec<FaqTitle>,
}

/// An article to be written.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WrittenArticle {
    /// The question, on one line.
    #[schema(min_length = 5, max_length = 200)]
    title: String,
    /// What it is about.
    category: TicketCategory,
    /// Further words it is found by; at most 30 of 40 characters.
    #[serde(default)]
    #[schema(max_items = 30)]
    words: Vec<String>,
    /// The answer, Markdown.
    #[schema(min_length = 10, max_length = 20000)]
    text: String,
    /// The version you saw, 0 when there was none of yours; when there is another one meanwhile, the answer is 409.
    version: Option<u64>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
struct FaqQuery {
    /// Only those with words of this text, best first.
    #[param(max_length = 200)]
    q: Option<String>,
    /// Only those about this.
    #[param(inline)]
    category: Option<TicketCategory>,
    /// Articles, 1 to 500. Default 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct SuggestQuery {
    /// What was typed so far; the last word may be a beginning.
    #[param(max_length = 200)]
    q: String,
    /// Suggestions, 1 to 20. Default 5.
    #[param(minimum = 1, maximum = 20)]
    limit: Option<u32>,
}

impl From<Article> for FaqArticle {
    fn from(article: Article) -> Self {
        FaqArticle {
            slug: article.slug,
            title: article.title,
            category: article.category.into(),
            words: article.words,
            text: article.text,
            updated_at: article.updated_at.map(timestamp),
            version: article.version,
        }
    }
}

impl From<Article> for FaqTitle {
    fn from(article: Article) -> Self {
        FaqTitle { slug: article.slug, title: article.title, category: article.category.into() }
    }
}

impl From<FaqError> for ApiError {
    fn from(error: FaqError) -> Self {
        let message = error.to_string();
        match error {
            FaqError::NotFound => ApiError::not_found("article"),
            FaqError::Field { field, problem } => ApiError::invalid_field(field, problem),
            FaqError::Outdated(version) => {
                ApiError::conflict("VERSION_CONFLICT", message).details(json!({ "version": version }))
            }
            FaqError::Full => ApiError::conflict("CONFLICT", message),
            FaqError::Store(error) => error.into(),
        }
    }
}

fn bounded(limit: Option<u32>, (usual, most): (u32, u32)) -> Result<usize, ApiError> {
    let limit = limit.unwrap_or(usual);
    if (1..=most).contains(&limit) {
        Ok(limit as usize)
    } else {
        Err(ApiError::invalid_field("limit", format!("1 to {most} at a time")))
    }
}

fn searched(text: &str) -> Result<&str, ApiError> {
    if text.len() > LIMITS.search {
        return Err(ApiError::invalid_field("q", format!("at most {} bytes", LIMITS.search)));
    }
    Ok(text)
}

/// List answers to common questions
#[utoipa::path(
    get, path = "/faq", tag = "support", operation_id = "listFaq", params(FaqQuery),
    responses((status = 200, description = "The articles", body = FaqList))
)]
async fn list(
    State(faq): State<Faq>,
    who: MaybePlayer,
    Query(query): Query<FaqQuery>,
) -> Result<Json<FaqList>, ApiError> {
    let limit = bounded(query.limit, ARTICLES)?;
    let customer = who.0.map(|identity| identity.customer).unwrap_or_default();
    let found = match &query.q {
        Some(text) => faq.search(&customer, searched(text)?, usize::MAX).await,
        None => faq.all(&customer).await.to_vec(),
    };
    let category = query.category.map(Category::from);
    let fits = |article: &Article| category.is_none_or(|category| article.category == category);
    let articles = found.into_iter().filter(fits).take(limit).map(FaqArticle::from).collect();
    Ok(Json(FaqList { articles }))
}

/// Suggest answers while somebody types
#[utoipa::path(
    get, path = "/faq/suggestions", tag = "support", operation_id = "suggestFaq", params(SuggestQuery),
    responses((status = 200, description = "The best articles", body = FaqSuggestions))
)]
async fn suggest(
    State(faq): State<Faq>,
    who: MaybePlayer,
    Query(query): Query<SuggestQuery>,
) -> Result<Json<FaqSuggestions>, ApiError> {
    let limit = bounded(query.limit, SUGGESTIONS)?;
    let customer = who.0.map(|identity| identity.customer).unwrap_or_default();
    let found = faq.search(&customer, searched(&query.q)?, limit).await;
    Ok(Json(FaqSuggestions { suggestions: found.into_iter().map(FaqTitle::from).collect() }))
}

/// See an answer
#[utoipa::path(
    get, path = "/faq/{slug}", tag = "support", operation_id = "getFaqArticle",
    params(("slug" = String, Path, description = "An article")),
    responses((status = 200, description = "The article", body = FaqArticle))
)]
async fn article(
    State(faq): State<Faq>,
    who: MaybePlayer,
    Path(slug): Path<String>,
) -> Result<Json<FaqArticle>, ApiError> {
    let customer = who.0.map(|identity| identity.customer).unwrap_or_default();
    Ok(Json(faq.get(&customer, &slug).await?.into()))
}

/// Write an answer
///
/// Also over one that comes with the program.
#[utoipa::path(
    put, path = "/faq/{slug}", tag = "support", operation_id = "writeFaqArticle", security(("bearer" = [])),
    params(("slug" = String, Path, description = "2 to 60 lower-case letters, digits and hyphens")),
    request_body = WrittenArticle,
    responses((status = 200, description = "Needs tickets:answer", body = FaqArticle))
)]
async fn write(
    State(faq): State<Faq>,
    Allowed(by, _): Allowed<need::TicketsAnswer>,
    Path(slug): Path<String>,
    Json(body): Json<WrittenArticle>,
) -> Result<Json<FaqArticle>, ApiError> {
    let new = NewArticle {
        title: body.title,
        category: body.category.into(),
        words: body.words,
        text: body.text,
        version: body.version,
    };
    Ok(Json(faq.write(by.customer(), &by.actor(), &slug, new).await?.into()))
}

/// Take an answer away
#[utoipa::path(
    delete, path = "/faq/{slug}", tag = "support", operation_id = "hideFaqArticle", security(("bearer" = [])),
    params(("slug" = String, Path, description = "An article")),
    responses((status = 204, description = "Needs tickets:answer"))
)]
async fn hide(
    State(faq): State<Faq>,
    Allowed(by, _): Allowed<need::TicketsAnswer>,
    Path(slug): Path<String>,
) -> Result<StatusCode, ApiError> {
    faq.hide(by.customer(), &by.actor(), &slug).await?;
    Ok(StatusCode::NO_CONTENT)
}
