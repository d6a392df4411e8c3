//! The API document, made from the handlers, and a page to read it.

use crate::error::{ErrorBody, ErrorEnvelope};
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa::{OpenApi as _, PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

/// Where the document is.
pub const DOCUMENT_PATH: &str = "/openapi.json";

/// Where the page that shows it is.
pub const PAGE_PATH: &str = "/docs/api";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Everplay",
        description = "REST services beside the rooms. Rooms themselves are joined with the Colyseus SDKs.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    components(schemas(ErrorEnvelope, ErrorBody))
)]
struct Head;

pub(crate) fn begin() -> OpenApiRouter {
    OpenApiRouter::with_openapi(Head::openapi())
}

/// Adds what holds for every route: how to prove who asks, and that every refusal is the envelope.
pub(crate) fn finish(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An access token of a player, or the key of a server"))
        .build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    components.schemas.entry(ErrorEnvelope::name().into_owned()).or_insert_with(ErrorEnvelope::schema);
    for item in document.paths.paths.values_mut() {
        let operations =
            [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch, &mut item.head];
        for operation in operations.into_iter().flatten() {
            operation.responses.responses.entry("default".to_owned()).or_insert_with(|| {
                let schema = Ref::from_schema_name(ErrorEnvelope::name());
                let content = ContentBuilder::new().schema(Some(schema)).build();
                let response =
                    ResponseBuilder::new().description("Refused").content("application/json", content);
                RefOr::T(response.build())
            });
        }
    }
    document
}

pub(crate) fn routes(document: &OpenApi) -> Router {
    let text = document.to_json().expect("a document is JSON");
    let json = move || {
        let text = text.clone();
        async move { ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text) }
    };
    let page = || async { file("text/html; charset=utf-8", include_str!("document/page.html")) };
    let script = || async { file("text/javascript; charset=utf-8", include_str!("document/page.js")) };
    let style = || async { file("text/css; charset=utf-8", include_str!("document/page.css")) };
    Router::new()
        .route(DOCUMENT_PATH, get(json))
        .route(PAGE_PATH, get(page))
        .route("/docs/api/page.js", get(script))
        .route("/docs/api/page.css", get(style))
}

/// The page loads only its own files and the document.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

fn file(kind: &'static str, text: &'static str) -> axum::response::Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}
