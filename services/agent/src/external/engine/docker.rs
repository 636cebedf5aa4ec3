use std::{
    collections::{BTreeSet, HashMap},
    io::Read as _,
    path::PathBuf,
    time::Duration,
};

use async_trait::async_trait;
use bollard::{
    API_DEFAULT_VERSION, Docker,
    errors::Error,
    models::{ContainerCreateBody, VolumeCreateRequest},
    query_parameters::{
        CreateContainerOptions, DownloadFromContainerOptionsBuilder, ListContainersOptionsBuilder,
        ListImagesOptions, ListVolumesOptionsBuilder, PruneBuildOptionsBuilder,
        RemoveContainerOptionsBuilder, RemoveImageOptions, RemoveVolumeOptionsBuilder,
        TagImageOptionsBuilder,
    },
};
use futures_util::StreamExt as _;
use hearth_api::v1::ImageStore;
use hearth_domain::{PlatformError, WorkspaceId};
use hearth_layers::{Pulled, RegistryLogin, Transfer, TransferError};

use super::api::{
    Engine, EngineFailure, EngineInfo, LocalImage, OnTransfer, StoredImage, WORKSPACE_LABEL,
    volume_name,
};

const COMPOSE_LABEL: &str = "com.docker.compose.project";
/// Removing a large container takes long on a slow disk; everything else is quick.
const TIMEOUT: Duration = Duration::from_secs(120);
/// `/etc/passwd` is read from images and containers, and nothing larger.
const MAX_FILE: u64 = 1024 * 1024;

/// Docker, through its API socket.
#[derive(Clone, Debug)]
pub struct DockerEngine {
    docker: Docker,
}

impl DockerEngine {
    /// Docker at `host`, for example `unix:///var/run/docker.sock`.
    pub fn connect(host: &str) -> Result<Self, EngineFailure> {
        let docker = Docker::connect_with_unix(host, TIMEOUT.as_secs(), API_DEFAULT_VERSION)
            .map_err(failed("be reached"))?;
        Ok(Self { docker })
    }

    async fn containers(&self, label: String) -> Result<Vec<String>, Error> {
        let filters = HashMap::from([("label", vec![label])]);
        let filters: HashMap<String, Vec<String>> = filters
            .into_iter()
            .map(|(name, values)| (name.to_owned(), values))
            .collect();
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&filters)
            .build();
        let containers = self.docker.list_containers(Some(options)).await?;
        Ok(containers
            .into_iter()
            .filter_map(|container| container.id)
            .collect())
    }

    async fn remove_container(&self, container: &str) -> Result<(), Error> {
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        absent_is_fine(self.docker.remove_container(container, Some(options)).await)
    }

    async fn file(&self, container: &str, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let options = DownloadFromContainerOptionsBuilder::default()
            .path(path)
            .build();
        let mut archive = Vec::new();
        let mut stream = std::pin::pin!(
            self.docker
                .download_from_container(container, Some(options))
        );
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
}

#[async_trait]
impl Engine for DockerEngine {
    async fn describe(&self) -> Result<EngineInfo, EngineFailure> {
        let info = self
            .docker
            .info()
            .await
            .map_err(failed("describe itself"))?;
        let version = self
            .docker
            .version()
            .await
            .map_err(failed("describe itself"))?;
        let containerd = info
            .driver_status
            .iter()
            .flatten()
            .flatten()
            .any(|text| text == "io.containerd.snapshotter.v1");
        let os = version.os.unwrap_or_else(|| "linux".to_owned());
        let arch = version.arch.unwrap_or_else(|| "amd64".to_owned());
        Ok(EngineInfo {
            version: format!("Docker {}", version.version.unwrap_or_default()),
            platform: format!("{os}/{arch}")
                .parse()
                .map_err(|error: PlatformError| EngineFailure {
                    action: "describe itself",
                    cause: format!("its platform {os}/{arch} {error}"),
                })?,
            store: if containerd {
                ImageStore::Containerd
            } else {
                ImageStore::Classic
            },
            data_root: info.docker_root_dir.unwrap_or_default().into(),
            cpus: info
                .ncpu
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or_default(),
            memory_bytes: info
                .mem_total
                .and_then(|n| u64::try_from(n).ok())
                .unwrap_or_default(),
        })
    }

