//! What is tried against sign-in, and what comes of it: each over HTTP, from the attacker's side.
//!
//! Attacks that need no HTTP stand beside what they attack: forged tokens in everplay-accounts/src/token/tests.rs;
//! replayed codes, reused refresh tokens, guessing, pre-made accounts, roles, races and customers in
//! everplay-accounts/tests/services.rs; forged requests of other sites in src/csrf.rs; providers in tests/sdk.

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use everplay_accounts::{AccountStore, Accounts, BoxFuture, Letter, Mailer, Parts, Principal, Sealer};
use everplay_api::auth::Origins;
use everplay_api::{Api, Caller, Layers, RatePolicy};
use everplay_types::{CustomerId, Identity, Role};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PASSWORD: &str = "correct horse battery";

struct Site {
    url: String,
    accounts: Accounts,
    client: Client,
    mail: Arc<Kept>,
    _serving: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Kept(Mutex<Vec<Letter>>);

impl Mailer for Kept {
    fn send(&self, letter: Letter) -> BoxFuture<'_, Result<(), String>> {
        self.0.lock().unwrap().push(letter);
        Box::pin(async { Ok(()) })
    }
}

impl Site {
    async fn open() -> Site {
        Site::with(RatePolicy { account: 100_000, guest: 100_000, burst: 100_000, ..RatePolicy::default() })
            .await
    }

    async fn with(rates: RatePolicy) -> Site {
        let mail = Arc::new(Kept::default());
        let mut parts = Parts::new(AccountStore::memory().await.unwrap(), Sealer::ephemeral());
        parts.mailer = Arc::clone(&mail) as Arc<dyn Mailer>;
        let accounts = Accounts::start(parts).await.unwrap();
        let mut layers = Layers::new(Arc::new(accounts.clone()));
        layers.rates = rates;
        let router = Api::new()
            .service(everplay_api::auth::routes(accounts.clone(), Origins::default()))
            .service(everplay_api::accounts::routes(accounts.clone()))
            .router(layers)
            .layer(from_fn(as_the_edge_does));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        accounts.serve_at(&url);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Site { url, accounts, client, mail, _serving: serving }
    }

