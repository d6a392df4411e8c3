//! What is told of a problem: a code and a sentence; never what a store or a provider said.

use crate::ApiError;
use axum::http::StatusCode;
use everplay_accounts::{AccountError, SocialProblem, StoreError};
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
            AccountError::Busy => ApiError::overloaded("the password check"),
            AccountError::Social(problem) => match problem {
                SocialProblem::Unknown => ApiError::not_found("provider"),
                SocialProblem::Away(_) => ApiError::unavailable("the provider"),
                _ => answer(StatusCode::UNAUTHORIZED, "PROVIDER_REFUSED"),
            },
            AccountError::Store(error) => {
                tracing::warn!(%error, "the account store did not answer");
                match error {
                    StoreError::Exhausted => ApiError::overloaded("the account store"),
                    StoreError::TimedOut => ApiError::timed_out(),
                    StoreError::Unavailable(_) => ApiError::database_unavailable("the account store"),
                    // Whoever adds a row is told that it is taken; elsewhere nothing is added.
                    StoreError::Taken => ApiError::internal(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_fails_with_has_a_code_of_its_own() {
        let told = |error: StoreError| {
            let refusal = ApiError::from(AccountError::from(error));
            (refusal.status.as_u16(), refusal.code, refusal.retry_after.is_some())
        };
        let lost = || StoreError::Unavailable("connection refused by 10.0.0.1".to_owned());
        assert!(!ApiError::from(AccountError::from(lost())).message.contains("10.0.0.1"));
        assert_eq!(told(lost()), (503, "DATABASE_UNAVAILABLE", true));
        assert_eq!(told(StoreError::Exhausted), (503, "OVERLOADED", true));
        assert_eq!(told(StoreError::TimedOut), (503, "TIMEOUT", true));
        assert_eq!(told(StoreError::Taken), (500, "INTERNAL", false));
        assert_eq!(ApiError::from(AccountError::Busy).code, "OVERLOADED");
    }
}