    async fn create_volume(&self, workspace_id: &WorkspaceId) -> Result<PathBuf, EngineFailure> {
        self.remove_workspace(workspace_id).await?;
        let request = VolumeCreateRequest {
            name: Some(volume_name(workspace_id)),
            labels: Some(HashMap::from([(
                WORKSPACE_LABEL.to_owned(),
                workspace_id.to_string(),
            )])),
            ..VolumeCreateRequest::default()
        };
        let volume = self
            .docker
            .create_volume(request)
            .await
            .map_err(failed("make the workspace's volume"))?;
        Ok(volume.mountpoint.into())
    }

    async fn remove_workspace(&self, workspace_id: &WorkspaceId) -> Result<(), EngineFailure> {
        self.remove_containers(workspace_id).await?;
        let options = RemoveVolumeOptionsBuilder::default().force(true).build();
        absent_is_fine(
            self.docker
                .remove_volume(&volume_name(workspace_id), Some(options))
                .await,
        )
        .map_err(failed("remove the workspace's volume"))
    }

    async fn remove_containers(&self, workspace_id: &WorkspaceId) -> Result<(), EngineFailure> {
        let labels = [
            format!("{WORKSPACE_LABEL}={workspace_id}"),
            format!("{COMPOSE_LABEL}={}", volume_name(workspace_id)),
        ];
        for label in labels {
            let containers = self
                .containers(label)
                .await
                .map_err(failed("list the workspace's containers"))?;
            for container in containers {
                self.remove_container(&container)
                    .await
                    .map_err(failed("remove the workspace's container"))?;
            }
        }
        Ok(())
    }

    async fn workspaces(&self) -> Result<Vec<WorkspaceId>, EngineFailure> {
        let filters = HashMap::from([("label".to_owned(), vec![WORKSPACE_LABEL.to_owned()])]);
        let options = ListVolumesOptionsBuilder::default()
            .filters(&filters)
            .build();
        let volumes = self
            .docker
            .list_volumes(Some(options))
            .await
            .map_err(failed("list the workspaces"))?;
        Ok(volumes
            .volumes
            .unwrap_or_default()
            .into_iter()
            .filter_map(|mut volume| {
                let id = volume.labels.remove(WORKSPACE_LABEL)?;
                id.parse()
                    .inspect_err(|error| {
                        tracing::warn!(volume = volume.name, "its label {WORKSPACE_LABEL} {error}");
                    })
                    .ok()
            })
            .collect())
    }

    async fn image(&self, image: &str) -> Result<Option<LocalImage>, EngineFailure> {
        let found = match self.docker.inspect_image(image).await {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(failed("inspect the image")(error)),
        };
        let config = found.config.unwrap_or_default();
        Ok(Some(LocalImage {
            id: found.id.unwrap_or_default(),
            user: config.user.unwrap_or_default(),
            environment: config.env.unwrap_or_default(),
            devcontainer_metadata: config
                .labels
                .unwrap_or_default()
                .remove("devcontainer.metadata"),
            layers: found.root_fs.and_then(|fs| fs.layers).unwrap_or_default(),
        }))
    }

