//! The network of a container, for commands that run outside of one.
//!
//! A container of the workspace holds it: the engine gives it an address, routes and a resolver as it does to all others. It
//! runs a program that waits, in an image with nothing else in it, since a node may have no image yet.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use bollard::{
    Docker,
    errors::Error,
    models::{ContainerCreateBody, ContainerInspectResponse, HostConfig, HostConfigLogConfig},
    query_parameters::{
        CreateContainerOptionsBuilder, CreateImageOptionsBuilder, InspectContainerOptions,
        InspectNetworkOptions, RemoveImageOptions, StartContainerOptions,
    },
};
use futures_util::TryStreamExt as _;
use hearth_domain::WorkspaceId;

use super::{
    container::{self, HELPER, HELPER_PROGRAM},
    error::absent_is_fine,
};
use crate::{
    clone_files::Owner,
    external::engine::{
        api::{ContainerNetwork, volume_name},
        isolation::Bridge,
    },
};

/// Name of the default bridge where the engine tells none.
const BRIDGE: &str = "docker0";
/// Tag of the image, and end of the container's name. What begins as the workspace's volume is removed with the workspace.
const NAME: &str = "hearth-network";

/// Makes the container and joins its network.
pub(super) async fn open(
    docker: &Docker,
    workspace: &WorkspaceId,
) -> Result<ContainerNetwork, Error> {
    let opened = start(docker, workspace).await;
    if opened.is_err() {
        // The failure is told, and the workspace's removal takes what is left.
        let _ = close(docker, workspace).await;
    }
    opened
}

/// Removes the container and its image.
pub(super) async fn close(docker: &Docker, workspace: &WorkspaceId) -> Result<(), Error> {
    container::remove(docker, &container_name(workspace)).await?;
    let image = image_name(workspace);
    let removed = docker.remove_image(&image, None::<RemoveImageOptions>, None);
    absent_is_fine(removed.await.map(drop))
}

fn container_name(workspace: &WorkspaceId) -> String {
    format!("{}.{NAME}", volume_name(workspace))
}

fn image_name(workspace: &WorkspaceId) -> String {
    format!("{}:{NAME}", volume_name(workspace))
}

async fn start(docker: &Docker, workspace: &WorkspaceId) -> Result<ContainerNetwork, Error> {
    let import = CreateImageOptionsBuilder::default()
        .from_src("-")
        .repo(&volume_name(workspace))
        .tag(NAME)
        .build();
    let files = container::archive_of(HELPER, 0o755, Owner::ROOT, HELPER_PROGRAM)?;
    let files = bollard::body_full(files.into());
    let imported = docker.create_image(Some(import), Some(files), None);
    imported.try_for_each(|_| async { Ok(()) }).await?;

    let options = CreateContainerOptionsBuilder::default()
        .name(&container_name(workspace))
        .build();
    let body = ContainerCreateBody {
        entrypoint: Some(vec![format!("/{HELPER}")]),
        cmd: Some(vec!["wait".to_owned()]),
        host_config: Some(HostConfig {
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            log_config: Some(HostConfigLogConfig {
                typ: Some("none".to_owned()),
                ..HostConfigLogConfig::default()
            }),
            ..HostConfig::default()
        }),
        ..container::helper(workspace, &image_name(workspace))
    };
    let id = docker.create_container(Some(options), body).await?.id;
    let bridge = bridge(docker).await;
    docker
        .start_container(&id, None::<StartContainerOptions>)
        .await?;
    if let Err(error) = bridge.and_then(|bridge| bridge.isolate_new()) {
        tracing::warn!(workspace.id = %workspace, %error, "a command is not kept apart from containers on the engine's bridge");
    }
    let found = docker
        .inspect_container(&id, None::<InspectContainerOptions>)
        .await?;
    let file = async |path: &str| {
        let content = container::file(docker, &id, path).await?;
        Ok::<_, Error>(content.unwrap_or_default())
    };
    Ok(ContainerNetwork {
        namespace: namespace(found)?,
        resolv_conf: file("/etc/resolv.conf").await?,
        hosts: file("/etc/hosts").await?,
    })
}

async fn bridge(docker: &Docker) -> io::Result<Bridge> {
    let network = docker.inspect_network("bridge", None::<InspectNetworkOptions>);
    let network = network.await.map_err(io::Error::other)?;
    let options = network.options.unwrap_or_default();
    let name = options.get("com.docker.network.bridge.name");
    Bridge::look(name.map_or(BRIDGE, String::as_str))
}

/// The namespace by the name that the engine gave it. Where that is a name in a mount namespace of the engine's own, by the
/// container's process, if the number leads to that here.
fn namespace(container: ContainerInspectResponse) -> io::Result<OwnedFd> {
    let key = container.network_settings.and_then(|of| of.sandbox_key);
    let key = key.filter(|key| !key.is_empty()).map(PathBuf::from);
    if let Some(namespace) = key.and_then(|key| another_namespace(&key).ok()) {
        return Ok(namespace);
    }
    let process = container.state.and_then(|state| state.pid).unwrap_or(0);
    let process = PathBuf::from(format!("/proc/{process}"));
    let namespace = another_namespace(&process.join("ns/net"))?;
    if process.join("exe").read_link()? != Path::new("/").join(HELPER) {
        return Err(io::Error::other(
            "the agent does not see the engine's processes: it has to run where the engine does",
        ));
    }
    Ok(namespace)
}

/// A network namespace that is not the agent's.
fn another_namespace(path: &Path) -> io::Result<OwnedFd> {
    let namespace = OwnedFd::from(File::open(path)?);
    let is_namespace = rustix::fs::fstatfs(&namespace)?.f_type == libc::NSFS_MAGIC;
    let number = rustix::fs::fstat(&namespace)?.st_ino;
    if !is_namespace || number == rustix::fs::stat("/proc/self/ns/net")?.st_ino {
        return Err(io::Error::other("it is not a network of its own"));
    }
    Ok(namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_the_nodes_own_network_are_no_network_of_a_container() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [
            file.path(),
            Path::new("/proc/self/ns/net"),
            Path::new("/no"),
        ] {
            assert!(another_namespace(path).is_err(), "{}", path.display());
        }
        let inspected = |key: &str, pid: u32| {
            let answer = serde_json::json!({
                "NetworkSettings": {"SandboxKey": key}, "State": {"Pid": pid},
            });
            namespace(serde_json::from_value(answer).unwrap())
        };
        // Numbers of processes that are not the container's, since the engine counts its own.
        for pid in [0, 1, std::process::id()] {
            let key = file.path().to_str().unwrap();
            assert!(
                inspected(key, pid).is_err() && inspected("", pid).is_err(),
                "{pid}"
            );
        }
    }
}