    async fn ask(&self, method: Method, path: &str, token: Option<&str>, body: Option<Value>) -> Response {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Response {
        self.ask(Method::POST, path, None, Some(body)).await
    }

    async fn register(&self, email: &str) -> Value {
        let answer = self.post("/auth/register", json!({ "email": email, "password": PASSWORD })).await;
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    async fn login(&self, email: &str, password: &str) -> Response {
        self.post("/auth/login", json!({ "email": email, "password": password })).await
    }

    /// Code and message of a refusal, whose form is checked.
    async fn refusal(&self, answer: Response) -> (u16, String) {
        let status = answer.status().as_u16();
        assert_eq!(answer.headers()["content-type"], "application/json");
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        let body: Value = answer.json().await.unwrap();
        let error = &body["error"];
        assert_eq!(error["requestId"], id, "{body}");
        assert!(error["timestamp"].as_str().unwrap().ends_with('Z') && error["message"].is_string());
        assert!(error.get("details").is_some());
        (status, error["code"].as_str().unwrap().to_owned())
    }
}

/// The test names the address of the caller, as the gateway does.
async fn as_the_edge_does(mut request: Request, next: Next) -> axum::response::Response {
    let ip = request.headers().get("x-test-ip").and_then(|ip| ip.to_str().ok()?.parse().ok());
    let ip = ip.unwrap_or("192.0.2.1".parse().unwrap());
    let request_id = Arc::from(format!("{:016x}", std::ptr::from_ref(&request).addr()));
    request.extensions_mut().insert(Caller { ip, request_id, socket: None });
    next.run(request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_learns_who_has_an_account() {
    let site = Site::open().await;
    site.register("ada@example.com").await;
    // By words.
    let (known, unknown) = (
        site.login("ada@example.com", "wrong words").await,
        site.login("bob@example.com", "wrong words").await,
    );
    assert_eq!(known.status(), unknown.status());
    assert_eq!(known.text().await.unwrap(), unknown.text().await.unwrap());
    for email in ["ada@example.com", "bob@example.com"] {
        let answer = site.post("/auth/forgot-password", json!({ "email": email })).await;
        assert_eq!((answer.status(), answer.text().await.unwrap()), (StatusCode::OK, "true".to_owned()));
    }
    // By time: both hash a password. Medians of few tries on a busy machine say little about microseconds, and enough
    // about the tens of milliseconds that leaving the hash out would make.
    let mut times = [Vec::new(), Vec::new()];
    for n in 0..9 {
        for (times, email) in
            times.iter_mut().zip(["ada@example.com".to_owned(), format!("bob{n}@example.com")])
        {
            let start = Instant::now();
            let ip = format!("198.51.100.{n}");
            let body = json!({ "email": email, "password": "wrong words" });
            let request =
                site.client.post(format!("{}/auth/login", site.url)).header("x-test-ip", ip).json(&body);
            assert_eq!(request.send().await.unwrap().status(), 401);
            times.push(start.elapsed());
        }
    }
    let [known, unknown] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    let ratio = known.as_secs_f64() / unknown.as_secs_f64();
    assert!((0.4..2.5).contains(&ratio), "known {known:?}, unknown {unknown:?}");
    // Registering says it, because a player must know; so it is said ten times an hour to one network.
    let mut said = 0;
    for _ in 0..15 {
        let answer =
            site.post("/auth/register", json!({ "email": "ada@example.com", "password": PASSWORD })).await;
        said += usize::from(answer.status() == 401);
    }
    assert_eq!(said, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stuffing_and_guessing_get_slow() {
    let site = Site::open().await;
    for n in 0..4 {
        site.register(&format!("p{n}@example.com")).await;
    }
    // One network, many addresses.
    let mut last = 0;
    for n in 0..60 {
        last = site.login(&format!("p{n}@example.com"), "a leaked password").await.status().as_u16();
    }
    let answer = site.login("p0@example.com", PASSWORD).await;
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=900).contains(&wait), "{wait}");
    assert_eq!((last, site.refusal(answer).await), (429, (429, "RATE_LIMITED".into())));
    // Many networks, one address: its owner comes in from where they were before.
    for n in 0..110 {
        let body = json!({ "email": "p1@example.com", "password": "a guess" });
        let request =
            site.client.post(format!("{}/auth/login", site.url)).header("x-test-ip", format!("10.0.{n}.1"));
        request.json(&body).send().await.unwrap();
    }
    let from = |ip: &'static str| {
        let body = json!({ "email": "p1@example.com", "password": PASSWORD });
        site.client.post(format!("{}/auth/login", site.url)).header("x-test-ip", ip).json(&body).send()
    };
    assert_eq!(from("10.1.1.1").await.unwrap().status(), 429, "a stranger waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn huge_and_strange_bodies_cost_nothing() {
    let site = Site::open().await;
    let start = Instant::now();
    let huge = site.login("ada@example.com", &"x".repeat(1 << 20)).await;
    assert_eq!(site.refusal(huge).await, (413, "BODY_TOO_LARGE".into()));
    let long = site.login("ada@example.com", &"x".repeat(60_000)).await;
    assert_eq!(long.status(), 401, "refused without hashing");
    assert!(start.elapsed() < Duration::from_secs(5));
    let raw = |body: &'static str, kind: &'static str| {
        site.client.post(format!("{}/auth/login", site.url)).header("content-type", kind).body(body).send()
    };
    for (body, kind, expected) in [
        ("{", "application/json", (400, "INVALID_REQUEST")),
        ("[]", "application/json", (400, "INVALID_REQUEST")),
        ("{}", "application/json", (400, "INVALID_REQUEST")),
        (r#"{"email":{"$gt":""},"password":{"$gt":""}}"#, "application/json", (400, "INVALID_REQUEST")),
        ("email=a%40b.co&password=x", "application/x-www-form-urlencoded", (415, "UNSUPPORTED_MEDIA_TYPE")),
    ] {
        let (status, code) = site.refusal(raw(body, kind).await.unwrap()).await;
        assert_eq!((status, code.as_str()), expected, "{body}");
    }
    let deep = format!(r#"{{"options":{}1{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    let request =
        site.client.post(format!("{}/auth/anonymous", site.url)).header("content-type", "application/json");
    assert_eq!(request.body(deep).send().await.unwrap().status(), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sign_in_is_a_new_login_and_ends_when_told() {
    let site = Site::open().await;
    let first = site.register("ada@example.com").await;
    // Fixation: a token that was there before is worth nothing more, and nothing of it is taken over.
    let planted = site
        .ask(
            Method::POST,
            "/auth/login",
            first["token"].as_str(),
            Some(json!({ "email": "ada@example.com", "password": PASSWORD })),
        )
        .await;
    let second: Value = planted.json().await.unwrap();
    assert_ne!(first["token"], second["token"]);
    assert_ne!(first["refreshToken"], second["refreshToken"]);
    let logins: Value =
        site.ask(Method::GET, "/account/logins", second["token"].as_str(), None).await.json().await.unwrap();
    assert_eq!(logins.as_array().unwrap().len(), 2);
    assert_eq!(site.ask(Method::POST, "/auth/logout", second["token"].as_str(), None).await.status(), 204);
    for path in ["/auth/userdata", "/account", "/account/logins"] {
        let answer = site.ask(Method::GET, path, second["token"].as_str(), None).await;
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        assert_eq!(site.refusal(answer).await, (401, "UNAUTHENTICATED".into()), "{path}");
    }
    // The access token may have expired when somebody leaves.
    let third: Value = site.login("ada@example.com", PASSWORD).await.json().await.unwrap();
    let late = json!({ "refreshToken": third["refreshToken"] });
    assert_eq!(
        site.ask(Method::POST, "/auth/logout", Some("expired"), Some(late.clone())).await.status(),
        204
    );
    assert_eq!(site.ask(Method::GET, "/account", third["token"].as_str(), None).await.status(), 401);
    assert_eq!(site.post("/auth/logout", late).await.status(), 401);
    // Clients that send a type and nothing of it, or an object without it, are signed in or not.
    assert_eq!(site.post("/auth/logout", json!({})).await.status(), 401);
    assert_eq!(site.ask(Method::POST, "/auth/logout", None, None).await.status(), 401);
    let renew = site.post("/auth/refresh", json!({ "refreshToken": second["refreshToken"] })).await;
    assert_eq!(site.refusal(renew).await, (401, "WRONG_CODE".into()));
    assert_eq!(site.ask(Method::GET, "/account", first["token"].as_str(), None).await.status(), 200);
    // A token in the URL is none, nor is another scheme, nor a refresh token, nor two tokens in one.
    let token = first["token"].as_str().unwrap();
    for (header, path) in [
        (None, format!("/account?token={token}&access_token={token}")),
        (Some(format!("Basic {token}")), "/account".into()),
        (Some(format!("Bearer {}", first["refreshToken"].as_str().unwrap())), "/account".into()),
        (Some(format!("Bearer {token}, Bearer {token}")), "/account".into()),
        (Some("Bearer ".into()), "/account".into()),
    ] {
        let request = site.client.get(format!("{}{path}", site.url));
        let request = header.iter().fold(request, |request, header| request.header("authorization", header));
        assert_eq!(request.send().await.unwrap().status(), 401, "{header:?} {path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_does_what_the_table_does_not_say() {
    let site = Site::open().await;
    let victim = site.register("victim@example.com").await;
    let id = victim["user"]["id"].as_str().unwrap().to_owned();
    let routes: Vec<(Method, String, Option<Value>, &str)> = vec![
        (Method::GET, format!("/admin/accounts/{id}"), None, "accounts:read"),
        (Method::GET, format!("/admin/accounts/{id}/export"), None, "accounts:manage"),
        (
            Method::PUT,
            format!("/admin/accounts/{id}/ban"),
            Some(json!({ "reason": "x", "seconds": 1 })),
            "accounts:ban",
        ),
        (Method::DELETE, format!("/admin/accounts/{id}/ban"), None, "accounts:ban"),
        (Method::POST, format!("/admin/accounts/{id}/sign-out"), None, "accounts:manage"),
        (Method::DELETE, format!("/admin/accounts/{id}/factor"), None, "accounts:manage"),
        (Method::PUT, format!("/admin/accounts/{id}/roles/moderator"), None, "roles:grant"),
        (Method::DELETE, format!("/admin/accounts/{id}/roles/moderator"), None, "roles:grant"),
        (Method::GET, "/admin/keys".into(), None, "keys:manage"),
        (
            Method::POST,
            "/admin/keys".into(),
            Some(json!({ "name": "k", "scopes": ["accounts:read"] })),
            "keys:manage",
        ),
        (Method::GET, "/admin/audit".into(), None, "audit:read"),
        (Method::GET, "/admin/audit/chain".into(), None, "audit:read"),
    ];
    // Every route below /admin is in the list.
    let document: Value = site.ask(Method::GET, "/openapi.json", None, None).await.json().await.unwrap();
    let admin = document["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/admin"));
    let documented: usize = admin.map(|(_, item)| item.as_object().unwrap().len()).sum();
    assert_eq!(documented, routes.len() + 3, "delete an account, rotate and revoke a key are tried below");
    for (method, path, body, _) in &routes {
        let answer = site.ask(method.clone(), path, None, body.clone()).await;
        assert_eq!(site.refusal(answer).await, (401, "UNAUTHENTICATED".into()), "{method} {path}");
    }
    for role in Role::ALL {
        let in_ = site.register(&format!("{role}@example.com")).await;
        let principal = Principal::Player(site.identity(&in_, &[Role::Admin]).await);
        if role != Role::Player {
            let own = in_["user"]["id"].as_str().unwrap();
            site.confirms(&format!("{role}@example.com")).await;
            site.accounts.set_role(&principal, own, role, true).await.unwrap();
            // Without a second factor the role opens nothing, and says why.
            let mut refusals = Vec::new();
            for (method, path, body, _) in &routes {
                let answer = site.ask(method.clone(), path, in_["token"].as_str(), body.clone()).await;
                refusals.push(site.refusal(answer).await);
            }
            assert!(refusals.iter().all(|(status, _)| *status == 403), "{role} {refusals:?}");
            assert!(refusals.iter().any(|(_, code)| code == "SECOND_FACTOR_REQUIRED"), "{role}");
        }
        let token = site.with_second_factor(&in_, &format!("{role}@example.com")).await;
        let moved = json!({ "email": "thief@example.com", "password": PASSWORD });
        let moved = site.ask(Method::PUT, "/account/email", Some(&token), Some(moved)).await;
        assert_eq!(site.refusal(moved).await, (403, "SECOND_FACTOR_REQUIRED".into()), "a password alone");
        for (method, path, body, permission) in &routes {
            let answer = site.ask(method.clone(), path, Some(&token), body.clone()).await;
            let may = everplay_accounts::allows(role, permission.parse().unwrap());
            assert_eq!(answer.status() != 403, may, "{role} {method} {path}: {}", answer.status());
            assert!(answer.status().as_u16() < 500);
        }
        let rest = [
            (Method::POST, "/admin/keys/none/rotate", "keys:manage"),
            (Method::DELETE, "/admin/keys/none", "keys:manage"),
            (Method::DELETE, "/admin/accounts/none", "accounts:manage"),
        ];
        for (method, path, permission) in rest {
            let status = site.ask(method, path, Some(&token), None).await.status().as_u16();
            let may = everplay_accounts::allows(role, permission.parse().unwrap());
            assert_eq!(status, if may { 404 } else { 403 }, "{role} {path}");
        }
    }
    // Sideways: another player's profile, logins and password.
    let eve = site.register("eve@example.com").await;
    let token = eve["token"].as_str();
    let put =
        site.ask(Method::PUT, &format!("/users/{id}"), token, Some(json!({ "displayName": "Eve" }))).await;
    assert_eq!(site.refusal(put).await, (403, "FORBIDDEN".into()));
    let victims: Value = site
        .ask(Method::GET, "/account/logins", victim["token"].as_str(), None)
        .await
        .json()
        .await
        .unwrap_or_default();
    if let Some(login) = victims[0]["id"].as_str() {
        let end = site.ask(Method::DELETE, &format!("/account/logins/{login}"), token, None).await;
        assert_eq!(site.refusal(end).await, (404, "NOT_FOUND".into()));
    }
    // Mass assignment: fields that are not the player's to set.
    for body in [
        json!({ "roles": ["admin"] }),
        json!({ "guest": false }),
        json!({ "email": "x@y.z" }),
        json!({ "id": "x" }),
    ] {
        let answer = site.ask(Method::PUT, "/users/me", token, Some(body)).await;
        assert_eq!(site.refusal(answer).await, (400, "INVALID_REQUEST".into()));
    }
}

impl Site {
    async fn identity(&self, in_: &Value, roles: &[Role]) -> Identity {
        let token = in_["token"].as_str().unwrap();
        let Ok(Principal::Player(identity)) = self.accounts.verify(token).await else {
            panic!("not signed in")
        };
        Identity { roles: roles.iter().copied().collect(), second_factor: true, ..identity }
    }

    /// Adds an authenticator and signs in with a recovery code.
    /// Opens the link that was mailed to an address.
    async fn confirms(&self, email: &str) {
        let code = loop {
            let found = self.mail.0.lock().unwrap().iter().find_map(|letter| {
                let (_, rest) = letter.text.split_once("token=").filter(|_| letter.to == email)?;
                Some(rest.split_whitespace().next().unwrap().to_owned())
            });
            match found {
                Some(code) => break code,
                None => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        };
        self.accounts.confirm_email(&CustomerId::default(), &code).await.unwrap();
    }

    async fn with_second_factor(&self, in_: &Value, email: &str) -> String {
        let token = in_["token"].as_str();
        let begun: Value = self
            .ask(Method::POST, "/account/factor", token, Some(json!({ "password": PASSWORD })))
            .await
            .json()
            .await
            .unwrap();
        let totp = totp_rs::Totp::from_url(begun["url"].as_str().unwrap()).unwrap();
        let now = std::time::UNIX_EPOCH.elapsed().unwrap();
        let code = totp.generate(now.as_secs()).to_string();
        let codes: Value = self
            .ask(Method::POST, "/account/factor/confirm", token, Some(json!({ "code": code })))
            .await
            .json()
            .await
            .unwrap();
        let refused: Value = self.login(email, PASSWORD).await.json().await.unwrap();
        assert_eq!(refused["error"], "second_factor_required", "{refused}");
        let body = json!({ "challenge": refused["challenge"], "code": codes["recoveryCodes"][0] });
        let in_: Value = self.post("/auth/second-factor", body).await.json().await.unwrap();
        in_["token"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_told_and_hold() {
    let site = Site::with(RatePolicy { account: 40, guest: 20, burst: 1000, ..RatePolicy::default() }).await;
    let in_ = site.register("ada@example.com").await;
    let mut statuses = Vec::new();
    for _ in 0..25 {
        let answer = site.ask(Method::GET, "/users/nobody", None, None).await;
        assert!(answer.headers()["ratelimit-policy"].to_str().unwrap().contains("q=20;w=60"));
        statuses.push(answer.status().as_u16());
    }
    assert_eq!(
        statuses.iter().filter(|status| **status == 404).count(),
        19,
        "one was the registration: {statuses:?}"
    );
    let answer = site.ask(Method::GET, "/users/nobody", None, None).await;
    assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() <= 4);
    assert!(answer.headers()["ratelimit"].to_str().unwrap().starts_with("\"guest\";r=0;t="));
    assert_eq!(site.refusal(answer).await, (429, "RATE_LIMITED".into()));
    // An account has its own, wherever it comes from; a wrong token does not make another.
    assert_eq!(site.ask(Method::GET, "/account", in_["token"].as_str(), None).await.status(), 200);
    assert_eq!(site.ask(Method::GET, "/account", Some("nonsense"), None).await.status(), 429);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_hardened_and_markup_stays_text() {
    let site = Site::open().await;
    let evil = "<img src=x onerror=alert(1)>";
    let guest: Value =
        site.post("/auth/anonymous", json!({ "options": { "name": evil } })).await.json().await.unwrap();
    assert_eq!(guest["user"]["displayName"], evil, "text is kept as it is, and shown as text");
    for path in [
        "/users/nobody",
        "/openapi.json",
        "/docs/api",
        "/auth/confirm-email?token=%22%3E%3Cscript%3E",
        "/.well-known/jwks.json",
    ] {
        let answer = site.ask(Method::GET, path, None, None).await;
        let headers = answer.headers().clone();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(!policy.contains("unsafe"), "{path}");
        assert!(!answer.text().await.unwrap().contains("\"><script>"), "{path}");
    }
    let method = site.ask(Method::PATCH, "/account", None, None).await;
    assert_eq!(site.refusal(method).await, (405, "METHOD_NOT_ALLOWED".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_in_mails_act_when_a_person_does_and_never_name_another_host() {
    let site = Site::open().await;
    let in_ = site.register("ada@example.com").await;
    let request =
        site.client.post(format!("{}/auth/forgot-password", site.url)).header("host", "evil.example");
    request
        .header("x-forwarded-host", "evil.example")
        .json(&json!({ "email": "ada@example.com" }))
        .send()
        .await
        .unwrap();
    let mut links = Vec::new();
    while links.len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let mail = site.mail.0.lock().unwrap();
        links = mail
            .iter()
            .map(|letter| {
                let at = letter.text.find("http").unwrap();
                letter.text[at..].split_whitespace().next().unwrap().to_owned()
            })
            .collect();
    }
    assert!(links.iter().all(|link| link.starts_with(&site.url)), "{links:?}");
    // A mail program that opens the link changes nothing.
    for link in &links {
        assert_eq!(site.client.get(link).send().await.unwrap().status(), 200);
    }
    let token = |link: &str| link.split_once("token=").unwrap().1.to_owned();
    let reset = links.iter().find(|link| link.contains("reset-password")).unwrap();
    let form = |password: &str| format!("token={}&password={password}", token(reset));
    let send = |body: String| {
        let request = site.client.post(format!("{}/auth/reset-password", site.url));
        request.header("content-type", "application/x-www-form-urlencoded").body(body).send()
    };
    assert_eq!(send(form("password")).await.unwrap().status(), 400, "too common, and the link stays good");
    let done = send(form("a+password+chosen+anew")).await.unwrap();
    assert_eq!(done.status(), 200);
    assert_eq!(send(form("yet+another+password")).await.unwrap().status(), 400, "once");
    assert_eq!(site.ask(Method::GET, "/account", in_["token"].as_str(), None).await.status(), 401);
    assert_eq!(site.login("ada@example.com", "a password chosen anew").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_may_see_everything_kept_and_be_forgotten() {
    let site = Site::open().await;
    let in_ = site.register("ada@example.com").await;
    let token = in_["token"].as_str();
    let all: Value = site.ask(Method::GET, "/account/export", token, None).await.json().await.unwrap();
    assert_eq!(all["account"]["email"], "ada@example.com");
    let wrong = site.ask(Method::DELETE, "/account", token, Some(json!({ "password": "not it" }))).await;
    assert_eq!(site.refusal(wrong).await, (401, "INVALID_CREDENTIALS".into()));
    let gone = site.ask(Method::DELETE, "/account", token, Some(json!({ "password": PASSWORD }))).await;
    assert_eq!(gone.status(), 204);
    assert_eq!(site.ask(Method::GET, "/account", token, None).await.status(), 401);
    assert_eq!(site.login("ada@example.com", PASSWORD).await.status(), 401);
    let id = in_["user"]["id"].as_str().unwrap();
    assert!(site.accounts.profile(&CustomerId::default(), id).await.is_err());
}
