//! What the account services promise, on every store: in memory, on a file of SQLite, on a real PostgreSQL.
//!
//! One suite; each scene gets accounts of its own names, so that all share one store, as customers do.

#[path = "../../everplay-live/tests/servers/mod.rs"]
mod servers;

use everplay_accounts::{
    AccountError, AccountStore, Accounts, BoxFuture, Clock, Device, Entrance, Letter, Mailer, Parts,
    Permission, PersonalData, Principal, ProfileChange, SaidService, Sealer, ServiceWord, SignedIn,
    Unverified, allows,
};
use everplay_types::{CustomerId, Identity, Role, ServiceLevel};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
const PASSWORD: &str = "correct horse battery";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_memory() {
    suite(AccountStore::memory().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.sqlite");
    suite(AccountStore::sqlite(&path).await.unwrap()).await;
    // What a scene left is there after a restart, and the log's chain shows what somebody changes past us.
    let store = AccountStore::sqlite(&path).await.unwrap();
    let customer = CustomerId::new("audit").unwrap();
    let (entries, _) = store.verify_audit(&customer).await.unwrap().unwrap();
    assert!(entries > 3, "{entries}");
    let file = rusqlite::Connection::open(&path).unwrap();
    let refused = file.execute("UPDATE audit SET actor = 'nobody' WHERE customer = 'audit' AND seq = 2", []);
    assert!(refused.unwrap_err().to_string().contains("append-only"));
    file.execute_batch("DROP TRIGGER audit_update; DROP TRIGGER audit_delete").unwrap();
    file.execute("UPDATE audit SET actor = 'nobody' WHERE customer = 'audit' AND seq = 2", []).unwrap();
    assert_eq!(store.verify_audit(&customer).await.unwrap().unwrap_err().seq, 2);
    file.execute("DELETE FROM audit WHERE customer = 'default' AND seq = (SELECT MAX(seq) FROM audit WHERE customer = 'default')", [])
        .unwrap();
    assert!(store.verify_audit(&CustomerId::default()).await.unwrap().is_err(), "cut off at the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    let mut server = servers::postgres::Postgres::start();
    // Several nodes start at once: the tables are made once.
    let url = server.url();
    let (one, two) = (AccountStore::postgres(&url), AccountStore::postgres(&url));
    let (one, two) = tokio::join!(one, two);
    two.unwrap();
    let store = one.unwrap();
    suite(store.clone()).await;
    let frozen = "begin; update everplay.audit set actor = 'x'; commit";
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| server.query(frozen)));
    assert!(refused.is_err(), "the log takes no changes");

    // Two nodes share keys, logins and revocations.
    let (a, b) = (stage(store.clone()).await, stage(store.clone()).await);
    let in_ = a.accounts.guest(&customer(), json!({}), &here()).await.unwrap();
    assert!(b.accounts.verify(&in_.access_token).await.is_ok());
    a.accounts.sign_out(&in_.identity).await.unwrap();
    assert_eq!(
        a.accounts.verify(&in_.access_token).await,
        Err(Unverified::Ended),
        "at once where it happened"
    );
    b.clock.fetch_add(1_001, Ordering::SeqCst);
    assert_eq!(
        b.accounts.verify(&in_.access_token).await,
        Err(Unverified::Ended),
        "within a second elsewhere"
    );

    // While the database is away a good token is good for playing, and for nothing else.
    let in_ = a.accounts.guest(&customer(), json!({ "name": "Ada" }), &here()).await.unwrap();
    server.kill();
    assert_eq!(a.accounts.verify(&in_.access_token).await, Err(Unverified::Unavailable));
    let identity = a.accounts.verify_for_play(&in_.access_token, false).await.unwrap();
    assert_eq!((identity.name.as_str(), identity.id), ("Ada", in_.identity.id.clone()));
    server.restart();
    servers::wait_until("the store answers again", || {
        let verified = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(a.accounts.verify(&in_.access_token))
        });
        verified.is_ok()
    });
}

async fn suite(store: AccountStore) {
    guests_become_members(&stage(store.clone()).await).await;
    passwords(&stage(store.clone()).await).await;
    renewing(&stage(store.clone()).await).await;
    logins_end(&stage(store.clone()).await).await;
    second_factors(&stage(store.clone()).await).await;
    mails(&stage(store.clone()).await).await;
    addresses_change(&stage(store.clone()).await).await;
    a_factor_is_not_walked_around(&stage(store.clone()).await).await;
    nobody_rises(&stage(store.clone()).await).await;
    guesses_at_once(&stage(store.clone()).await).await;
    staff(&stage(store.clone()).await).await;
    keys_of_servers(&stage(store.clone()).await).await;
    the_service_is_spoken_of(&stage(store.clone()).await).await;
    being_forgotten(&stage(store.clone()).await).await;
    races(&stage(store.clone()).await).await;
    somebody_stays(&stage(store.clone()).await).await;
    customers_apart(&stage(store.clone()).await).await;
    keys_change(&stage(store).await).await;
}

/// Accounts with a clock that stands still and mail that is kept.
struct Stage {
    accounts: Accounts,
    clock: Arc<AtomicI64>,
    mail: Arc<Kept>,
    erased: Arc<Games>,
}

#[derive(Default)]
struct Kept(Mutex<Vec<Letter>>);

impl Mailer for Kept {
    fn send(&self, letter: Letter) -> BoxFuture<'_, Result<(), String>> {
        self.0.lock().unwrap().push(letter);
        Box::pin(async { Ok(()) })
    }
}

#[derive(Default)]
struct Games(Mutex<Vec<String>>);

impl PersonalData for Games {
    fn name(&self) -> &'static str {
        "games"
    }

    fn export<'a>(&'a self, _: &'a CustomerId, account: &'a str) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(async move { Ok(json!({ "playedBy": account })) })
    }

    fn erase<'a>(&'a self, _: &'a CustomerId, account: &'a str) -> BoxFuture<'a, Result<(), String>> {
        self.0.lock().unwrap().push(account.to_owned());
        Box::pin(async { Ok(()) })
    }
}

