//! Signing in with an account elsewhere: OpenID Connect and OAuth 2 with PKCE, per RFC 9700.
//!
//! ```text
//! begin: state + nonce + verifier kept, browser tied by a cookie -> provider
//! provider -> callback: cookie, state (once), iss -> code + verifier -> ID token or profile -> (provider, subject)
//! ```
//!
//! An identity is the provider and the subject it names, never an address: addresses change hands, and not every
//! provider checks them. So an account with the same address is not opened by it; its owner signs in and links it.
//!
//! Where requests of ours go is said by the operator (the issuer) and by the issuer's own document, never by a player.

mod fetch;
mod id_token;

use super::{AccountError, Accounts, Device, Entrance};
use crate::clock::{MINUTE, SECOND};
use crate::mail::address_key;
use crate::secret::{digest, draw, encode, sha256};
use crate::store::{Code, LinkedIdentity, StoreError, User};
use everplay_types::{CustomerId, Identity};
use fetch::Fetch;
use id_token::KeySet;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// Time to sign in at the provider.
const FLOW_MS: i64 = 10 * MINUTE;

/// How long a provider's document is believed.
const DOCUMENT_MS: i64 = 60 * MINUTE;

/// A provider of identities, as the operator sets it.
#[derive(Clone)]
pub struct Provider {
    /// Names it in paths: lower-case letters, digits, `-`.
    pub name: String,
    /// How it speaks.
    pub kind: ProviderKind,
    /// Our name there.
    pub client_id: String,
    /// Our secret there.
    pub client_secret: String,
}

/// How a provider speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderKind {
    /// OpenID Connect: everything else is in the issuer's document.
    OpenId {
        /// Exactly as it names itself.
        issuer: String,
    },
    /// OAuth 2 with a profile of its own.
    OAuth {
        /// Where the browser goes.
        authorize: String,
        /// Where the code becomes a token.
        token: String,
        /// Where the token becomes a profile.
        profile: String,
        /// What is asked for.
        scope: String,
        /// JSON pointers into the profile: subject, name, address, picture.
        fields: [&'static str; 4],
    },
}

impl Provider {
    /// Google.
    pub fn google(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Self::open_id("google", "https://accounts.google.com", client_id, client_secret)
    }

    /// Any issuer of OpenID Connect.
    pub fn open_id(
        name: impl Into<String>,
        issuer: impl Into<String>,
        client_id: impl Into<String>,
        client_secret: impl Into<String>,
    ) -> Self {
        Provider {
            name: name.into(),
            kind: ProviderKind::OpenId { issuer: issuer.into() },
            client_id: client_id.into(),
            client_secret: client_secret.into(),
        }
    }

    /// Facebook.
    pub fn facebook(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Provider {
            name: "facebook".to_owned(),
            kind: ProviderKind::OAuth {
                authorize: "https://www.facebook.com/v21.0/dialog/oauth".to_owned(),
                token: "https://graph.facebook.com/v21.0/oauth/access_token".to_owned(),
                profile: "https://graph.facebook.com/v21.0/me?fields=id,name,email,picture".to_owned(),
                scope: "public_profile email".to_owned(),
                fields: ["/id", "/name", "/email", "/picture/data/url"],
            },
            client_id: client_id.into(),
            client_secret: client_secret.into(),
        }
    }

