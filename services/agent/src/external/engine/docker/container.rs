//! Containers: found by label, removed, and read from.

use std::{
    collections::HashMap,
    io::{self, Read as _},
};

use bollard::{
    Docker,
    errors::Error,
    models::ContainerCreateBody,
    query_parameters::{
        DownloadFromContainerOptionsBuilder, RemoveContainerOptionsBuilder,
        UploadToContainerOptionsBuilder, WaitContainerOptionsBuilder,
    },
};
use futures_util::StreamExt as _;
use hearth_domain::WorkspaceId;

use super::error::{absent_is_fine, is_absent, is_being_removed};
use crate::{clone_files::Owner, external::engine::api::WORKSPACE_LABEL};

/// `/etc/passwd` is read from images and containers, and nothing larger.
const MAX_FILE: u64 = 1024 * 1024;

/// What runs in containers of hearth's own: a static program, which `build.rs` compiles.
pub(super) const HELPER_PROGRAM: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/container-helper"));
/// Its name in their root folder.
pub(super) const HELPER: &str = "hearth-helper";

/// Labels of everything that belongs to a workspace.
pub(super) fn labels(workspace: &WorkspaceId) -> HashMap<String, String> {
    HashMap::from([(WORKSPACE_LABEL.to_owned(), workspace.to_string())])
}

/// A container that only lends the files of its image, or its network. It is the workspace's, so that it goes with the others if an
/// attempt is stopped before it has removed it.
pub(super) fn helper(workspace: &WorkspaceId, image: &str) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(image.to_owned()),
        // It is never started; an image without a command of its own needs one all the same.
        cmd: Some(vec!["true".to_owned()]),
        labels: Some(labels(workspace)),
        ..ContainerCreateBody::default()
    }
}

/// A filter for what has a label.
pub(super) fn by_label(label: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![label.to_owned()])])
}

/// Removes a container with its anonymous volumes.
pub(super) async fn remove(docker: &Docker, container: &str) -> Result<(), Error> {
    let options = RemoveContainerOptionsBuilder::default()
        .force(true)
        .v(true)
        .build();
    match docker.remove_container(container, Some(options)).await {
        Err(error) if is_being_removed(&error) => until_removed(docker, container).await,
        removed => absent_is_fine(removed),
    }
}

/// Waits for a removal that goes on: before its end the container holds its networks and volumes.
async fn until_removed(docker: &Docker, container: &str) -> Result<(), Error> {
    let options = WaitContainerOptionsBuilder::default()
        .condition("removed")
        .build();
    let mut wait = docker.wait_container(container, Some(options));
    match tokio::time::timeout(docker.timeout(), wait.next()).await {
        Ok(Some(Err(Error::DockerContainerWaitError { .. })) | None) => Ok(()),
        Ok(Some(ended)) => absent_is_fine(ended.map(drop)),
        Err(_) => Err(Error::RequestTimeoutError),
    }
}

/// A file out of a container. `None` when it is not there, or larger than [`MAX_FILE`].
pub(super) async fn file(
    docker: &Docker,
    container: &str,
    path: &str,
) -> Result<Option<Vec<u8>>, Error> {
    let options = DownloadFromContainerOptionsBuilder::default()
        .path(path)
        .build();
    let mut archive = Vec::new();
    let mut stream = std::pin::pin!(docker.download_from_container(container, Some(options)));
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => archive.extend_from_slice(&chunk),
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
        if archive.len() as u64 > MAX_FILE {
            return Ok(None);
        }
    }
    Ok(first_file(&archive))
}

/// Writes a file with this name, mode and owner into a folder of a container.
pub(super) async fn write(
    docker: &Docker,
    container: &str,
    folder: &str,
    (name, mode, owner): (&str, u32, Owner),
    content: &[u8],
) -> Result<(), Error> {
    let options = UploadToContainerOptionsBuilder::default()
        .path(folder)
        .build();
    let archive = bollard::body_full(archive_of(name, mode, owner, content)?.into());
    docker
        .upload_to_container(container, Some(options), archive)
        .await
}

/// An archive with one file.
pub(super) fn archive_of(
    name: &str,
    mode: u32,
    owner: Owner,
    content: &[u8],
) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_uid(owner.uid.into());
    header.set_gid(owner.gid.into());
    header.set_size(content.len() as u64);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, name, content)?;
    archive.into_inner()
}

fn first_file(archive: &[u8]) -> Option<Vec<u8>> {
    let mut archive = tar::Archive::new(archive);
    let entry = archive.entries().ok()?.next()?.ok()?;
    let mut content = Vec::new();
    entry.take(MAX_FILE).read_to_end(&mut content).ok()?;
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_that_lends_files_is_found_as_the_workspaces() {
        let body = helper(&"ws-1".parse().unwrap(), "image");
        let sent = serde_json::to_value(body).unwrap();
        let expected = serde_json::json!({
            "Image": "image", "Cmd": ["true"], "Labels": {"hearth.workspace": "ws-1"},
        });
        assert_eq!(sent, expected);
    }
}
