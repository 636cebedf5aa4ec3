//! Layers of cached images between nodes: this node serves those that it fetches, and asks other nodes for theirs.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use clap::Args;
use hearth_domain::{AttemptRef, CacheRepository, Digest, NodeAddress};
use hearth_layers::{Near, NeighbourServer, Offers};
use hearth_runtime::{Metrics, Tasks};
use prometheus_client::metrics::counter::Counter;
use tokio::net::TcpListener;

use crate::external::control_plane::ControlPlaneClient;

/// The flags about neighbours.
#[derive(Args, Clone, Debug)]
pub struct NeighbourArgs {
    /// Address at which other nodes get layers of cached images that this node fetches or has fetched; this node gets them from
    /// others then too. They are sent without TLS, to whoever has a token of the image, which the control plane tells nodes that
    /// fetch it: name an address in a network that only nodes are in. Not set: all is fetched from the registry
    #[arg(long, env = "HEARTH_NEIGHBOURS_LISTEN", value_name = "ADDRESS")]
    pub neighbours_listen: Option<SocketAddr>,
    /// What other nodes connect to [default: the address of --neighbours-listen]
    #[arg(
        long,
        env = "HEARTH_NEIGHBOURS_ADDRESS",
        value_name = "HOST:PORT",
        requires = "neighbours_listen"
    )]
    pub neighbours_address: Option<NodeAddress>,
    /// MiB that are sent to all neighbours together in a second, at most
    #[arg(long, env = "HEARTH_NEIGHBOURS_MIB_PER_SECOND", default_value = "500", value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    pub neighbours_mib_per_second: u32,
}

/// What this node gives its neighbours and gets from them.
#[derive(Clone, Debug)]
pub struct Neighbourhood {
    offers: Offers,
    address: NodeAddress,
    control_plane: ControlPlaneClient,
}

impl Neighbourhood {
    /// Serves neighbours until `tasks` stop, if the operator wants it.
    ///
    /// # Errors
    ///
    /// When the address cannot be used.
    pub async fn open(
        args: &NeighbourArgs,
        control_plane: &ControlPlaneClient,
        metrics: &Metrics,
        tasks: &Tasks,
    ) -> anyhow::Result<Option<Self>> {
        let Some(listen) = args.neighbours_listen else {
            return Ok(None);
        };
        let listener = TcpListener::bind(listen).await.with_context(|| {
            format!("--neighbours-listen (HEARTH_NEIGHBOURS_LISTEN): cannot listen on {listen}")
        })?;
        let address = match &args.neighbours_address {
            Some(address) => address.clone(),
            None => {
                let bound = listener.local_addr()?;
                ensure!(
                    !bound.ip().is_unspecified(),
                    "--neighbours-address (HEARTH_NEIGHBOURS_ADDRESS): say what other nodes connect to, since --neighbours-listen is {listen}"
                );
                bound.to_string().parse()?
            }
        };
        let served = Counter::<u64>::default();
        metrics.register(|registry| {
            registry.register(
                "agent_served_bytes",
                "Bytes of layers that were sent to neighbours",
                served.clone(),
            );
        });
        let offers = Offers::default();
        let rate = u64::from(args.neighbours_mib_per_second) << 20;
        let server = NeighbourServer::new(listener, offers.clone(), rate, move |bytes| {
            served.inc_by(bytes);
        });
        let stopping = tasks.stopping().clone();
        tasks.spawn("neighbours", async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = server.run() => {}
            }
        });
        tracing::info!(%address, "layers of cached images are shared with other nodes");
        Ok(Some(Self {
            offers,
            address,
            control_plane: control_plane.clone(),
        }))
    }

    /// Whom a fetch of an image of the cache asks before the registry, and what it offers others. Without an answer of the control
    /// plane it does not matter: the registry has the image.
    pub async fn near(
        &self,
        attempt: &AttemptRef,
        repository: &CacheRepository,
        digest: &Digest,
    ) -> Near {
        let offer = self.offers.offer();
        let image = (repository, digest);
        let found = self
            .control_plane
            .neighbours(attempt, image, &self.address, offer.token())
            .await;
        let neighbours = found.unwrap_or_else(|error| {
            tracing::info!("an image is fetched without neighbours: {error}");
            Vec::new()
        });
        Near {
            neighbours,
            offer: Some(offer),
        }
    }
}