    /// X, which was Twitter.
    pub fn x(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Provider {
            name: "x".to_owned(),
            kind: ProviderKind::OAuth {
                authorize: "https://x.com/i/oauth2/authorize".to_owned(),
                token: "https://api.x.com/2/oauth2/token".to_owned(),
                profile: "https://api.x.com/2/users/me?user.fields=profile_image_url".to_owned(),
                scope: "tweet.read users.read".to_owned(),
                fields: ["/data/id", "/data/name", "/data/email", "/data/profile_image_url"],
            },
            client_id: client_id.into(),
            client_secret: client_secret.into(),
        }
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Why a provider did not tell us who it is.
#[derive(Debug, thiserror::Error)]
pub enum SocialProblem {
    /// No provider of this name is set.
    #[error("there is no such provider")]
    Unknown,
    /// The callback does not belong to a sign-in that this browser began, or it came twice.
    #[error("the sign-in was not begun here, or it took too long; begin again")]
    State,
    /// The player said no, or the provider did.
    #[error("the provider said no")]
    Refused,
    /// The provider answers what it must not; the text is for the log.
    #[error("the provider gave no proof")]
    Proof(String),
    /// The provider does not answer; the text is for the log.
    #[error("the provider does not answer")]
    Away(String),
}

/// Where the browser goes, and the cookie that ties it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// At the provider.
    pub url: String,
    /// Secret of this browser, for ten minutes.
    pub cookie: String,
}

/// What the browser brings back.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Returned {
    /// Becomes a token.
    #[serde(default)]
    pub code: Option<String>,
    /// Ours.
    #[serde(default)]
    pub state: Option<String>,
    /// Who says so (RFC 9207).
    #[serde(default)]
    pub iss: Option<String>,
    /// Why not.
    #[serde(default)]
    pub error: Option<String>,
}

/// What a sign-in elsewhere came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// In, or asked for the second factor.
    pub entrance: Entrance,
    /// The origin of the page that began it, if it was told.
    pub opener: Option<String>,
}

/// A sign-in that is under way.
#[derive(Debug, Serialize, Deserialize)]
struct Flow {
    provider: String,
    nonce: String,
    verifier: String,
    /// Hash of the cookie.
    browser: String,
    /// Whose account the identity is to be linked to.
    link_to: Option<String>,
    /// The login that asked for it.
    link_by: Option<String>,
    opener: Option<String>,
}

/// Who somebody is elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Person {
    subject: String,
    name: Option<String>,
    email: Option<String>,
    email_verified: bool,
    picture: Option<String>,
}

/// What an issuer says of itself.
#[derive(Debug, Clone, Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

pub(super) struct Social {
    providers: HashMap<String, Arc<Provider>>,
    fetch: Fetch,
    documents: Mutex<HashMap<String, (i64, Arc<Document>)>>,
    keys: Mutex<HashMap<String, (i64, Arc<KeySet>)>>,
}

impl Social {
    pub(super) fn new(providers: Vec<Provider>) -> Self {
        Social {
            providers: providers
                .into_iter()
                .map(|provider| (provider.name.clone(), Arc::new(provider)))
                .collect(),
            fetch: Fetch::new(),
            documents: Mutex::default(),
            keys: Mutex::default(),
        }
    }

    fn provider(&self, name: &str) -> Result<Arc<Provider>, SocialProblem> {
        self.providers.get(name).cloned().ok_or(SocialProblem::Unknown)
    }

    async fn document(&self, issuer: &str, now: i64) -> Result<Arc<Document>, SocialProblem> {
        if let Some((at, document)) = self.documents.lock().get(issuer)
            && now < at + DOCUMENT_MS
        {
            return Ok(Arc::clone(document));
        }
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document: Document = self.fetch.get(&url, None).await?;
        // Else a provider could speak for another (OpenID Connect Discovery, 4.3).
        if document.issuer != issuer {
            return Err(SocialProblem::Proof(format!("{url} is the document of {}", document.issuer)));
        }
        let document = Arc::new(document);
        self.documents.lock().insert(issuer.to_owned(), (now, Arc::clone(&document)));
        Ok(document)
    }

    /// The issuer's keys; asked for again when a token names one that is not there, at most once a minute.
    async fn key_set(&self, url: &str, kid: Option<&str>, now: i64) -> Result<Arc<KeySet>, SocialProblem> {
        if let Some((at, keys)) = self.keys.lock().get(url)
            && now < at + DOCUMENT_MS
            && (keys.has(kid) || now < at + MINUTE)
        {
            return Ok(Arc::clone(keys));
        }
        let keys = Arc::new(KeySet::new(self.fetch.get(url, None).await?)?);
        self.keys.lock().insert(url.to_owned(), (now, Arc::clone(&keys)));
        Ok(keys)
    }
}

