//! Cross-site request forgery: a page of somebody else makes a browser send what its user did not ask for.
//!
//! Tokens travel in `Authorization`, which no foreign page can make a browser add; cookies travel by themselves. So a
//! request that changes something and brings a cookie must come from our own page: the browser says so in
//! `Sec-Fetch-Site`, or, when it is too old for that, in `Origin`.

use crate::ApiError;
use axum::http::{HeaderMap, Method, header};

/// Refuses a changing request that a foreign page may have caused.
pub(crate) fn check(method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    let safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
    if safe || !headers.contains_key(header::COOKIE) || headers.contains_key(header::AUTHORIZATION) {
        return Ok(());
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let ours = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let origin = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            origin.is_some() && origin == text("host")
        }
        // No browser sends a cookie with a changing request and neither of the two.
        (None, None) => false,
    };
    if ours {
        return Ok(());
    }
    let mut refusal = ApiError::forbidden("this request came from another site");
    refusal.code = "CROSS_SITE";
    Err(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(method: Method, headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        check(&method, &headers.collect()).is_err()
    }

    #[test]
    fn a_cookie_from_another_site_changes_nothing() {
        let cookie = ("cookie", "a=b");
        for bad in [
            [("sec-fetch-site", "cross-site"), ("host", "a.example")],
            [("sec-fetch-site", "same-site"), ("host", "a.example")],
            [("origin", "null"), ("host", "a.example")],
            [("origin", "https://b.a.example"), ("host", "a.example")],
            [("origin", "https://a.example.evil"), ("host", "a.example")],
            [("x-nothing", ""), ("host", "a.example")],
        ] {
            for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                assert!(refused(method, &[cookie, bad[0], bad[1]]), "{bad:?}");
            }
            assert!(!refused(Method::GET, &[cookie, bad[0], bad[1]]));
            assert!(!refused(Method::POST, &bad), "without a cookie there is nothing to forge: {bad:?}");
        }
        assert!(!refused(Method::POST, &[cookie, ("sec-fetch-site", "same-origin")]));
        assert!(!refused(Method::POST, &[cookie, ("origin", "https://a.example"), ("host", "a.example")]));
        assert!(!refused(Method::POST, &[cookie, ("authorization", "Bearer x"), ("origin", "null")]));
    }
}