async fn stage(store: AccountStore) -> Stage {
    let clock = Arc::new(AtomicI64::new(1_800_000_000_000));
    let (mail, erased) = (Arc::new(Kept::default()), Arc::new(Games::default()));
    let now = Arc::clone(&clock);
    let accounts = Accounts::start(Parts {
        clock: Clock::of(move || now.load(Ordering::SeqCst)),
        mailer: Arc::clone(&mail) as Arc<dyn Mailer>,
        hash_threads: 2,
        personal: vec![Arc::clone(&erased) as Arc<dyn PersonalData>],
        admins: vec!["Root@Staff.example".into()],
        ..Parts::new(store, Sealer::new(&[7; 32]))
    });
    let accounts = accounts.await.unwrap();
    accounts.serve_at("https://play.example/");
    Stage { accounts, clock, mail, erased }
}

impl Stage {
    fn pass(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    async fn register(&self, customer: &CustomerId, email: &str) -> SignedIn {
        self.accounts.register(customer, email, PASSWORD, json!({}), None, &here()).await.unwrap()
    }

    async fn sign_in(
        &self,
        customer: &CustomerId,
        email: &str,
        password: &str,
    ) -> Result<SignedIn, AccountError> {
        match self.accounts.sign_in(customer, email, password, &here()).await? {
            Entrance::Open(in_) => Ok(*in_),
            Entrance::SecondFactor { .. } => panic!("asked for a second factor"),
        }
    }

    /// The code in the newest mail to an address whose subject holds a word.
    async fn code(&self, to: &str, word: &str) -> String {
        for _ in 0..500 {
            let found = self.mail.0.lock().unwrap().iter().rev().find_map(|letter| {
                let (_, rest) = letter.text.split_once("token=")?;
                let fits = letter.to == to && letter.subject.contains(word);
                fits.then(|| rest.split_whitespace().next().unwrap().to_owned())
            });
            match found {
                Some(code) => return code,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        panic!("no mail about {word} came to {to}");
    }

    async fn has(&self, token: &str) -> Result<Identity, Unverified> {
        self.accounts.verify(token).await.map(|principal| match principal {
            Principal::Player(identity) => identity,
            Principal::Server(key) => panic!("{key:?}"),
        })
    }

    /// An account with a role and its second factor shown.
    async fn with_role(&self, customer: &CustomerId, email: &str, role: Option<Role>) -> (SignedIn, Vec<u8>) {
        let in_ = self.register(customer, email).await;
        let url = self.accounts.begin_factor(&in_.identity, PASSWORD).await.unwrap();
        let seed = seed_of(&url);
        self.accounts.confirm_factor(&in_.identity, &self.digits(&seed)).await.unwrap();
        if let Some(role) = role {
            let code = self.code(email, "Confirm").await;
            self.accounts.confirm_email(customer, &code).await.unwrap();
            let system = Principal::Player(Identity {
                roles: [Role::Admin].into_iter().collect(),
                second_factor: true,
                ..in_.identity.clone()
            });
            self.accounts.set_role(&system, &in_.identity.id, role, true).await.unwrap();
        }
        self.pass(MINUTE);
        let Ok(Entrance::SecondFactor { challenge }) =
            self.accounts.sign_in(customer, email, PASSWORD, &here()).await
        else {
            panic!("no second factor was asked for")
        };
        let code = self.digits(&seed);
        (self.accounts.sign_in_with_code(customer, &challenge, &code, &here()).await.unwrap(), seed)
    }

    fn digits(&self, seed: &[u8]) -> String {
        let totp = totp_rs::Builder::new().with_secret(seed.to_vec()).with_account_name("x").build().unwrap();
        totp.generate(u64::try_from(self.clock.load(Ordering::SeqCst)).unwrap() / 1000).to_string()
    }
}

fn seed_of(url: &str) -> Vec<u8> {
    assert!(url.starts_with("otpauth://totp/Everplay:"), "{url}");
    totp_rs::Totp::from_url(url).unwrap().secret().as_ref().to_vec()
}

fn customer() -> CustomerId {
    CustomerId::default()
}

fn here() -> Device {
    Device { agent: "a test".into(), network: "192.0.2.1".into() }
}

fn from(network: &str) -> Device {
    Device { network: network.into(), ..here() }
}

async fn guests_become_members(stage: &Stage) {
    let accounts = &stage.accounts;
    let options = json!({ "name": "Ada", "id": "forged", "roles": ["admin"] });
    let guest = accounts.guest(&customer(), options, &here()).await.unwrap();
    assert!(guest.identity.guest && guest.identity.name == "Ada");
    assert_ne!(guest.identity.id.as_str(), "forged");
    assert!(!guest.identity.roles.is_staff());
    assert_eq!(stage.has(&guest.access_token).await.unwrap(), guest.identity);
    // The game that is played goes on: the socket of the login that asks is not told to close.
    let mut endings = accounts.endings();
    let other = accounts.renew(&customer(), &guest.refresh_token).await.unwrap();
    let member = accounts
        .register(&customer(), "guest@a.example", PASSWORD, json!({}), Some(&guest.identity), &here())
        .await
        .unwrap();
    assert_eq!(member.identity.id, guest.identity.id, "the history stays");
    assert!(!member.identity.guest && member.identity.name == "Ada");
    assert_eq!(stage.has(&guest.access_token).await, Err(Unverified::Invalid));
    assert_eq!(stage.has(&other.access_token).await, Err(Unverified::Invalid), "same login");
    assert!(accounts.renew(&customer(), &other.refresh_token).await.is_err());
    assert!(endings.try_recv().is_err());
    let whose = Some(&member.identity);
    let again = accounts.register(&customer(), "b@a.example", PASSWORD, json!({}), whose, &here()).await;
    assert!(matches!(again, Err(AccountError::Conflict(_))));
    assert!(matches!(
        accounts.guest(&customer(), json!([1]), &here()).await,
        Err(AccountError::Field { .. })
    ));
    let much = json!({ "x": "y".repeat(5000) });
    assert!(matches!(accounts.guest(&customer(), much, &here()).await, Err(AccountError::Field { .. })));
    // Profiles.
    let change =
        ProfileChange { username: Some("Ada.L".into()), region: Some("eu".into()), ..Default::default() };
    let profile = accounts.change_profile(&member.identity, &change).await.unwrap();
    assert_eq!((profile.username.as_str(), profile.region.as_deref()), ("Ada.L", Some("eu")));
    let change = ProfileChange { username: Some("ADA.L".into()), ..Default::default() };
    assert!(matches!(
        accounts.change_profile(&guest_of(stage).await, &change).await,
        Err(AccountError::NameTaken)
    ));
}

async fn guest_of(stage: &Stage) -> Identity {
    stage.accounts.guest(&customer(), json!({}), &here()).await.unwrap().identity
}

async fn passwords(stage: &Stage) {
    let accounts = &stage.accounts;
    let ada = stage.register(&customer(), "Ada@Passwords.example").await;
    let in_ = stage.sign_in(&customer(), "ada@passwords.EXAMPLE", PASSWORD).await.unwrap();
    assert_eq!(in_.identity.id, ada.identity.id);
    assert_ne!(in_.identity.login, ada.identity.login, "each sign-in is one of its own");
    let taken =
        accounts.register(&customer(), "ADA@passwords.example", PASSWORD, json!({}), None, &here()).await;
    assert!(matches!(taken, Err(AccountError::EmailTaken)));
    for (email, password) in [("no address", PASSWORD), ("x@y.example", "short"), ("x@y.example", "password")]
    {
        let refused = accounts.register(&customer(), email, password, json!({}), None, &here()).await;
        assert!(
            matches!(refused, Err(AccountError::EmailMalformed | AccountError::Password(_))),
            "{refused:?}"
        );
    }
    // Injection is text.
    for email in ["' OR '1'='1'--@x.example", "x'; DROP TABLE users; --@x.example"] {
        assert!(stage.sign_in(&customer(), email, PASSWORD).await.is_err());
    }
    let bobby =
        ProfileChange { display_name: Some("Robert'); DROP TABLE users;--".into()), ..Default::default() };
    let profile = accounts.change_profile(&ada.identity, &bobby).await.unwrap();
    assert_eq!(profile.display_name, "Robert'); DROP TABLE users;--");
    // Ten guesses from one network, then it waits, also with the right password; others do not.
    for _ in 0..10 {
        let wrong = stage.sign_in(&customer(), "ada@passwords.example", "not the password").await;
        assert!(matches!(wrong, Err(AccountError::InvalidCredentials)));
    }
    let waits = stage.sign_in(&customer(), "ada@passwords.example", PASSWORD).await;
    assert!(matches!(waits, Err(AccountError::Throttled(_))), "{waits:?}");
    let elsewhere = from("198.51.100.7");
    let other = accounts.sign_in(&customer(), "ada@passwords.example", PASSWORD, &elsewhere).await;
    assert!(matches!(other, Ok(Entrance::Open(_))), "nobody locks the owner out");
    stage.pass(15 * MINUTE);
    assert!(stage.sign_in(&customer(), "ada@passwords.example", PASSWORD).await.is_ok());
    // Whether there is an account is not told.
    let nobody = stage.sign_in(&customer(), "nobody@passwords.example", PASSWORD).await;
    assert!(matches!(nobody, Err(AccountError::InvalidCredentials)));
    // Changing it ends the other logins.
    let (first, second) = (
        stage.sign_in(&customer(), "ada@passwords.example", PASSWORD).await.unwrap(),
        stage.sign_in(&customer(), "ada@passwords.example", PASSWORD).await.unwrap(),
    );
    let wrong = accounts.change_password(&first.identity, "not the password", "another good one").await;
    assert!(matches!(wrong, Err(AccountError::InvalidCredentials)));
    accounts.change_password(&first.identity, PASSWORD, "another good one").await.unwrap();
    assert!(stage.has(&first.access_token).await.is_ok());
    assert_eq!(stage.has(&second.access_token).await, Err(Unverified::Ended));
    assert!(stage.sign_in(&customer(), "ada@passwords.example", PASSWORD).await.is_err());
}

async fn renewing(stage: &Stage) {
    let accounts = &stage.accounts;
    let first = accounts.guest(&customer(), json!({}), &here()).await.unwrap();
    stage.pass(15 * MINUTE);
    assert_eq!(stage.has(&first.access_token).await, Err(Unverified::Invalid), "fifteen minutes");
    assert!(
        accounts.verify_for_play(&first.access_token, true).await.is_ok(),
        "a socket comes back to its seat"
    );
    let second = accounts.renew(&customer(), &first.refresh_token).await.unwrap();
    assert_eq!(second.identity, first.identity);
    // Two tabs at once.
    let tab = accounts.renew(&customer(), &first.refresh_token).await.unwrap();
    assert!(stage.has(&tab.access_token).await.is_ok());
    // Somebody who copied it, later: the login ends, for both.
    stage.pass(11_000);
    let mut endings = accounts.endings();
    assert!(matches!(accounts.renew(&customer(), &first.refresh_token).await, Err(AccountError::WrongCode)));
    assert_eq!(endings.try_recv().unwrap().logins, [first.identity.login.to_string()]);
    assert_eq!(stage.has(&second.access_token).await, Err(Unverified::Ended));
    assert!(accounts.renew(&customer(), &second.refresh_token).await.is_err());
    // A day, however often it is renewed.
    let mut in_ = accounts.guest(&customer(), json!({}), &here()).await.unwrap();
    for _ in 0..5 {
        stage.pass(DAY / 6);
        in_ = accounts.renew(&customer(), &in_.refresh_token).await.unwrap();
    }
    stage.pass(DAY / 6);
    assert!(matches!(accounts.renew(&customer(), &in_.refresh_token).await, Err(AccountError::WrongCode)));
    for nonsense in ["", "x", &"A".repeat(43)] {
        assert!(accounts.renew(&customer(), nonsense).await.is_err());
    }
    accounts.maintain().await.unwrap();
}

async fn logins_end(stage: &Stage) {
    let accounts = &stage.accounts;
    let one = stage.register(&customer(), "ada@logins.example").await;
    let two = stage.sign_in(&customer(), "ada@logins.example", PASSWORD).await.unwrap();
    let three = stage.sign_in(&customer(), "ada@logins.example", PASSWORD).await.unwrap();
    let listed = accounts.logins(&one.identity).await.unwrap();
    assert_eq!(listed.len(), 3);
    assert_eq!(listed[0].agent, "a test");
    let mut endings = accounts.endings();
    accounts.end_login(&one.identity, &two.identity.login).await.unwrap();
    assert_eq!(endings.try_recv().unwrap().logins, [two.identity.login.to_string()]);
    assert_eq!(stage.has(&two.access_token).await, Err(Unverified::Ended));
    assert_eq!(accounts.verify_for_play(&two.access_token, true).await, Err(Unverified::Ended));
    // Not somebody else's.
    let stranger = guest_of(stage).await;
    assert!(matches!(
        accounts.end_login(&stranger, &three.identity.login).await,
        Err(AccountError::NotFound("login"))
    ));
    assert_eq!(accounts.end_logins(&one.identity, true).await.unwrap(), 1);
    assert_eq!(stage.has(&three.access_token).await, Err(Unverified::Ended));
    accounts.sign_out(&one.identity).await.unwrap();
    assert_eq!(stage.has(&one.access_token).await, Err(Unverified::Ended));
    // With what is left when the access token has expired.
    let late = accounts.guest(&customer(), json!({}), &here()).await.unwrap();
    stage.pass(16 * MINUTE);
    accounts.sign_out_with(&customer(), &late.refresh_token).await.unwrap();
    assert!(accounts.renew(&customer(), &late.refresh_token).await.is_err());
    assert_eq!(accounts.verify_for_play(&late.access_token, true).await, Err(Unverified::Ended));
    assert!(matches!(accounts.sign_out_with(&customer(), "nonsense").await, Err(AccountError::WrongCode)));
}

async fn second_factors(stage: &Stage) {
    let accounts = &stage.accounts;
    let ada = stage.register(&customer(), "ada@factor.example").await;
    assert!(accounts.begin_factor(&ada.identity, "not the password").await.is_err());
    let seed = seed_of(&accounts.begin_factor(&ada.identity, PASSWORD).await.unwrap());
    // It does not count before a code of it was shown.
    assert!(stage.sign_in(&customer(), "ada@factor.example", PASSWORD).await.is_ok());
    assert!(accounts.confirm_factor(&ada.identity, "000000").await.is_err());
    let code = stage.digits(&seed);
    let recovery = accounts.confirm_factor(&ada.identity, &code).await.unwrap();
    assert_eq!(recovery.len(), 10);
    let challenge = || async {
        match accounts.sign_in(&customer(), "ada@factor.example", PASSWORD, &here()).await.unwrap() {
            Entrance::SecondFactor { challenge } => challenge,
            Entrance::Open(_) => panic!("no second factor was asked for"),
        }
    };
    let first = challenge().await;
    // A code counts once, also the one that was shown to begin.
    let replay = accounts.sign_in_with_code(&customer(), &first, &code, &here()).await;
    assert!(matches!(replay, Err(AccountError::WrongCode)), "{replay:?}");
    stage.pass(30_000);
    let code = stage.digits(&seed);
    let in_ = accounts.sign_in_with_code(&customer(), &first, &code, &here()).await.unwrap();
    assert!(in_.identity.second_factor);
    let again = accounts.sign_in_with_code(&customer(), &first, &code, &here()).await;
    assert!(matches!(again, Err(AccountError::WrongCode)), "the challenge is used up");
    let second = challenge().await;
    assert!(
        accounts.sign_in_with_code(&customer(), &second, &code, &here()).await.is_err(),
        "seen over a shoulder"
    );
    // Recovery codes: once each, however they are written.
    let spelled = recovery[0].to_uppercase().replace('-', " ");
    assert!(accounts.sign_in_with_code(&customer(), &second, &spelled, &here()).await.is_ok());
    let third = challenge().await;
    assert!(accounts.sign_in_with_code(&customer(), &third, &recovery[0], &here()).await.is_err());
    assert_eq!(accounts.factor_status(&ada.identity).await.unwrap(), (true, 9));
    // Few guesses: the fifth wrong one ends it for a quarter of an hour, for right ones too.
    stage.pass(15 * MINUTE);
    let fourth = challenge().await;
    for _ in 0..5 {
        let wrong = accounts.sign_in_with_code(&customer(), &fourth, "123456", &here()).await;
        assert!(matches!(wrong, Err(AccountError::WrongCode)), "{wrong:?}");
    }
    let right = accounts.sign_in_with_code(&customer(), &fourth, &stage.digits(&seed), &here()).await;
    assert!(matches!(right, Err(AccountError::Throttled(_))), "{right:?}");
    // A new password does not lead past it.
    accounts.request_reset(&customer(), "ada@factor.example", "192.0.2.1").unwrap();
    let code = stage.code("ada@factor.example", "new password").await;
    let confirm = stage.code("ada@factor.example", "Confirm").await;
    accounts.confirm_email(&customer(), &confirm).await.unwrap();
    accounts.reset_password(&customer(), &code, "a password chosen anew").await.unwrap();
    let entered =
        accounts.sign_in(&customer(), "ada@factor.example", "a password chosen anew", &here()).await;
    assert!(matches!(entered, Ok(Entrance::SecondFactor { .. })));
    let guest = guest_of(stage).await;
    assert!(matches!(accounts.begin_factor(&guest, "").await, Err(AccountError::NotAllowed(_))));
}

async fn mails(stage: &Stage) {
    let accounts = &stage.accounts;
    let ada = stage.register(&customer(), "ada@mails.example").await;
    let code = stage.code("ada@mails.example", "Confirm").await;
    assert!(!accounts.account(&ada.identity).await.unwrap().email_confirmed);
    accounts.confirm_email(&customer(), &code).await.unwrap();
    assert!(accounts.account(&ada.identity).await.unwrap().email_confirmed);
    assert!(accounts.confirm_email(&customer(), &code).await.is_err(), "once");
    // A reset: once, for an hour, and everybody is out.
    accounts.request_reset(&customer(), "ADA@mails.example", "192.0.2.1").unwrap();
    let code = stage.code("ada@mails.example", "new password").await;
    assert!(accounts.reset_is_open(&customer(), &code).await.unwrap());
    let weak = accounts.reset_password(&customer(), &code, "password").await;
    assert!(matches!(weak, Err(AccountError::Password(_))));
    accounts.reset_password(&customer(), &code, "a password chosen anew").await.unwrap();
    assert!(accounts.reset_password(&customer(), &code, "yet another password").await.is_err());
    assert_eq!(stage.has(&ada.access_token).await, Err(Unverified::Ended));
    stage.sign_in(&customer(), "ada@mails.example", "a password chosen anew").await.unwrap();
    accounts.request_reset(&customer(), "ada@mails.example", "192.0.2.1").unwrap();
    let before = code;
    let mut code = before.clone();
    while code == before {
        tokio::task::yield_now().await;
        code = stage.code("ada@mails.example", "new password").await;
    }
    stage.pass(61 * MINUTE);
    assert!(accounts.reset_password(&customer(), &code, "a password too late").await.is_err());
    // Nobody's address: said nothing, sent nothing.
    let sent = stage.mail.0.lock().unwrap().len();
    accounts.request_reset(&customer(), "nobody@mails.example", "192.0.2.1").unwrap();
    // Whoever made an account with somebody else's address loses it to the address's owner, second factor and all.
    let squatter = stage.register(&customer(), "victim@mails.example").await;
    let seed = seed_of(&accounts.begin_factor(&squatter.identity, PASSWORD).await.unwrap());
    accounts.confirm_factor(&squatter.identity, &stage.digits(&seed)).await.unwrap();
    accounts.request_reset(&customer(), "victim@mails.example", "192.0.2.9").unwrap();
    let code = stage.code("victim@mails.example", "new password").await;
    accounts.reset_password(&customer(), &code, "the owner's own words").await.unwrap();
    assert_eq!(stage.has(&squatter.access_token).await, Err(Unverified::Ended));
    stage.sign_in(&customer(), "victim@mails.example", "the owner's own words").await.unwrap();
    assert!(stage.mail.0.lock().unwrap()[sent..].iter().all(|letter| letter.to != "nobody@mails.example"));
}

async fn addresses_change(stage: &Stage) {
    let accounts = &stage.accounts;
    stage.register(&customer(), "ada@moves.example").await;
    // One that nobody confirmed is replaced at once, and the old mail's code is void.
    let eve = stage.register(&customer(), "eve@moves.example").await;
    let old = stage.code("eve@moves.example", "Confirm").await;
    accounts.change_email(&eve.identity, PASSWORD, None, "eve2@moves.example").await.unwrap();
    assert!(accounts.confirm_email(&customer(), &old).await.is_err());
    accounts.confirm_email(&customer(), &stage.code("eve2@moves.example", "Confirm").await).await.unwrap();
    // One that somebody confirmed stays until the next one is, and hears of it.
    accounts.change_email(&eve.identity, PASSWORD, None, "eve3@moves.example").await.unwrap();
    let shown = || async { accounts.account(&eve.identity).await.unwrap() };
    assert_eq!(shown().await.email.as_deref(), Some("eve2@moves.example"));
    assert!(shown().await.email_confirmed);
    let code = stage.code("eve3@moves.example", "Confirm").await;
    let told =
        |letter: &Letter| letter.to == "eve2@moves.example" && letter.subject.contains("to be changed");
    while !stage.mail.0.lock().unwrap().iter().any(told) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    accounts.confirm_email(&customer(), &code).await.unwrap();
    assert_eq!(shown().await.email.as_deref(), Some("eve3@moves.example"));
    // How it is written is no other address.
    accounts.change_email(&eve.identity, PASSWORD, None, "Eve3@moves.example").await.unwrap();
    assert!(shown().await.email_confirmed);
    // Whether there is an account is asked ten times an hour and no more; mails leave as seldom.
    for _ in 0..10 {
        let taken = accounts.change_email(&eve.identity, PASSWORD, None, "Ada@Moves.example").await;
        assert!(matches!(taken, Err(AccountError::EmailTaken)), "{taken:?}");
    }
    let enough = accounts.change_email(&eve.identity, PASSWORD, None, "ada@moves.example").await;
    assert!(matches!(enough, Err(AccountError::Throttled(_))), "{enough:?}");
    stage.pass(60 * MINUTE);
    let before = stage.mail.0.lock().unwrap().len();
    for n in 0..12 {
        let to = format!("nobody{n}@moves.example");
        accounts.change_email(&eve.identity, PASSWORD, None, &to).await.unwrap();
    }
    stage.code("nobody9@moves.example", "Confirm").await;
    let all = stage.mail.0.lock().unwrap();
    let asked = all[before..].iter().filter(|letter| letter.to.starts_with("nobody"));
    assert_eq!(asked.count(), 10);
    assert!(
        all.iter().all(|letter| !letter.subject.contains("Confirm") || letter.text.starts_with("Hello,\n"))
    );
}

/// Who has the mail, or an open page and the password, has not the second factor.
async fn a_factor_is_not_walked_around(stage: &Stage) {
    let accounts = &stage.accounts;
    let of = CustomerId::new("factors").unwrap();
    let (chief, seed) = stage.with_role(&of, "chief@around.example", Some(Role::CustomerAdmin)).await;
    let bare = accounts.change_email(&chief.identity, PASSWORD, None, "thief@around.example").await;
    assert!(matches!(bare, Err(AccountError::FactorRequired)), "{bare:?}");
    let wrong =
        accounts.change_email(&chief.identity, PASSWORD, Some("123456"), "thief@around.example").await;
    assert!(matches!(wrong, Err(AccountError::WrongCode)), "{wrong:?}");
    stage.pass(MINUTE);
    let code = stage.digits(&seed);
    accounts.change_email(&chief.identity, PASSWORD, Some(&code), "thief@around.example").await.unwrap();
    // A role is for those whose mail is known to be theirs.
    let (member, _) = stage.with_role(&of, "member@around.example", None).await;
    let by = Principal::Player(chief.identity.clone());
    let unconfirmed = accounts.set_role(&by, &member.identity.id, Role::Moderator, true).await;
    assert!(matches!(unconfirmed, Err(AccountError::Conflict(_))), "{unconfirmed:?}");
    // The mailbox alone: a new password, and the factor is asked for as before.
    for email in ["chief@around.example", "thief@around.example"] {
        accounts.request_reset(&of, email, "192.0.2.1").unwrap();
    }
    let code = stage.code("chief@around.example", "new password").await;
    accounts.reset_password(&of, &code, "a password chosen anew").await.unwrap();
    let entered = accounts.sign_in(&of, "chief@around.example", "a password chosen anew", &here()).await;
    assert!(matches!(entered, Ok(Entrance::SecondFactor { .. })), "{entered:?}");
    let sent = stage.mail.0.lock().unwrap();
    assert!(!sent.iter().any(|letter| letter.to.starts_with("thief") && letter.subject.contains("password")));
}

/// For every role that may give roles: it gives and takes what it may do itself, and makes keys that may do no more.
async fn nobody_rises(stage: &Stage) {
    let accounts = &stage.accounts;
    let of = CustomerId::new("rising").unwrap();
    let (player, _) = stage.with_role(&of, "player@rising.example", Some(Role::Moderator)).await;
    for giver in [Role::Admin, Role::CustomerAdmin] {
        let (by, _) = stage.with_role(&of, &format!("{giver}@rising.example"), Some(giver)).await;
        let by = Principal::Player(by.identity);
        let Principal::Player(identity) = &by else { unreachable!() };
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Player) {
            let within = Permission::ALL.iter().all(|one| !allows(role, *one) || by.may(*one));
            let within = within && (role != Role::Admin || giver == Role::Admin);
            for has in [true, false] {
                let done = accounts.set_role(&by, &player.identity.id, role, has).await;
                assert_eq!(done.is_ok(), within, "{giver} {role} {has}: {done:?}");
            }
        }
        for scope in Permission::ALL {
            let made = accounts.create_key(identity, "a server", &[scope], None).await;
            let fits = scope.for_servers() && (by.may(scope) || scope == Permission::ResultsWrite);
            assert_eq!(made.is_ok(), fits, "{giver} {scope}: {made:?}");
        }
    }
    let log = accounts.store().audit_log(&of, i64::MAX, 500).await.unwrap();
    assert!(!log.iter().any(|entry| entry.details.contains("keys:manage")));
}

/// Many guesses at the same time are no more guesses.
async fn guesses_at_once(stage: &Stage) {
    let accounts = &stage.accounts;
    stage.register(&customer(), "ada@once.example").await;
    let guess = |n: usize| {
        let accounts = accounts.clone();
        tokio::spawn(async move {
            let guess = format!("not the password {n}");
            let device = from("203.0.113.77");
            let refused = accounts.sign_in(&customer(), "ada@once.example", &guess, &device).await;
            matches!(refused, Err(AccountError::InvalidCredentials))
        })
    };
    let looked_at = count((0..40).map(guess).collect()).await;
    assert!(looked_at <= 10, "{looked_at} guesses were looked at");
    let (bob, seed) = stage.with_role(&customer(), "bob@once.example", None).await;
    stage.pass(MINUTE);
    let right = stage.digits(&seed);
    let guess = |n: usize| {
        let (accounts, identity, right) = (accounts.clone(), bob.identity.clone(), right.clone());
        tokio::spawn(async move {
            let guess = format!("{n:06}");
            let refused = accounts.renew_recovery_codes(&identity, &guess).await;
            guess != right && matches!(refused, Err(AccountError::WrongCode))
        })
    };
    let looked_at = count((0..40).map(guess).collect()).await;
    assert!(looked_at <= 5, "{looked_at} codes were looked at");
}

async fn staff(stage: &Stage) {
    let accounts = &stage.accounts;
    let audit = CustomerId::new("audit").unwrap();
    let (admin, _) = stage.with_role(&audit, "admin@staff.example", Some(Role::Admin)).await;
    let (chief, _) = stage.with_role(&audit, "chief@staff.example", Some(Role::CustomerAdmin)).await;
    let (moderator, _) = stage.with_role(&audit, "mod@staff.example", Some(Role::Moderator)).await;
    let player = stage.register(&audit, "player@staff.example").await;
    let admin = Principal::Player(stage.has(&admin.access_token).await.unwrap());
    let chief_is = Principal::Player(stage.has(&chief.access_token).await.unwrap());
    let moderator_is = Principal::Player(stage.has(&moderator.access_token).await.unwrap());
    assert!(admin.may(Permission::RolesGrant) && chief_is.may(Permission::KeysManage));
    assert!(moderator_is.may(Permission::AccountsBan) && !moderator_is.may(Permission::AuditRead));
    // A role without a second factor opens nothing.
    let bare = Principal::Player(Identity { second_factor: false, ..chief.identity.clone() });
    assert!(Permission::ALL.iter().all(|permission| !bare.may(*permission)));
    // Upwards nobody acts, and nobody gives what they do not have.
    let up = accounts.ban(&moderator_is, &chief.identity.id, "because", None).await;
    assert!(matches!(up, Err(AccountError::NotAllowed(_))), "{up:?}");
    let more = accounts.set_role(&chief_is, &player.identity.id, Role::Admin, true).await;
    assert!(matches!(more, Err(AccountError::NotAllowed(_))));
    let own = accounts.ban(&moderator_is, &moderator.identity.id, "because", None).await;
    assert!(matches!(own, Err(AccountError::NotAllowed(_))));
    // A ban ends everything at once and says why.
    let mut endings = accounts.endings();
    let until = accounts.now() + 60 * MINUTE;
    accounts.ban(&moderator_is, &player.identity.id, " cheating ", Some(until)).await.unwrap();
    assert_eq!(endings.try_recv().unwrap().logins, [player.identity.login.to_string()]);
    assert_eq!(stage.has(&player.access_token).await, Err(Unverified::Ended));
    match stage.sign_in(&audit, "player@staff.example", PASSWORD).await {
        Err(AccountError::Banned { reason, until: told }) => {
            assert_eq!((reason.as_str(), told), ("cheating", Some(until)))
        }
        other => panic!("{other:?}"),
    }
    stage.pass(60 * MINUTE);
    stage.sign_in(&audit, "player@staff.example", PASSWORD).await.unwrap();
    accounts.ban(&moderator_is, &player.identity.id, "again", None).await.unwrap();
    accounts.unban(&moderator_is, &player.identity.id).await.unwrap();
    stage.sign_in(&audit, "player@staff.example", PASSWORD).await.unwrap();
    // A lost role is lost at once, by tokens that were issued before.
    let renewed = accounts.renew(&audit, &moderator.refresh_token).await.unwrap();
    assert!(stage.has(&renewed.access_token).await.unwrap().roles.has(Role::Moderator));
    accounts.set_role(&chief_is, &moderator.identity.id, Role::Moderator, false).await.unwrap();
    assert_eq!(
        stage.has(&renewed.access_token).await,
        Err(Unverified::Ended),
        "signed out, so rooms know too"
    );
    let was = accounts.account_of(&audit, &moderator.identity.id).await.unwrap();
    assert!(!was.roles.is_staff());
    // The last admin stays.
    let Principal::Player(admin_identity) = &admin else { unreachable!() };
    let above = accounts.set_role(&chief_is, &admin_identity.id, Role::SupportAgent, true).await;
    assert!(matches!(above, Err(AccountError::NotAllowed(_))), "nobody acts on those above: {above:?}");
    let last = accounts.set_role(&admin, &admin_identity.id, Role::Admin, false).await;
    assert!(matches!(last, Err(AccountError::Conflict(_))));
    assert!(matches!(accounts.delete(&admin, &admin_identity.id).await, Err(AccountError::Conflict(_))));
    assert!(matches!(
        accounts.remove_factor(&chief.identity, "123456").await,
        Err(AccountError::NotAllowed(_))
    ));
    // All of it is in the log, in order, and reading is too.
    let log = accounts.audit_log(&chief_is, None, 100).await.unwrap();
    let actions: Vec<_> = log.iter().map(|record| record.action.as_str()).collect();
    assert_eq!(actions[0], "audit.read");
    for action in ["account.ban", "account.unban", "role.grant", "role.take", "factor.add"] {
        assert!(actions.contains(&action), "{action} is not in {actions:?}");
    }
    let (entries, _) = accounts.verify_audit(&audit).await.unwrap().unwrap();
    assert_eq!(entries, i64::try_from(log.len()).unwrap());
    // The first admin, by the settings, once the address is confirmed.
    let root = stage.register(&customer(), "root@staff.example").await;
    assert!(!stage.has(&root.access_token).await.unwrap().roles.has(Role::Admin));
    let code = stage.code("root@staff.example", "Confirm").await;
    accounts.confirm_email(&customer(), &code).await.unwrap();
    let identity = stage.has(&root.access_token).await.unwrap();
    assert!(identity.roles.has(Role::Admin));
    assert!(!Principal::Player(identity).may(Permission::RolesGrant), "not without a second factor");
}

async fn the_service_is_spoken_of(stage: &Stage) {
    let accounts = &stage.accounts;
    let of = CustomerId::new("service").unwrap();
    let (admin, _) = stage.with_role(&of, "admin@service.example", Some(Role::Admin)).await;
    let by = Principal::Player(admin.identity);
    assert_eq!(accounts.said_service().await.unwrap(), SaidService { version: 0, word: None });
    let word =
        ServiceWord { level: ServiceLevel::Maintenance, message: "new disks".into(), until: Some(1_000) };
    assert_eq!(accounts.say_service(&by, Some(&word)).await.unwrap(), 1);
    let another = ServiceWord { level: ServiceLevel::Limited, message: String::new(), until: None };
    assert_eq!(accounts.say_service(&by, Some(&another)).await.unwrap(), 2);
    assert_eq!(accounts.said_service().await.unwrap(), SaidService { version: 2, word: Some(another) });
    assert_eq!(accounts.say_service(&by, None).await.unwrap(), 3);
    assert_eq!(accounts.said_service().await.unwrap(), SaidService { version: 3, word: None });
    let log = accounts.audit_log(&by, None, 10).await.unwrap();
    let acts: Vec<&str> = log.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(acts[..4], ["audit.read", "service.unset", "service.set", "service.set"]);
    assert!(log[3].details.contains("maintenance") && log[3].actor.starts_with("account:"), "{:?}", log[3]);
}

async fn keys_of_servers(stage: &Stage) {
    let accounts = &stage.accounts;
    let of = CustomerId::new("servers").unwrap();
    let (admin, _) = stage.with_role(&of, "admin@keys.example", Some(Role::CustomerAdmin)).await;
    let by = &admin.identity;
    for scopes in [&[][..], &[Permission::KeysManage], &[Permission::RolesGrant]] {
        assert!(accounts.create_key(by, "too much", scopes, None).await.is_err());
    }
    let made = accounts.create_key(by, "results", &[Permission::ResultsWrite], None).await.unwrap();
    assert!(made.token.starts_with("epk_servers."));
    let server = accounts.verify(&made.token).await.unwrap();
    assert!(server.may(Permission::ResultsWrite) && !server.may(Permission::AuditRead));
    assert_eq!(server.customer(), &of);
    for forged in ["epk_", "epk_servers", "epk_default.x.y", &made.token[..made.token.len() - 1]] {
        assert_eq!(accounts.verify(forged).await, Err(Unverified::Invalid), "{forged}");
    }
    let of_another = made.token.replace("epk_servers", "epk_default");
    assert_eq!(accounts.verify(&of_another).await, Err(Unverified::Invalid));
    // Both secrets for a day.
    let rotated = accounts.rotate_key(by, &made.key.id).await.unwrap();
    assert!(accounts.verify(&made.token).await.is_ok() && accounts.verify(&rotated.token).await.is_ok());
    stage.pass(DAY);
    assert_eq!(accounts.verify(&made.token).await, Err(Unverified::Invalid));
    assert!(accounts.verify(&rotated.token).await.is_ok());
    let listed = accounts.keys(&of).await.unwrap();
    assert_eq!((listed.len(), listed[0].uses), (1, 4));
    accounts.revoke_key(by, &made.key.id).await.unwrap();
    assert_eq!(accounts.verify(&rotated.token).await, Err(Unverified::Invalid));
    assert!(matches!(accounts.rotate_key(by, &made.key.id).await, Err(AccountError::NotFound("key"))));
    let short =
        accounts.create_key(by, "short", &[Permission::AccountsRead], Some(accounts.now() + 10)).await;
    let short = short.unwrap();
    stage.pass(10);
    assert_eq!(accounts.verify(&short.token).await, Err(Unverified::Invalid));
}

async fn being_forgotten(stage: &Stage) {
    let accounts = &stage.accounts;
    let ada = stage.register(&customer(), "ada@forget.example").await;
    let id = ada.identity.id.to_string();
    let all = accounts.export(&customer(), &id).await.unwrap();
    assert_eq!(all["account"]["email"], "ada@forget.example");
    assert_eq!(all["elsewhere"]["games"]["playedBy"], id.as_str());
    assert!(!all.to_string().contains("argon2"), "no secrets leave");
    let mut endings = accounts.endings();
    accounts.delete(&Principal::Player(ada.identity.clone()), &id).await.unwrap();
    // Once before and once after: what arrived in between goes too.
    assert_eq!(*stage.erased.0.lock().unwrap(), [id.clone(), id.clone()]);
    assert_eq!(endings.try_recv().unwrap().logins, [ada.identity.login.to_string()]);
    assert!(stage.has(&ada.access_token).await.is_err());
    assert!(accounts.renew(&customer(), &ada.refresh_token).await.is_err());
    assert!(matches!(accounts.profile(&customer(), &id).await, Err(AccountError::NotFound(_))));
    let row = accounts.account_of(&customer(), &id).await.unwrap();
    assert_eq!((row.email, row.display_name.as_str(), row.is_active), (None, "Deleted player", false));
    // The address is free again.
    assert_ne!(stage.register(&customer(), "ada@forget.example").await.identity.id.as_str(), id);
}

async fn races(stage: &Stage) {
    let accounts = &stage.accounts;
    let many = |n: usize, one: Box<dyn Fn(usize) -> tokio::task::JoinHandle<bool> + '_>| {
        (0..n).map(one).collect::<Vec<_>>()
    };
    let register = many(
        12,
        Box::new(|n| {
            let accounts = accounts.clone();
            tokio::spawn(async move {
                let device = from(&format!("203.0.113.{n}"));
                accounts
                    .register(&customer(), "one@race.example", PASSWORD, json!({}), None, &device)
                    .await
                    .is_ok()
            })
        }),
    );
    assert_eq!(count(register).await, 1, "one address, one account");
    let (ada, seed) = stage.with_role(&customer(), "ada@race.example", None).await;
    stage.pass(MINUTE);
    let codes = accounts.renew_recovery_codes(&ada.identity, &stage.digits(&seed)).await.unwrap();
    let mut challenges = Vec::new();
    for _ in 0..8 {
        match accounts.sign_in(&customer(), "ada@race.example", PASSWORD, &here()).await.unwrap() {
            Entrance::SecondFactor { challenge } => challenges.push(challenge),
            Entrance::Open(_) => panic!("no second factor was asked for"),
        }
    }
    let recovered = many(
        4,
        Box::new(|n| {
            let (accounts, challenge, code) = (accounts.clone(), challenges[n].clone(), codes[0].clone());
            tokio::spawn(async move {
                accounts.sign_in_with_code(&customer(), &challenge, &code, &here()).await.is_ok()
            })
        }),
    );
    assert_eq!(count(recovered).await, 1, "a recovery code opens once");
    stage.pass(15 * MINUTE);
    let guest = accounts.guest(&customer(), json!({}), &here()).await.unwrap();
    let renewed = many(
        8,
        Box::new(|_| {
            let (accounts, token) = (accounts.clone(), guest.refresh_token.clone());
            tokio::spawn(async move { accounts.renew(&customer(), &token).await.is_ok() })
        }),
    );
    assert_eq!(count(renewed).await, 8, "tabs of one browser are no thieves");
    let renamed = many(
        4,
        Box::new(|n| {
            let (accounts, identity) = (accounts.clone(), guest.identity.clone());
            let change = match n % 2 {
                0 => ProfileChange { region: Some("eu".into()), ..Default::default() },
                _ => ProfileChange { display_name: Some("Both".into()), ..Default::default() },
            };
            tokio::spawn(async move { accounts.change_profile(&identity, &change).await.is_ok() })
        }),
    );
    assert_eq!(count(renamed).await, 4);
    let profile = accounts.profile(&customer(), &guest.identity.id).await.unwrap();
    assert_eq!(
        (profile.region.as_deref(), profile.display_name.as_str()),
        (Some("eu"), "Both"),
        "no change is lost"
    );
}

/// Two admins, on two nodes or one, step down at the same time: one of them stays.
async fn somebody_stays(stage: &Stage) {
    let of = CustomerId::new("stepping-down").unwrap();
    for round in 0..2 {
        let mut both = Vec::new();
        for name in ["one", "two"] {
            let email = format!("{name}{round}@down.example");
            let (in_, _) = stage.with_role(&of, &email, Some(Role::Admin)).await;
            both.push(in_.identity);
        }
        // Those of the rounds before are gone, but one.
        let log = stage.accounts.store();
        let step = |identity: Identity| {
            let accounts = stage.accounts.clone();
            tokio::spawn(async move {
                let by = Principal::Player(identity.clone());
                accounts.set_role(&by, &identity.id, Role::Admin, false).await.is_ok()
            })
        };
        let tasks: Vec<_> = both.iter().cloned().map(step).collect();
        let stepped = count(tasks).await;
        let mut left = 0;
        for identity in &both {
            let row = log.user(&of, &identity.id).await.unwrap().unwrap();
            left += usize::from(row.roles.has(Role::Admin));
        }
        assert_eq!(stepped + left, 2);
        assert!(round > 0 || left == 1, "the first two: one stays");
    }
}

async fn count(tasks: Vec<tokio::task::JoinHandle<bool>>) -> usize {
    let mut all = 0;
    for task in tasks {
        all += usize::from(task.await.unwrap());
    }
    all
}

async fn customers_apart(stage: &Stage) {
    let (a, b) = (CustomerId::new("tenant-a").unwrap(), CustomerId::new("tenant-b").unwrap());
    let accounts = &stage.accounts;
    let of_a = stage.register(&a, "same@apart.example").await;
    // Mails leave in the background: only one that is there already is surely the older one.
    let code_of_a = stage.code("same@apart.example", "Confirm").await;
    let of_b = stage.register(&b, "same@apart.example").await;
    assert_ne!(of_a.identity.id, of_b.identity.id);
    assert_eq!(stage.has(&of_a.access_token).await.unwrap().customer, a);
    assert!(accounts.renew(&b, &of_a.refresh_token).await.is_err(), "a token of A at B");
    assert!(accounts.profile(&b, &of_a.identity.id).await.is_err());
    let code_of_b = loop {
        match stage.code("same@apart.example", "Confirm").await {
            code if code == code_of_a => tokio::time::sleep(Duration::from_millis(10)).await,
            code => break code,
        }
    };
    assert!(accounts.confirm_email(&a, &code_of_b).await.is_err(), "the code is B's");
    accounts.confirm_email(&a, &code_of_a).await.unwrap();
    let (admin, _) = stage.with_role(&a, "admin@apart.example", Some(Role::CustomerAdmin)).await;
    let admin = Principal::Player(admin.identity);
    assert!(matches!(
        accounts.ban(&admin, &of_b.identity.id, "x", None).await,
        Err(AccountError::NotFound(_))
    ));
    assert!(
        accounts
            .audit_log(&admin, None, 500)
            .await
            .unwrap()
            .iter()
            .all(|record| !record.target.contains(of_b.identity.id.as_str()))
    );
}

async fn keys_change(stage: &Stage) {
    let accounts = &stage.accounts;
    let key = |jwks: &Value| jwks["keys"].as_array().unwrap().last().unwrap()["kid"].clone();
    let before = key(&accounts.jwks());
    stage.pass(90 * DAY);
    accounts.maintain().await.unwrap();
    let after = key(&accounts.jwks());
    assert_ne!(before, after);
    // The old one signs until the new one has been listed for a while, and what it signed stays good.
    let guest = accounts.guest(&customer(), json!({}), &here()).await.unwrap();
    stage.pass(11 * MINUTE);
    assert!(stage.has(&guest.access_token).await.is_ok());
    let next = accounts.renew(&customer(), &guest.refresh_token).await.unwrap();
    assert!(stage.has(&next.access_token).await.is_ok());
}
