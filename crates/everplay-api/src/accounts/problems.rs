//! What is told of a problem: a code and a sentence; never what a store or a provider said.

use crate::ApiError;
use axum::http::StatusCode;
use everplay_accounts::{AccountError, SocialProblem};
use serde_json::json;

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        let message = error.to_string();
        let answer = |status, code| ApiError::new(status, code, message.clone());
        match error {
            AccountError::InvalidCredentials => answer(StatusCode::UNAUTHORIZED, "INVALID_CREDENTIALS"),
            AccountError::Throttled(wait) => ApiError::too_many(message, wait),
            AccountError::Banned { reason, until } => answer(StatusCode::FORBIDDEN, "BANNED")
                .details(json!({ "reason": reason, "until": until.map(super::time) })),
            AccountError::EmailMalformed => ApiError::invalid_field("email", message),
            AccountError::EmailTaken => ApiError::conflict("EMAIL_TAKEN", message),
            AccountError::NameTaken => ApiError::conflict("NAME_TAKEN", message),
            AccountError::Password(problem) => ApiError::invalid_field("password", problem.to_string()),
            AccountError::Field { field, problem } => ApiError::invalid_field(field, problem),
            AccountError::WrongCode => answer(StatusCode::UNAUTHORIZED, "WRONG_CODE"),
            AccountError::FactorRequired => answer(StatusCode::FORBIDDEN, "SECOND_FACTOR_REQUIRED"),
            AccountError::StepUp => answer(StatusCode::FORBIDDEN, "PASSWORD_REQUIRED"),
            AccountError::NotFound(what) => ApiError::not_found(what),
            AccountError::NotAllowed(reason) => ApiError::forbidden(reason),
            AccountError::Conflict(reason) => ApiError::conflict("CONFLICT", reason),
            AccountError::Busy => ApiError::unavailable("the password check"),
            AccountError::Social(problem) => match problem {
                SocialProblem::Unknown => ApiError::not_found("provider"),
                SocialProblem::Away(_) => ApiError::unavailable("the provider"),
                _ => answer(StatusCode::UNAUTHORIZED, "PROVIDER_REFUSED"),
            },
            AccountError::Store(error) => {
                tracing::warn!(%error, "the account store did not answer");
                ApiError::unavailable("the account store")
            }
        }
    }
}