impl Accounts {
    /// The names of the providers that are set.
    pub fn providers(&self) -> Vec<String> {
        let mut names: Vec<_> = self.0.social.providers.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    fn redirect_uri(&self, provider: &str) -> String {
        format!("{}/auth/provider/{provider}/callback", self.public_url())
    }

    /// Begins a sign-in; with `link_to`, the identity is linked to that account, and a guest becomes a member by it.
    /// `opener` is the origin of the page that wants to hear the outcome.
    pub async fn begin_social(
        &self,
        customer: &CustomerId,
        provider: &str,
        link_to: Option<&Identity>,
        opener: Option<String>,
    ) -> Result<Begun, AccountError> {
        let provider = self.0.social.provider(provider)?;
        let (state, nonce, verifier, cookie) = (draw(), draw(), draw(), draw());
        let challenge = encode(&sha256(verifier.as_bytes()));
        let redirect = self.redirect_uri(&provider.name);
        let (endpoint, scope) = match &provider.kind {
            ProviderKind::OpenId { issuer } => {
                let document = self.0.social.document(issuer, self.now()).await.inspect_err(log)?;
                (document.authorization_endpoint.clone(), "openid profile email".to_owned())
            }
            ProviderKind::OAuth { authorize, scope, .. } => (authorize.clone(), scope.clone()),
        };
        let mut url = reqwest::Url::parse(&endpoint)
            .map_err(|error| SocialProblem::Proof(format!("{endpoint} is no URL: {error}")))?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.client_id)
            .append_pair("redirect_uri", &redirect)
            .append_pair("scope", &scope)
            .append_pair("state", &state)
            .append_pair("nonce", &nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        let flow = Flow {
            provider: provider.name.clone(),
            nonce,
            verifier,
            browser: encode(&digest(&cookie)),
            link_to: link_to.map(|identity| identity.id.as_str().to_owned()),
            link_by: link_to.map(|identity| identity.login.as_str().to_owned()),
            opener,
        };
        let code = Code {
            purpose: "social",
            user: link_to.map(|identity| identity.id.as_str().to_owned()).unwrap_or_default(),
            payload: serde_json::to_string(&flow).expect("texts are JSON"),
            expires_at: self.now() + FLOW_MS,
        };
        self.0.store.put_code(customer, &digest(&state), &code).await?;
        Ok(Begun { url: url.into(), cookie })
    }

    /// Ends a sign-in with what the browser brought back.
    pub async fn end_social(
        &self,
        customer: &CustomerId,
        provider: &str,
        returned: &Returned,
        cookie: Option<&str>,
        device: &Device,
    ) -> Result<Outcome, AccountError> {
        let provider = self.0.social.provider(provider)?;
        let state = returned.state.as_deref().ok_or(SocialProblem::State)?;
        let cookie = cookie.ok_or(SocialProblem::State)?;
        // Looked at before it is used: somebody else's browser must not use it up.
        let hash = digest(state);
        let code =
            self.0.store.code(customer, &hash, "social", self.now()).await?.ok_or(SocialProblem::State)?;
        let flow: Flow = serde_json::from_str(&code.payload).map_err(|_| SocialProblem::State)?;
        if flow.browser != encode(&digest(cookie)) || flow.provider != provider.name {
            return Err(SocialProblem::State.into());
        }
        self.0.store.take_code(customer, &hash, "social", self.now()).await?.ok_or(SocialProblem::State)?;
        if returned.error.is_some() {
            return Err(SocialProblem::Refused.into());
        }
        let authorization = returned.code.as_deref().ok_or(SocialProblem::Refused)?;
        let person =
            self.person(&provider, &flow, returned.iss.as_deref(), authorization).await.inspect_err(log)?;
        let entrance = self.admit_person(customer, &provider.name, &person, &flow, device).await?;
        Ok(Outcome { entrance, opener: flow.opener })
    }

    async fn person(
        &self,
        provider: &Provider,
        flow: &Flow,
        iss: Option<&str>,
        authorization: &str,
    ) -> Result<Person, SocialProblem> {
        let social = &self.0.social;
        let redirect = self.redirect_uri(&provider.name);
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", authorization),
            ("redirect_uri", redirect.as_str()),
            ("code_verifier", flow.verifier.as_str()),
        ];
        match &provider.kind {
            ProviderKind::OpenId { issuer } => {
                let now = self.now();
                let document = social.document(issuer, now).await?;
                let iss_is_due = document.authorization_response_iss_parameter_supported;
                if iss.is_some_and(|iss| iss != issuer) || (iss.is_none() && iss_is_due) {
                    return Err(SocialProblem::Proof("the answer is another issuer's".to_owned()));
                }
                let methods = &document.token_endpoint_auth_methods_supported;
                let in_body =
                    !methods.is_empty() && !methods.iter().any(|method| method == "client_secret_basic");
                let basic = (provider.client_id.as_str(), provider.client_secret.as_str());
                if in_body {
                    form.extend([("client_id", basic.0), ("client_secret", basic.1)]);
                }
                let basic = (!in_body).then_some(basic);
                let answer: Value = social.fetch.post(&document.token_endpoint, &form, basic).await?;
                let missing = || SocialProblem::Proof("no ID token came".to_owned());
                let token = answer["id_token"].as_str().ok_or_else(missing)?;
                let kid = id_token::key_of(token)?;
                let keys = social.key_set(&document.jwks_uri, kid.as_deref(), now).await?;
                let expected = id_token::Expected {
                    issuer,
                    audience: &provider.client_id,
                    nonce: &flow.nonce,
                    now_seconds: now / SECOND,
                };
                keys.verify(token, &expected)
            }
            ProviderKind::OAuth { token, profile, fields, .. } => {
                let basic = (provider.client_id.as_str(), provider.client_secret.as_str());
                // Both ways: the one wants the first, the other the second.
                form.push(("client_id", basic.0));
                form.push(("client_secret", basic.1));
                let answer: Value = social.fetch.post(token, &form, Some(basic)).await?;
                let missing = || SocialProblem::Proof("no access token came".to_owned());
                let access = answer["access_token"].as_str().ok_or_else(missing)?;
                let profile: Value = social.fetch.get(profile, Some(access)).await?;
                let text = |at: &str| profile.pointer(at).and_then(Value::as_str).map(str::to_owned);
                let subject =
                    text(fields[0]).or_else(|| profile.pointer(fields[0])?.as_u64().map(|id| id.to_string()));
                let missing = || SocialProblem::Proof("the profile has no id".to_owned());
                Ok(Person {
                    subject: subject.filter(|subject| !subject.is_empty()).ok_or_else(missing)?,
                    name: text(fields[1]),
                    email: text(fields[2]),
                    // Nothing says that they checked it.
                    email_verified: false,
                    picture: text(fields[3]),
                })
            }
        }
    }

