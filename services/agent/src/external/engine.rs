//! The container engine of the node: what the agent asks of it, and Docker.

mod api;
mod docker;
#[cfg(test)]
pub(crate) mod fake;
mod isolation;
mod metadata;

pub use api::{
    ContainerNetwork, Engine, EngineFailure, EngineInfo, FindNear, KnownContainer, LocalImage,
    OnTransfer, StoredImage, WORKSPACE_LABEL, volume_name,
};
pub use docker::{ContainerdSocket, DockerEngine};
pub use isolation::Bridge;
pub use metadata::ImageMetadata;

pub use crate::clone_files::Owner;
