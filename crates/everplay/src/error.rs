use crate::config::ConfigError;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use thiserror::Error;

/// What a server's `main` returns.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Why a server could not start, or did not end well. Each variant is something another person mends.
///
/// `Debug` prints the whole story in one line, because that is what a `main` that returns it prints.
#[derive(Error)]
pub enum Error {
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Two room kinds have one name, or a name no URL holds.
    #[error("room kind {name:?}: {problem}")]
    RoomKind {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The data directory cannot be used.
    #[error("the data directory {}: {problem}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// In words for the operator.
        problem: String,
    },
    /// A store that is reached over the network cannot be used.
    #[error("{0}")]
    Store(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The stores do not answer.
    #[error("the rooms in the store cannot be listed: {0}")]
    Restore(String),
    /// The operating system refused something a server cannot be without.
    #[error("{what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// A subcommand could not do what it was asked.
    #[error("{0}")]
    Command(String),
}

impl Error {
    pub(crate) fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Error::System { what, source }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