    async fn admit_person(
        &self,
        customer: &CustomerId,
        provider: &str,
        person: &Person,
        flow: &Flow,
        device: &Device,
    ) -> Result<Entrance, AccountError> {
        let linked = self.0.store.linked_user(customer, provider, &person.subject).await?;
        let identity = LinkedIdentity {
            provider: provider.to_owned(),
            subject: person.subject.clone(),
            email: person.email.clone().filter(|email| email.len() <= 254),
            linked_at: self.now(),
        };
        let user = match (&flow.link_to, linked) {
            (None, Some(id)) => self.store().user(customer, &id).await?.filter(|user| user.is_active),
            (Some(wanted), Some(id)) if *wanted == id => self.store().user(customer, &id).await?,
            (Some(wanted), Some(id)) => {
                // The guest plays on as who they are there already; an account with its own way in stays as it is.
                let guest = self.store().user(customer, wanted).await?.is_some_and(|user| user.guest);
                if !guest {
                    return Err(AccountError::Conflict("this identity opens another account"));
                }
                self.store().user(customer, &id).await?.filter(|user| user.is_active)
            }
            (Some(wanted), None) => Some(self.link(customer, wanted, &identity, person, flow).await?),
            (None, None) => {
                let user = self.newcomer(customer, person).await?;
                self.0.store.link(customer, &user.id, &identity).await.map_err(taken)?;
                Some(user)
            }
        };
        let user = user.ok_or(AccountError::NotFound("account"))?;
        self.admit(&user, device, "provider").await
    }

