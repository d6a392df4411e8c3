//! The services beside the rooms: accounts over HTTP, on the stores that the settings ask for.
//!
//! ```text
//! DIR/accounts.sqlite   accounts, logins, keys, audit log
//! DIR/accounts.key      seals what of it is secret; drawn at the first start, readable by its owner only
//! ```

use crate::config::{Config, Stores};
use crate::counting::Counting;
use crate::doors::{self, Doors};
use crate::leaderboard;
use crate::levels::{self, LiveProbe, Watched};
use crate::line::{AllConnections, PlainConnections};
use crate::pairing::RoomSeats;
use crate::searches::RoomSearches;
use crate::support::{Duties, Support};
use crate::tables::RoomTables;
use crate::{Error, Result};
use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use everplay_accounts::{AccountStore, Accounts, Parts, Provider, Sealer, SmtpMail};
use everplay_api::auth::Origins;
use everplay_api::games::GameServices;
use everplay_api::levels::Levels;
use everplay_api::{Api, Authenticate, Caller, Layers, RatePolicy};
use everplay_gateway::{ClientInfo, SocketSlot, StaffPaths};
use everplay_live::{Allowances, LiveStore};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::JoinSet;

/// The services of one server.
pub(crate) struct Services {
    accounts: Accounts,
    doors: Arc<Doors>,
    counting: Counting,
    support: Support,
    levels: Levels,
    live: Arc<dyn LiveStore>,
    probe: LiveProbe,
    _duties: Duties,
    /// Set when the routes are made.
    tables: Option<Arc<RoomTables>>,
    /// What runs beside the rooms, and ends with the services.
    tasks: JoinSet<()>,
}

/// What services need of the rooms and their stores.
pub(crate) struct OfRooms {
    pub(crate) allowances: Option<Arc<dyn Allowances>>,
    pub(crate) seats: Arc<RoomSeats>,
    pub(crate) connections: Arc<PlainConnections>,
}

