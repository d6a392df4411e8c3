//! Pages behind the links in mails. Opening a link changes nothing: mail programs open links by themselves. Whoever
//! presses the button does.
//!
//! The style sheet is a file beside them; nothing runs.

use super::customer;
use crate::error::ErrorEnvelope;
use crate::{ApiError, Form, Query};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use everplay_accounts::{AccountError, Accounts};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Link {
    /// As the mail had it.
    #[serde(default)]
    token: String,
}

#[derive(Debug, Deserialize, ToSchema)]
struct Confirmation {
    /// As the mail had it.
    token: String,
}

#[derive(Debug, Deserialize, ToSchema)]
struct NewPassword {
    /// As the mail had it.
    token: String,
    /// At least 8 characters.
    password: String,
}

pub(super) fn routes() -> OpenApiRouter<Accounts> {
    OpenApiRouter::new()
        .routes(routes!(confirm_page, confirm))
        .routes(routes!(reset_page, reset))
        .route("/auth/page.css", axum::routing::get(style))
}

/// The page behind the link that confirms an address
#[utoipa::path(
    get, path = "/auth/confirm-email", tag = "auth", operation_id = "confirmEmailPage", params(Link),
    responses((status = 200, description = "A page with a button", content_type = "text/html"))
)]
async fn confirm_page(Query(link): Query<Link>) -> Response<Body> {
    page(
        StatusCode::OK,
        "Confirm your address",
        &format!(
            "<p>Then you can have a forgotten password replaced, and are told of answers to your tickets.</p>\
             <form method=post>{}<button>Confirm</button></form>",
            hidden(&link.token)
        ),
    )
}

/// Confirm an address
#[utoipa::path(
    post, path = "/auth/confirm-email", tag = "auth", operation_id = "confirmEmail",
    request_body(content = Confirmation, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "It is confirmed", content_type = "text/html"),
        (status = 400, description = "The link is used up or too old", content((String = "text/html"), (ErrorEnvelope = "application/json"))),
    )
)]
async fn confirm(
    State(accounts): State<Accounts>,
    Form(form): Form<Confirmation>,
) -> Result<Response<Body>, ApiError> {
    match accounts.confirm_email(&customer(), &form.token).await {
        Ok(()) => {
            let text = format!("<p role=status>Your e-mail address is confirmed.</p>{ARCADE}");
            Ok(page(StatusCode::OK, "Thank you", &text))
        }
        Err(AccountError::WrongCode | AccountError::NotFound(_)) => Ok(too_old(ACCOUNT)),
        Err(error) => Err(error.into()),
    }
}

/// The page behind the link that resets a password
#[utoipa::path(
    get, path = "/auth/reset-password", tag = "auth", operation_id = "resetPasswordPage", params(Link),
    responses(
        (status = 200, description = "A page with a form", content_type = "text/html"),
        (status = 400, description = "The link is used up or too old", content((String = "text/html"), (ErrorEnvelope = "application/json"))),
    )
)]
async fn reset_page(
    State(accounts): State<Accounts>,
    Query(link): Query<Link>,
) -> Result<Response<Body>, ApiError> {
    if !accounts.reset_is_open(&customer(), &link.token).await? {
        return Ok(too_old(FORGOT));
    }
    Ok(reset_form(StatusCode::OK, &link.token, None))
}

/// Choose a new password
///
/// All logins of the account end.
#[utoipa::path(
    post, path = "/auth/reset-password", tag = "auth", operation_id = "resetPassword",
    request_body(content = NewPassword, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "It is changed", content_type = "text/html"),
        (status = 400, description = "The link is too old, or the password is not taken", content((String = "text/html"), (ErrorEnvelope = "application/json"))),
    )
)]
async fn reset(
    State(accounts): State<Accounts>,
    Form(form): Form<NewPassword>,
) -> Result<Response<Body>, ApiError> {
    match accounts.reset_password(&customer(), &form.token, &form.password).await {
        Ok(()) => {
            let text = format!(
                "<p role=status>Your password is changed. You are signed out everywhere; sign in with the new one.</p>\
                 {SIGN_IN}"
            );
            Ok(page(StatusCode::OK, "Thank you", &text))
        }
        Err(AccountError::WrongCode | AccountError::NotFound(_)) => Ok(too_old(FORGOT)),
        Err(AccountError::Password(problem)) => {
            Ok(reset_form(StatusCode::BAD_REQUEST, &form.token, Some(&problem.to_string())))
        }
        Err(error) => Err(error.into()),
    }
}

fn reset_form(status: StatusCode, token: &str, problem: Option<&str>) -> Response<Body> {
    let (said, about) = match problem {
        None => (String::new(), "hint"),
        Some(problem) => {
            let said = format!(
                "<p class=problem id=problem role=alert>Choose another one: {}.</p>",
                escape(problem)
            );
            (said, "problem hint\" aria-invalid=\"true")
        }
    };
    let form = format!(
        "<form method=post>{}<label for=password>New password</label><input type=password id=password name=password \
         minlength=8 autocomplete=new-password required autofocus aria-describedby=\"{about}\"><p id=hint>8 characters \
         at least.</p>{said}<button>Change it</button></form>",
        hidden(token)
    );
    page(status, "Choose a new password", &form)
}

/// Where pages of the arcade are, for those who are done here.
const ARCADE: &str = "<a class=button href=\"/#/\">To the arcade</a>";
const SIGN_IN: &str = "<a class=button href=\"/#/sign-in\">Sign in</a>";
const FORGOT: &str =
    "<a class=button href=\"/#/forgot\">Ask for a new link</a><a href=\"/#/sign-in\">Sign in</a>";
/// Where the mail that confirms an address is sent again.
const ACCOUNT: &str = "<a class=button href=\"/#/account\">Ask for a new link in the settings</a>";

/// The end of a link; `next` is HTML.
fn too_old(next: &str) -> Response<Body> {
    let text = format!("<p>It was used, or it is too old.</p>{next}");
    page(StatusCode::BAD_REQUEST, "This link does not work", &text)
}

fn hidden(token: &str) -> String {
    format!("<input type=hidden name=token value=\"{}\">", escape(token))
}

/// Text in HTML, also between quotes.
pub(super) fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

/// The way to the arcade, with its mark.
const BRAND: &str = "<a href=\"/#/\" aria-label=\"Everplay, to the arcade\"><svg viewBox=\"0 0 32 32\" aria-hidden=true>\
                     <path d=\"M6 6l9 9M15 6l-9 9\"/><circle cx=22.5 cy=22.5 r=5 /><path class=dim d=\"M20 8h6M23 \
                     5v6M6 22.5h9\"/></svg><span>Everplay</span></a>";

async fn style() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, include_str!("page.css"))
}

const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A page of ours in the look of the arcade. `body` is HTML.
pub(super) fn page(status: StatusCode, title: &str, body: &str) -> Response<Body> {
    let html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width, \
         initial-scale=1\"><meta name=color-scheme content=dark><title>{title} · Everplay</title><link rel=stylesheet \
         href=\"/auth/page.css\"><header>{BRAND}</header><main><h1>{title}</h1>{body}</main>"
    );
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

#[cfg(test)]
mod tests {
    #[test]
    fn markup_is_text() {
        assert_eq!(super::escape("<a b=\"c\" d='e'>&"), "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;");
    }
}
