use std::{
    convert::Infallible,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hearth_domain::WorkspaceId;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::{net::UnixListener, sync::Semaphore};

use super::{
    children::{Children, EndsChildren},
    gate::Gate,
    names::Names,
    objects::Objects,
    own_images::OwnImages,
    ports::Reserved,
    upstream::Upstream,
};
use crate::{attempt::Recorder, credentials, policy::Allowed, scratch, secrets::HeldSecrets};

/// Most connections at a time; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 128;
/// Most bytes of a request's head.
const MAX_HEAD: usize = 64 * 1024;
/// Pause after a failed accept: when file descriptors have run out, the next one would fail too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The doors of a node's attempts to its engine.
#[derive(Clone, Debug)]
pub struct Doors {
    engine: PathBuf,
    reserved: Reserved,
}

impl Doors {
    /// Doors to the engine at `docker_host`, a `unix://` URL.
    pub fn to(docker_host: &str) -> Self {
        let engine = docker_host.strip_prefix("unix://").unwrap_or(docker_host);
        Self {
            engine: engine.into(),
            reserved: Reserved::default(),
        }
    }

    /// Opens the door of an attempt, at a socket in its private folder.
    pub fn open(
        &self,
        folder: &Path,
        workspace: &WorkspaceId,
        allowed: Allowed,
        recorder: Recorder,
        own: Own,
    ) -> io::Result<OpenDoor> {
        let Own {
            images,
            helper,
            secrets,
        } = own;
        let listener = credentials::bind(folder, scratch::ENGINE_SOCKET)?;
        let children = Children::default();
        let gate = Gate {
            objects: Objects {
                engine: Upstream::new(self.engine.clone(), children.clone()),
                workspace: workspace.clone(),
                names: Names::of(workspace),
                images,
                known: Arc::default(),
            },
            allowed,
            recorder,
            helper,
            secrets,
            reserved: self.reserved.clone(),
            children,
            tunnels: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            told: Default::default(),
        };
        Ok(OpenDoor {
            listener,
            gate: Arc::new(gate),
        })
    }
}

/// What belongs to an attempt.
pub struct Own {
    /// The images that it may use.
    pub images: OwnImages,
    /// The folder of the credential helper.
    pub helper: Option<PathBuf>,
    /// Its secrets, for commands in its containers.
    pub secrets: HeldSecrets,
}

/// A door that is open.
pub struct OpenDoor {
    listener: UnixListener,
    gate: Arc<Gate>,
}

impl OpenDoor {
    /// Answers calls until it is dropped, which ends all connections.
    pub async fn serve(self) {
        let gate = self.gate;
        let _ends = EndsChildren(gate.children.clone());
        let _releases = Releases(gate.clone());
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection to the engine's door could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let of_connection = gate.clone();
            gate.children.spawn(async move {
                let _place = place;
                let service = service_fn(move |request| {
                    let gate = of_connection.clone();
                    async move { Ok::<_, Infallible>(gate.answer(request).await) }
                });
                // A client that goes away is no error.
                let _ = hyper::server::conn::http1::Builder::new()
                    .max_buf_size(MAX_HEAD)
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades()
                    .await;
            });
        }
    }
}

/// Lets go of the ports: containers that run have them now.
struct Releases(Arc<Gate>);

impl Drop for Releases {
    fn drop(&mut self) {
        self.0.reserved.release(&self.0.objects.workspace);
    }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