impl Services {
    /// Opens the account store and starts what runs beside it.
    pub(crate) async fn open(config: &Config, live: &Arc<dyn LiveStore>) -> Result<Self> {
        let (store, sealer) = open_store(config).await?;
        let mut parts = Parts::new(store, sealer);
        parts.providers = providers(config);
        parts.admins = Some(config.admin.clone()).filter(|admin| !admin.is_empty()).into_iter().collect();
        if !config.smtp_url.0.is_empty() {
            let smtp = SmtpMail::new(&config.smtp_url.0, &config.mail_from).map_err(Error::Store)?;
            parts.mailer = Arc::new(smtp);
        } else {
            let printed = "no SMTP server is set: mails are written to the log, with links that confirm addresses and \
                reset passwords";
            // On one's own machine that is what one wants.
            if config.host.is_loopback() {
                tracing::info!("{printed}");
            } else {
                tracing::warn!("{printed}");
            }
        }
        let counting = Counting::open(config).await?;
        let support = Support::new(config, Arc::clone(&counting.records), live);
        parts.personal = counting.personal();
        parts.personal.push(support.personal());
        let mailer = Arc::clone(&parts.mailer);
        let accounts = Accounts::start(parts).await.map_err(|error| Error::Store(error.to_string()))?;
        let duties = support.start(config, accounts.clone(), mailer)?;
        let doors = Arc::new(Doors::new(accounts.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(doors::watch(Arc::downgrade(&doors), accounts.endings()));
        Ok(Services {
            accounts,
            doors,
            counting,
            support,
            levels: Levels::default(),
            live: Arc::clone(live),
            probe: LiveProbe::default(),
            _duties: duties,
            tables: None,
            tasks,
        })
    }

    /// The accounts.
    pub(crate) fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Says who comes to the seats of rooms.
    pub(crate) fn doors(&self) -> Arc<Doors> {
        Arc::clone(&self.doors)
    }

    /// How much of the service there is.
    pub(crate) fn levels(&self) -> &Levels {
        &self.levels
    }

    /// What is known of the answers of the store of rooms.
    pub(crate) fn probe(&self) -> &LiveProbe {
        &self.probe
    }

    /// What takes the events of rooms.
    pub(crate) fn events(&self) -> everplay_node::Events {
        self.counting.events(&self.accounts)
    }

    /// All services as routes; games are played in the rooms of `node`, those of the kind `first` when nobody says.
    pub(crate) fn router(
        &mut self,
        config: &Config,
        node: &everplay_node::Handle,
        first: Option<String>,
        rooms: OfRooms,
    ) -> Router {
        let tables = Arc::new(RoomTables::new(node.clone(), first));
        self.tables = Some(Arc::clone(&tables));
        self.tasks.spawn(leaderboard::feed(node.clone(), self.counting.boards.clone()));
        self.tasks.spawn(levels::tell_rooms(self.levels.clone(), node.clone()));
        let watched = Watched {
            accounts: self.accounts.clone(),
            node: node.clone(),
            boards: self.counting.boards.clone(),
            records: Arc::clone(&self.counting.records),
            live: Arc::clone(&self.live),
            probe: self.probe.clone(),
        };
        self.tasks.spawn(levels::watch(self.levels.clone(), watched));
        let authenticate: Arc<dyn Authenticate> = Arc::new(self.accounts.clone());
        let games = GameServices {
            games: self.counting.games.clone(),
            tables,
            authenticate: Arc::clone(&authenticate),
            accounts: self.accounts.clone(),
        };
        let origins = Origins(web_origins(config).collect());
        let mut layers = Layers::new(authenticate);
        layers.levels = self.levels.clone();
        layers.rates = rate_policy(config);
        layers.max_body = config.max_body.0 as usize;
        layers.shared_rates = rooms.allowances;
        let boards = self.counting.boards.clone();
        let connections = AllConnections {
            here: rooms.connections,
            node: node.clone(),
            records: everplay_records::Line::new(Arc::clone(&self.counting.records)),
        };
        let (searches, talking) = RoomSearches::new(rooms.seats);
        self.tasks.spawn(talking);
        Api::new()
            .service(everplay_api::matchmaking::routes(Arc::new(searches), boards))
            .service(everplay_api::line::routes(Arc::new(connections)))
            .service(everplay_api::auth::routes(self.accounts.clone(), origins))
            .service(everplay_api::accounts::routes(self.accounts.clone()))
            .service(everplay_api::boards::routes(self.counting.boards.clone(), self.accounts.clone()))
            .service(everplay_api::tickets::routes(
                self.support.desk.clone(),
                self.support.faq.clone(),
                self.accounts.clone(),
            ))
            .service(everplay_api::levels::routes(self.levels.clone(), self.accounts.clone()))
            .service(everplay_api::faq::routes(self.support.faq.clone()))
            .service(everplay_api::games::routes(games))
            .router(layers)
            .layer(from_fn(tell_caller))
    }

    /// Tells where browsers reach the server, now that its port is known.
    pub(crate) fn serve_at(&self, config: &Config, address: SocketAddr) {
        if config.public_url.is_empty() {
            self.accounts.serve_at(&format!("http://{address}"));
        } else {
            self.accounts.serve_at(&config.public_url);
        }
    }

    /// Lets go of the seats of players who come over HTTP, and ends the sockets that follow games.
    pub(crate) fn leave_tables(&self) {
        if let Some(tables) = &self.tables {
            tables.close();
        }
    }

    /// Ends what runs beside the rooms, so that nothing holds on to the stores, and writes down what was counted.
    pub(crate) async fn close(&mut self) {
        self.tasks.shutdown().await;
        if let Err(error) = self.accounts.close().await {
            tracing::warn!(%error, "uses of keys were not written down");
        }
    }
}

/// Pages on other hosts that are ours too.
fn web_origins(config: &Config) -> impl Iterator<Item = String> {
    let origins = config.web_origins.split(',').map(|origin| origin.trim().trim_end_matches('/').to_owned());
    origins.filter(|origin| !origin.is_empty())
}

/// What is for staff: called from our own pages only.
pub(crate) fn staff_paths(config: &Config) -> StaffPaths {
    let own = Some(config.public_url.trim_end_matches('/').to_owned()).filter(|own| !own.is_empty());
    StaffPaths {
        paths: ["/admin", "/api/admin"].map(str::to_owned).into(),
        origins: web_origins(config).chain(own).collect(),
    }
}

/// How often one may ask.
pub(crate) fn rate_policy(config: &Config) -> RatePolicy {
    RatePolicy {
        account: config.rate_account,
        guest: config.rate_guest,
        matchmake: config.rate_matchmake,
        burst: config.rate_burst,
    }
}

/// What the gateway knows of a request, in the words of the services.
async fn tell_caller(mut request: Request, next: Next) -> Response {
    if let Some(client) = request.extensions().get::<ClientInfo>() {
        let slot = request.extensions().get::<SocketSlot>().cloned();
        let caller = Caller {
            ip: client.ip,
            request_id: Arc::from(client.request_id.as_str()),
            socket: slot.map(|slot| Arc::new(slot) as Arc<dyn std::any::Any + Send + Sync>),
        };
        request.extensions_mut().insert(caller);
    }
    next.run(request).await
}

async fn open_store(config: &Config) -> Result<(AccountStore, Sealer)> {
    let failed = |error: everplay_accounts::StoreError| Error::Store(error.to_string());
    let given = || Sealer::from_text(&config.accounts_key.0);
    match config.stores()? {
        Stores::Memory => {
            Ok((AccountStore::memory().await.map_err(failed)?, given().unwrap_or_else(Sealer::ephemeral)))
        }
        Stores::Sqlite => {
            let store =
                AccountStore::sqlite(&config.data_dir.join("accounts.sqlite")).await.map_err(failed)?;
            let path = config.data_dir.join("accounts.key");
            let sealer = match given() {
                Some(sealer) => sealer,
                None => Sealer::from_file(&path).map_err(|error| Error::DataDir {
                    path,
                    problem: format!("the key of the accounts: {error}"),
                })?,
            };
            Ok((store, sealer))
        }
        Stores::Cluster { database_url, .. } => shared_store(config, database_url).await,
    }
}

#[cfg(not(feature = "cluster"))]
async fn shared_store(_: &Config, _: &str) -> Result<(AccountStore, Sealer)> {
    // The stores of rooms were refused before.
    Err(Error::Store("this program was built without the stores of a cluster".to_owned()))
}

#[cfg(feature = "cluster")]
async fn shared_store(config: &Config, database_url: &str) -> Result<(AccountStore, Sealer)> {
    let store =
        AccountStore::postgres(database_url).await.map_err(|error| Error::Store(error.to_string()))?;
    // Beyond this machine a cluster has a key. On it, the nodes of a developer share what they have in common.
    let texts = [config.accounts_key.0.clone(), config.cluster_key.0.clone(), format!("{database_url:-<32}")];
    let sealer = texts.iter().find_map(|text| Sealer::from_text(text));
    Ok((store, sealer.expect("the last text has 32 characters")))
}

fn providers(config: &Config) -> Vec<Provider> {
    type Make = fn(&str, &str) -> Provider;
    let makes: [(&crate::config::ClientSecret, Make); 3] = [
        (&config.google_login, |id, secret| Provider::google(id, secret)),
        (&config.facebook_login, |id, secret| Provider::facebook(id, secret)),
        (&config.x_login, |id, secret| Provider::x(id, secret)),
    ];
    let named = makes.iter().filter_map(|(setting, make)| {
        let (id, secret) = setting.0.as_ref()?;
        Some(make(id, secret))
    });
    let issuers = config
        .oidc_login
        .0
        .iter()
        .map(|one| Provider::open_id(&one.name, &one.issuer, &one.client_id, &one.client_secret));
    named.chain(issuers).collect()
}
