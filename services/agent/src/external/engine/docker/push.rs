//! Which way images leave the engine: the agent pushes them itself where it can reach the engine's store, and lets the engine
//! push them otherwise.

use bollard::Docker;
use hearth_domain::Login;
use hearth_layers::{Outgoing, Pushed, Pusher, TransferError};
use hearth_runtime::Metrics;
use prometheus_client::metrics::{counter::Counter, family::Family};

use super::fetch::Way;
use crate::external::engine::api::OnTransfer;

/// What pushes images.
#[derive(Clone, Debug, Default)]
pub struct Sender {
    pusher: Option<Pusher>,
    pushes: Family<Way, Counter>,
}

impl Sender {
    pub fn new(pusher: Option<Pusher>, metrics: &Metrics) -> Self {
        let this = Self {
            pusher,
            pushes: Family::default(),
        };
        metrics.register(|registry| {
            registry.register(
                "agent_push_ways",
                "Images that were pushed by the way: DIRECT by the agent itself, ENGINE by the engine, FALLBACK by the engine after the agent could not",
                this.pushes.clone(),
            );
        });
        this
    }

    /// Pushes an image. A registry that refuses it to the agent would refuse it to the engine; after any other failure the
    /// engine tries: it may have certificates or a proxy that the agent does not have.
    pub async fn push(
        &self,
        docker: &Docker,
        image: &Outgoing<'_>,
        login: Option<&Login>,
        progress: OnTransfer<'_>,
    ) -> Result<Pushed, TransferError> {
        let directly = match &self.pusher {
            Some(pusher) => Some(pusher.push(image, login, progress).await),
            None => None,
        };
        let way = match directly {
            Some(Ok(pushed)) => return Ok(self.counted(pushed)),
            Some(Err(error)) => match error.refusal() {
                Some(refusal) => return Err(refusal),
                None => {
                    tracing::warn!(
                        image = %format_args!("{}:{}", image.repository, image.tag),
                        "the engine pushes an image, since the agent could not: {error}"
                    );
                    hearth_layers::Way::Fallback(error.to_string())
                }
            },
            None => hearth_layers::Way::Engine,
        };
        let Outgoing {
            repository, tag, ..
        } = image;
        let transfer = hearth_layers::push(docker, repository, tag, login, progress).await?;
        Ok(self.counted(Pushed {
            transfer,
            digest: None,
            way,
        }))
    }

    fn counted(&self, pushed: Pushed) -> Pushed {
        self.pushes.get_or_create(&Way::from(&pushed.way)).inc();
        pushed
    }
}