    /// Links to an account that is signed in.
    async fn link(
        &self,
        customer: &CustomerId,
        user: &str,
        identity: &LinkedIdentity,
        person: &Person,
        flow: &Flow,
    ) -> Result<User, AccountError> {
        let login = flow.link_by.as_deref().unwrap_or_default();
        let open = self.0.store.login(customer, login).await?.is_some_and(|login| login.is_open(self.now()));
        if !open {
            return Err(SocialProblem::State.into());
        }
        self.0.store.link(customer, user, identity).await.map_err(taken)?;
        let actor = format!("account:{user}");
        let entry = self.entry(
            customer,
            actor.clone(),
            "identity.link",
            &actor,
            json!({ "provider": identity.provider }),
        );
        let mut was_guest = false;
        let changed = self
            .change(customer, user, Some(entry), |user| {
                was_guest = user.guest;
                if user.guest {
                    user.guest = false;
                    dress(user, person);
                }
                Ok(())
            })
            .await?;
        if was_guest {
            let ended = self.0.store.forget_logins(customer, user).await?;
            self.ended(customer, ended, Some(login));
        }
        Ok(changed)
    }

    /// A new account for somebody who is known elsewhere.
    async fn newcomer(&self, customer: &CustomerId, person: &Person) -> Result<User, AccountError> {
        let mut user = self.blank(customer, json!({}));
        user.guest = false;
        user.display_name = user.username.clone();
        dress(&mut user, person);
        let address = person.email.as_deref().filter(|_| person.email_verified).and_then(address_key);
        if let Some(key) = address
            && self.0.store.user_by_email(customer, &key).await?.is_none()
        {
            user.email = person.email.clone();
            user.email_confirmed = true;
        }
        match self.insert(user.clone()).await {
            // Somebody took the address in this moment; it is not needed.
            Err(AccountError::EmailTaken) => {
                self.insert(User { email: None, email_confirmed: false, ..user }).await
            }
            inserted => inserted,
        }
    }

    /// Unlinks a provider from the asker's account, unless nothing else would open it.
    pub async fn unlink(&self, identity: &Identity, provider: &str) -> Result<(), AccountError> {
        let user = self.account(identity).await?;
        let linked = self.0.store.identities(&user.customer, &user.id).await?;
        if !linked.iter().any(|one| one.provider == provider) {
            return Err(AccountError::NotFound("identity"));
        }
        if user.password_hash.is_none() && linked.iter().all(|one| one.provider == provider) {
            return Err(AccountError::Conflict("nothing else opens this account; set a password first"));
        }
        let actor = format!("account:{}", user.id);
        let entry = self.entry(
            &user.customer,
            actor.clone(),
            "identity.unlink",
            &actor,
            json!({ "provider": provider }),
        );
        Ok(self.0.store.unlink(&user.customer, &user.id, Some(provider), Some(&entry)).await?)
    }
}

/// Takes over name and picture where the account has none of its own.
fn dress(user: &mut User, person: &Person) {
    if let Some(name) = person.name.as_deref().and_then(super::profile::display_name) {
        user.display_name = name;
    }
    if user.avatar_url.is_none() {
        user.avatar_url = person.picture.clone().filter(|url| super::profile::is_picture(url));
    }
}

fn taken(error: StoreError) -> AccountError {
    match error {
        StoreError::Taken => AccountError::Conflict("this identity opens another account"),
        other => AccountError::Store(other),
    }
}

fn log(problem: &SocialProblem) {
    if let SocialProblem::Proof(cause) | SocialProblem::Away(cause) = problem {
        tracing::warn!(cause, "{problem}");
    }
}
