//! The links of a server that shares its stores with others.

use crate::Result;
use crate::config::{Config, Stores as Choice};
use everplay_node::ClusterParts;
use everplay_types::ProcessId;
use std::net::SocketAddr;

/// How long a server that stops tries to write what it still has for others.
#[cfg(feature = "cluster")]
const CLOSING: std::time::Duration = std::time::Duration::from_secs(1);

/// The way to the other servers.
pub(crate) struct Cluster {
    #[cfg(feature = "cluster")]
    links: std::sync::Arc<everplay_link::TcpLinks>,
    /// What operators show; without one they ask from the console of a machine.
    #[cfg(feature = "cluster")]
    key: Option<everplay_link::ClusterKey>,
}

impl Cluster {
    /// Listens for the others, if the settings name the stores of a cluster.
    #[cfg(feature = "cluster")]
    pub(crate) async fn open(
        config: &Config,
        process_id: &ProcessId,
        gateway: SocketAddr,
    ) -> Result<Option<(Self, ClusterParts)>> {
        use crate::Error;
        use everplay_link::{AddressError, Certificates, ClusterKey, LinkOptions, Security, TcpLinks};
        use std::sync::Arc;

        if !matches!(config.stores()?, Choice::Cluster { .. }) {
            return Ok(None);
        }
        let incarnation = everplay_types::Incarnation(rand::random());
        let key = match config.cluster_key.0.as_str() {
            "" => None,
            key => Some(ClusterKey::new(key).map_err(|error| Error::Command(error.to_string()))?),
        };
        let read = |path: &std::path::Path| {
            std::fs::read(path)
                .map_err(|error| Error::Command(format!("{} cannot be read: {error}", path.display())))
        };
        // A part without the others was refused with the stores.
        let security = match (&config.link_cert, &config.link_cert_key, &config.link_ca) {
            (Some(certificate), Some(key), Some(authority)) => Security::Certificates(Certificates {
                certificate: read(certificate)?,
                key: read(key)?,
                authority: read(authority)?,
            }),
            _ => key.clone().map_or(Security::Plain, Security::Key),
        };
        let options = LinkOptions {
            listen: SocketAddr::new(config.link_host, config.link_port),
            advertised: Some(config.link_address.clone()).filter(|address| !address.is_empty()),
            ..LinkOptions::new(incarnation, security)
        };
        let (links, events) =
            TcpLinks::bind(options).await.map_err(|error| Error::Command(error.to_string()))?;
        match links.find_myself().await {
            Ok(()) => {}
            // It may be reached from elsewhere all the same.
            Err(error @ AddressError::Silent { .. }) => {
                tracing::warn!(%error, "check EVERPLAY_LINK_ADDRESS");
            }
            // The others would take its rooms as soon as they call.
            Err(error) => return Err(Error::Command(format!("{error}; check EVERPLAY_LINK_ADDRESS"))),
        }
        let links = Arc::new(links);
        let http = match config.public_address.as_str() {
            // Everywhere is no place to go to: the one where links end is on this machine too.
            "" if gateway.ip().is_unspecified() => {
                let host = links.advertised().rsplit_once(':').map_or("", |(host, _)| host);
                format!("{host}:{}", gateway.port())
            }
            "" => gateway.to_string(),
            public => public.to_owned(),
        };
        let row = everplay_live::NodeRow {
            incarnation,
            process_id: process_id.clone(),
            address: links.advertised().to_owned(),
            http,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            zone: config.zone.clone(),
        };
        tracing::info!(node = %incarnation, links = %links.address(), "one of a cluster");
        let parts = ClusterParts {
            links: Arc::clone(&links) as Arc<dyn everplay_cluster::Links>,
            events,
            row,
            timing: everplay_cluster::Timing::default(),
        };
        Ok(Some((Self { links, key }, parts)))
    }

    /// A program without the feature has refused such settings when it opened its stores.
    #[cfg(not(feature = "cluster"))]
    pub(crate) async fn open(
        config: &Config,
        _: &ProcessId,
        _: SocketAddr,
    ) -> Result<Option<(Self, ClusterParts)>> {
        debug_assert!(!matches!(config.stores()?, Choice::Cluster { .. }), "refused before");
        Ok(None)
    }

    /// Routes for operators; none without a key, because nobody could be told from a stranger.
    #[cfg(feature = "cluster")]
    pub(crate) fn routes(&self, node: &everplay_node::Handle) -> axum::Router {
        match (node.cluster(), &self.key) {
            (Some(cluster), Some(key)) => crate::ctl::router(cluster, key.clone()),
            _ => axum::Router::new(),
        }
    }

    /// None: there is no cluster.
    #[cfg(not(feature = "cluster"))]
    pub(crate) fn routes(&self, _: &everplay_node::Handle) -> axum::Router {
        axum::Router::new()
    }

    /// Ends the links: the others take this server for gone.
    pub(crate) async fn close(self) {
        #[cfg(feature = "cluster")]
        self.links.close(CLOSING).await;
    }
}
