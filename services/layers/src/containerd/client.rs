//! How containerd is called.

use std::{collections::HashMap, path::Path, time::Duration};

use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};

/// The namespace in which Docker has its images, without remapped users.
const NAMESPACE: &str = "moby";
/// The only snapshotter whose snapshots are folders that can be written beforehand.
pub const SNAPSHOTTER: &str = "overlayfs";
/// A call that takes longer is not answered at all.
pub const TIMEOUT: Duration = Duration::from_secs(60);

pub type Labels = HashMap<String, String>;

/// containerd did not do something: what, and why not.
#[derive(Debug, thiserror::Error)]
#[error("containerd could not {action}: {cause}")]
pub struct ContainerdError {
    pub(super) action: &'static str,
    pub(super) cause: String,
}

/// A connection to containerd, for images of Docker.
#[derive(Clone)]
pub struct Containerd {
    pub channel: Channel,
}

impl Containerd {
    /// Connects to a socket.
    pub async fn connect(socket: &Path) -> Result<Self, ContainerdError> {
        let failed = |error: tonic::transport::Error| ContainerdError {
            action: "be reached",
            cause: format!(
                "{}: {}",
                socket.display(),
                hearth_domain::text::innermost_cause(&error)
            ),
        };
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()));
        let channel = endpoint.map_err(failed)?.connect().await.map_err(failed)?;
        Ok(Self { channel })
    }
}

/// What keeps the things that were made under it.
pub struct Lease {
    pub id: String,
}

/// A request, and the lease that it is made under.
pub fn request<T>(message: T, lease: Option<&Lease>) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    metadata.insert(
        "containerd-namespace",
        tonic::metadata::MetadataValue::from_static(NAMESPACE),
    );
    if let Some(id) = lease.and_then(|lease| lease.id.parse().ok()) {
        metadata.insert("containerd-lease", id);
    }
    request
}

/// Waits for an answer.
pub async fn answer<T>(
    action: &'static str,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, ContainerdError> {
    settle(action, call).await?.map_err(failed(action))
}

/// Waits for an answer; `None` when there is such a thing already.
pub async fn unless_there<T>(
    action: &'static str,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<Option<T>, ContainerdError> {
    except(Code::AlreadyExists, action, call).await
}

/// Waits for an answer; `None` when there is no such thing.
pub async fn if_there<T>(
    action: &'static str,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<Option<T>, ContainerdError> {
    except(Code::NotFound, action, call).await
}

async fn except<T>(
    code: Code,
    action: &'static str,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<Option<T>, ContainerdError> {
    match settle(action, call).await? {
        Ok(answer) => Ok(Some(answer)),
        Err(status) if status.code() == code => Ok(None),
        Err(status) => Err(failed(action)(status)),
    }
}

async fn settle<T>(
    action: &'static str,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<Result<T, Status>, ContainerdError> {
    match tokio::time::timeout(TIMEOUT, call).await {
        Ok(answer) => Ok(answer.map(tonic::Response::into_inner)),
        Err(_) => Err(ContainerdError {
            action,
            cause: format!("no answer within {} s", TIMEOUT.as_secs()),
        }),
    }
}

pub fn failed(action: &'static str) -> impl Fn(Status) -> ContainerdError {
    move |status| ContainerdError {
        action,
        cause: status.message().to_owned(),
    }
}