    async fn file_of_image(
        &self,
        image: &str,
        path: &str,
    ) -> Result<Option<Vec<u8>>, EngineFailure> {
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            // It is never started; an image without a command of its own needs one all the same.
            cmd: Some(vec!["true".to_owned()]),
            ..ContainerCreateBody::default()
        };
        let created = self
            .docker
            .create_container(None::<CreateContainerOptions>, body)
            .await
            .map_err(failed("look into the image"))?;
        let file = self.file(&created.id, path).await;
        self.remove_container(&created.id)
            .await
            .map_err(failed("look into the image"))?;
        file.map_err(failed("look into the image"))
    }

    async fn file_of_container(
        &self,
        container: &str,
        path: &str,
    ) -> Result<Option<Vec<u8>>, EngineFailure> {
        self.file(container, path)
            .await
            .map_err(failed("look into the container"))
    }

    async fn tag(&self, image: &str, repository: &str, tag: &str) -> Result<(), EngineFailure> {
        let options = TagImageOptionsBuilder::default()
            .repo(repository)
            .tag(tag)
            .build();
        self.docker
            .tag_image(image, Some(options))
            .await
            .map_err(failed("name the image"))
    }

    async fn remove_image(&self, image: &str) -> Result<(), EngineFailure> {
        let removed = self
            .docker
            .remove_image(image, None::<RemoveImageOptions>, None)
            .await;
        absent_is_fine(removed.map(|_| ())).map_err(failed("remove the image"))
    }

    async fn images(&self) -> Result<Vec<StoredImage>, EngineFailure> {
        let images = self
            .docker
            .list_images(None::<ListImagesOptions>)
            .await
            .map_err(failed("list its images"))?;
        Ok(images
            .into_iter()
            .map(|image| StoredImage {
                id: image.id,
                tags: image.repo_tags,
                digests: image.repo_digests,
                bytes: u64::try_from(image.size).unwrap_or_default(),
            })
            .collect())
    }

    async fn images_of_containers(&self) -> Result<BTreeSet<String>, EngineFailure> {
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let containers = self
            .docker
            .list_containers(Some(options))
            .await
            .map_err(failed("list its containers"))?;
        Ok(containers
            .into_iter()
            .filter_map(|container| container.image_id)
            .collect())
    }

    async fn prune_build_cache(&self, unused_for: Duration) -> Result<u64, EngineFailure> {
        let mut filters = HashMap::new();
        // Seconds are rounded: 0 s would keep what was used in the last one.
        if !unused_for.is_zero() {
            let until = format!("{}s", unused_for.as_secs());
            filters.insert("until".to_owned(), vec![until]);
        }
        let options = PruneBuildOptionsBuilder::default()
            .filters(&filters)
            .build();
        let pruned = self
            .docker
            .prune_build(Some(options))
            .await
            .map_err(failed("prune its build cache"))?;
        let bytes = pruned.space_reclaimed.unwrap_or_default();
        Ok(u64::try_from(bytes).unwrap_or_default())
    }

    async fn pull(
        &self,
        image: &str,
        login: Option<&RegistryLogin>,
        progress: OnTransfer<'_>,
    ) -> Result<Pulled, TransferError> {
        hearth_layers::pull(&self.docker, image, login, progress).await
    }

    async fn push(
        &self,
        repository: &str,
        tag: &str,
        login: Option<&RegistryLogin>,
        progress: OnTransfer<'_>,
    ) -> Result<Transfer, TransferError> {
        hearth_layers::push(&self.docker, repository, tag, login, progress).await
    }
}

fn is_absent(error: &Error) -> bool {
    matches!(
        error,
        Error::DockerResponseServerError {
            status_code: 404,
            ..
        }
    )
}

/// Somebody else may have removed it, or removes it right now (409).
fn absent_is_fine(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error::DockerResponseServerError {
            status_code: 404, ..
        }) => Ok(()),
        Err(Error::DockerResponseServerError {
            status_code: 409,
            message,
        }) if message.contains("already in progress") => Ok(()),
        other => other,
    }
}

fn failed(action: &'static str) -> impl Fn(Error) -> EngineFailure {
    move |error| EngineFailure {
        action,
        cause: match error {
            Error::DockerResponseServerError { message, .. } => message,
            other => other.to_string(),
        },
    }
}

fn first_file(archive: &[u8]) -> Option<Vec<u8>> {
    let mut archive = tar::Archive::new(archive);
    let entry = archive.entries().ok()?.next()?.ok()?;
    let mut content = Vec::new();
    entry.take(MAX_FILE).read_to_end(&mut content).ok()?;
    Some(content)
}
