//! Requests to providers: bounded in time and size, never redirected.

use super::SocialProblem;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Largest answer; key sets of large providers have a few KiB.
const BYTES: usize = 256 << 10;

pub(super) struct Fetch(Option<reqwest::Client>);

impl Fetch {
    pub(super) fn new() -> Self {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .connect_timeout(Duration::from_secs(3))
            // A redirect would send the secret, or us, to somewhere nobody named.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("everplay")
            .build();
        Fetch(
            client
                .inspect_err(|error| tracing::error!(%error, "no HTTP client: providers cannot be asked"))
                .ok(),
        )
    }

    fn client(&self, url: &str) -> Result<&reqwest::Client, SocialProblem> {
        if !is_safe(url) {
            return Err(SocialProblem::Proof(format!("{url} is not https")));
        }
        self.0.as_ref().ok_or_else(|| SocialProblem::Away("there is no HTTP client".to_owned()))
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        url: &str,
        bearer: Option<&str>,
    ) -> Result<T, SocialProblem> {
        let mut request = self.client(url)?.get(url).header("accept", "application/json");
        if let Some(token) = bearer {
            request = request.bearer_auth(token);
        }
        read(url, request).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        url: &str,
        form: &[(&str, &str)],
        basic: Option<(&str, &str)>,
    ) -> Result<T, SocialProblem> {
        let encoded = |text: &str| -> String {
            let pairs = [("", text)];
            let mut url = reqwest::Url::parse("https://x.invalid").expect("a constant");
            url.query_pairs_mut().extend_pairs(pairs);
            url.query().unwrap_or_default().trim_start_matches('=').to_owned()
        };
        let mut url_of_form = reqwest::Url::parse("https://x.invalid").expect("a constant");
        url_of_form.query_pairs_mut().extend_pairs(form);
        let body = url_of_form.query().unwrap_or_default().to_owned();
        let mut request = self
            .client(url)?
            .post(url)
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        if let Some((id, secret)) = basic {
            // RFC 6749, 2.3.1: both are form-encoded before they are joined.
            request = request.basic_auth(encoded(id), Some(encoded(secret)));
        }
        read(url, request).await
    }
}

async fn read<T: DeserializeOwned>(url: &str, request: reqwest::RequestBuilder) -> Result<T, SocialProblem> {
    let away = |error: reqwest::Error| SocialProblem::Away(error.without_url().to_string());
    let mut response = request.send().await.map_err(away)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(away)? {
        body.extend_from_slice(&chunk);
        if body.len() > BYTES {
            return Err(SocialProblem::Proof(format!("{url} answers without end")));
        }
    }
    if !status.is_success() {
        let problem = format!("{url} answers {status}");
        return Err(if status.is_server_error() {
            SocialProblem::Away(problem)
        } else {
            SocialProblem::Proof(problem)
        });
    }
    serde_json::from_slice(&body).map_err(|error| SocialProblem::Proof(format!("{url}: {error}")))
}

/// `https`, or `http` on this machine, for development.
fn is_safe(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let local = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    url.scheme() == "https" || (url.scheme() == "http" && local)
}

#[cfg(test)]
mod tests {
    use super::is_safe;

    #[test]
    fn secrets_travel_encrypted_or_not_at_all() {
        assert!(is_safe("https://a.example/token") && is_safe("http://127.0.0.1:9/token"));
        for bad in
            ["http://a.example/token", "http://127.0.0.1.evil.example", "file:///etc/passwd", "ftp://a", "x"]
        {
            assert!(!is_safe(bad), "{bad}");
        }
    }
}
