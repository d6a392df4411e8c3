use crate::config::Config;
use crate::pages::Pages;
use crate::server::{self, Parts, Running};
use crate::{Error, Result, cli, commands};
use everplay_node::Kind;
use everplay_room::{Durability, Room, RoomKind, RoomType, Settings};
use serde_json::{Map, Value};
use std::marker::PhantomData;
use std::sync::Arc;

/// A game server: its room kinds, and what else it serves.
///
/// ```no_run
/// # use everplay::prelude::*;
/// # #[derive(State, Default)] struct Duel {}
/// # impl Room for Duel {
/// #     type Options = Anything; type Timer = ();
/// #     fn create(_: &mut Context<Self>, _: Anything) -> Result<Self, Refusal> { Ok(Duel {}) }
/// # }
/// fn main() -> everplay::Result {
///     everplay::App::new().room::<Duel>("duel").filter_by(["map"]).run()
/// }
/// ```
///
/// `Last` is the kind registered last: [`filter_by`](App::filter_by), [`durability`](App::durability) and
/// [`settings`](App::settings) are about it.
pub struct App<Last = ()> {
    kinds: Vec<Entry>,
    parts: Parts,
    version: &'static str,
    last: PhantomData<fn() -> Last>,
}

struct Entry {
    name: String,
    settings: Settings,
    filter_by: Vec<String>,
    filter_defaults: Map<String, Value>,
    matched: Option<Map<String, Value>>,
    make: fn(&str, Settings) -> Arc<dyn RoomKind>,
}

impl App {
    /// A server without rooms.
    #[expect(clippy::new_without_default, reason = "an App is built in a chain that starts with a verb")]
    pub fn new() -> Self {
        Self {
            kinds: Vec::new(),
            parts: Parts::default(),
            version: env!("CARGO_PKG_VERSION"),
            last: PhantomData,
        }
    }
}

impl<Last> App<Last> {
    /// Adds a room kind under the name that clients join it by.
    pub fn room<R: Room>(mut self, name: impl Into<String>) -> App<R> {
        self.kinds.push(Entry {
            name: name.into(),
            settings: R::settings(),
            filter_by: Vec::new(),
            filter_defaults: Map::new(),
            matched: None,
            make: |name, settings| Arc::new(Arc::new(RoomType::<R>::with_settings(name, settings))),
        });
        App { kinds: self.kinds, parts: self.parts, version: self.version, last: PhantomData }
    }

    /// Serves these pages beside the rooms.
    pub fn pages(mut self, pages: Pages) -> Self {
        self.parts.pages = Some(pages);
        self
    }

    /// Serves these routes beside the rooms; they win over pages.
    pub fn routes(mut self, routes: axum::Router) -> Self {
        self.parts.routes = self.parts.routes.merge(routes);
        self
    }

    /// The version that `--version` prints. Default: Everplay's.
    pub fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// Does what the command line asks for: `serve` unless it says otherwise. Returns when the server has stopped.
    ///
    /// Errors: whatever kept it from starting, in words for the operator. A `main` that returns it exits with 1.
    pub fn run(self) -> Result {
        let task = cli::parse(self.version, std::env::args_os(), std::env::vars_os())?;
        commands::run(task, |config| self.assemble(config))
    }

    /// Starts the server in this process, without command line, logs or signals; for tests and tools. Call it inside
    /// a Tokio runtime. It is ready when this returns.
    pub async fn start(self, config: Config) -> Result<Running> {
        let parts = self.assemble(&config)?;
        server::start(config, parts).await
    }

    fn assemble(self, config: &Config) -> Result<Parts> {
        let mut parts = self.parts;
        let matched = |entry: &Entry| Some((entry.name.clone(), entry.matched.clone()?));
        parts.matched = self.kinds.iter().filter_map(matched).collect();
        parts.kinds = self.kinds.into_iter().map(Entry::kind).collect();
        if config.bench_rooms {
            parts.kinds.extend(crate::arena::kinds());
            parts.kinds.extend(crate::chronicle::kinds());
        }
        check_names(&parts.kinds)?;
        if parts.kinds.iter().all(|kind| kind.kind.name() != crate::leaderboard::NAME) {
            parts.kinds.push(crate::leaderboard::kind());
        }
        if !parts.matched.is_empty() {
            if parts.kinds.iter().any(|kind| kind.kind.name() == crate::searches::NAME) {
                let problem = "players are matched, and whoever searches is in a room of this name";
                return Err(Error::RoomKind { name: crate::searches::NAME.to_owned(), problem });
            }
            parts.kinds.push(crate::searches::kind());
        }
        Ok(parts)
    }
}

impl<R: Room> App<R> {
    /// Lets two clients share a room only if their join options agree in these fields.
    pub fn filter_by<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.last_mut().filter_by.extend(fields.into_iter().map(Into::into));
        self
    }

    /// What it means to leave out one of the options that [`filter_by`](Self::filter_by) names: a client that gives none
    /// and one that gives this share a room. Without it they do not, for the server cannot know what the room makes of it.
    pub fn filter_defaults<'a, V: Into<Value>>(
        mut self,
        options: impl IntoIterator<Item = (&'a str, V)>,
    ) -> Self {
        let options = options.into_iter().map(|(name, value)| (name.to_owned(), value.into()));
        self.last_mut().filter_defaults.extend(options);
        self
    }

    /// Lets matchmaking by rating (`/matchmaking/tickets`) make rooms of this kind for two, with these options; each
    /// player's `name` comes beside them.
    pub fn matched<'a, V: Into<Value>>(mut self, options: impl IntoIterator<Item = (&'a str, V)>) -> Self {
        let options = options.into_iter().map(|(name, value)| (name.to_owned(), value.into()));
        self.last_mut().matched = Some(options.collect());
        self
    }

    /// When what a room computed may be seen by its clients. Default [`Durability::Confirmed`].
    pub fn durability(self, durability: Durability) -> Self {
        self.settings(|settings| settings.durability = durability)
    }

    /// Changes the settings of the kind's type for this name.
    pub fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.last_mut().settings);
        self
    }

    fn last_mut(&mut self) -> &mut Entry {
        self.kinds.last_mut().expect("an App<R> was made by room()")
    }
}

impl Entry {
    fn kind(self) -> Kind {
        let mut kind = Kind::new((self.make)(&self.name, self.settings));
        kind.filter_by = self.filter_by;
        kind.filter_defaults = self.filter_defaults;
        kind
    }
}

fn check_names(kinds: &[Kind]) -> Result {
    let mut seen = std::collections::HashSet::new();
    for kind in kinds {
        let name = kind.kind.name();
        let in_url = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '~');
        let problem = if name.is_empty() || !name.chars().all(in_url) {
            "a name has only letters, digits and _ - . ~, because it stands in URLs as it is"
        } else if !seen.insert(name) {
            "it is registered twice"
        } else {
            continue;
        };
        return Err(Error::RoomKind { name: name.to_owned(), problem });
    }
    Ok(())
}
