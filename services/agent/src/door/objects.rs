//! Which things of the engine are the workspace's.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    sync::Arc,
};

use hearth_domain::{WorkspaceId, repository_and_tag};
use parking_lot::Mutex;
use serde::Deserialize;

use super::{
    names::Names,
    own_images::OwnImages,
    upstream::{Unanswered, Upstream},
};
use crate::{disk::MARK, external::engine::WORKSPACE_LABEL};

/// Looks things up at the engine.
#[derive(Clone, Debug)]
pub struct Objects {
    pub engine: Upstream,
    pub workspace: WorkspaceId,
    pub names: Names,
    pub images: OwnImages,
    /// Ids of containers that were looked up and are the workspace's: their labels do not change.
    pub known: Arc<Mutex<BTreeSet<String>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    id: String,
    config: Labels,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Labels {
    labels: Option<HashMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    name: String,
    labels: Option<HashMap<String, String>>,
    mountpoint: Option<PathBuf>,
    /// Of a volume's driver.
    options: Option<HashMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Process {
    #[serde(rename = "ContainerID")]
    container_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    repo_tags: Option<Vec<String>>,
    repo_digests: Option<Vec<String>>,
}

impl Objects {
    fn is_own(&self, labels: Option<&HashMap<String, String>>) -> bool {
        let label = labels.and_then(|labels| labels.get(WORKSPACE_LABEL));
        label.is_some_and(|label| label == self.workspace.as_str())
    }

    /// The id of a container of the workspace, by the name that the workspace gave, or by its id or the beginning of that.
    pub async fn container(&self, name: &str) -> Result<Option<String>, Unanswered> {
        if self.known.lock().contains(name) {
            return Ok(Some(name.to_owned()));
        }
        for name in [self.names.on_engine(name).as_str(), name] {
            if !is_name(name) {
                continue;
            }
            let found: Option<Container> =
                self.engine.get(&format!("/containers/{name}/json")).await?;
            if let Some(found) = found.filter(|found| self.is_own(found.config.labels.as_ref())) {
                self.known.lock().insert(found.id.clone());
                return Ok(Some(found.id));
            }
        }
        Ok(None)
    }

    /// Those of some names that are containers of the workspace, with their ids.
    pub async fn containers(
        &self,
        names: BTreeSet<String>,
    ) -> Result<BTreeMap<String, String>, Unanswered> {
        let mut found = BTreeMap::new();
        for name in names {
            if let Some(id) = self.container(&name).await? {
                found.insert(name, id);
            }
        }
        Ok(found)
    }

    /// The container of a process, if it is the workspace's.
    pub async fn container_of_process(&self, id: &str) -> Result<Option<String>, Unanswered> {
        let process: Option<Process> = self.engine.get(&format!("/exec/{id}/json")).await?;
        match process {
            Some(process) => self.container(&process.container_id).await,
            None => Ok(None),
        }
    }

    /// The name on the engine of a network of the workspace. `foreign`: also of one that no workspace has.
    pub async fn network(&self, name: &str, foreign: bool) -> Result<Option<String>, Unanswered> {
        for name in [self.names.on_engine(name).as_str(), name] {
            if !is_name(name) {
                continue;
            }
            let found: Option<Named> = self.engine.get(&format!("/networks/{name}")).await?;
            if let Some(found) = found {
                let labels = found.labels.as_ref();
                let of_nobody = labels.is_none_or(|labels| !labels.contains_key(WORKSPACE_LABEL));
                let usual = matches!(found.name.as_str(), "bridge" | "host" | "none");
                if self.is_own(labels) || foreign && of_nobody && !usual {
                    return Ok(Some(found.name));
                }
            }
        }
        Ok(None)
    }

    /// Those of some names that are networks, with their names on the engine.
    pub async fn networks(
        &self,
        names: BTreeSet<String>,
        foreign: bool,
    ) -> Result<BTreeMap<String, String>, Unanswered> {
        let mut found = BTreeMap::new();
        for name in names {
            if let Some(network) = self.network(&name, foreign).await? {
                found.insert(name, network);
            }
        }
        Ok(found)
    }

    /// Whether a volume, by its name on the engine, is the workspace's; `None` if there is none.
    pub async fn has_volume(&self, name: &str) -> Result<Option<bool>, Unanswered> {
        if !is_name(name) {
            return Ok(None);
        }
        let found: Option<Named> = self.engine.get(&format!("/volumes/{name}")).await?;
        Ok(found.map(|found| self.is_own(found.labels.as_ref())))
    }

    /// Folder of the workspace's volume.
    pub async fn volume_folder(&self) -> Result<Option<PathBuf>, Unanswered> {
        let target = format!("/volumes/{}", self.names.volume());
        let found: Option<Named> = self.engine.get(&target).await?;
        Ok(found
            .filter(|found| self.is_own(found.labels.as_ref()))
            .and_then(|found| {
                // The agent keeps its files in a folder of the node.
                let device = found
                    .options
                    .and_then(|mut options| options.remove("device"));
                device.map(PathBuf::from).or(found.mountpoint)
            }))
    }

    /// Whether an image is another workspace's, or in another repository's cache.
    pub async fn is_foreign_image(&self, image: &str) -> Result<bool, Unanswered> {
        if !image.split('/').all(is_name) {
            return Ok(false);
        }
        let found: Option<Image> = self.engine.get(&format!("/images/{image}/json")).await?;
        let Some(found) = found else {
            return Ok(false);
        };
        let tags = found.repo_tags.unwrap_or_default();
        // The mark of the cache, and the beginning of an id, name images of all.
        let is_guess = is_begin_of_id(image) && !tags.contains(&format!("{image}:latest"));
        let digests = found.repo_digests.unwrap_or_default();
        Ok(is_guess
            || self.images.is_foreign(tags.iter().chain(&digests))
            || repository_and_tag(image).0 == MARK)
    }
}

/// Whether an engine may take a text for the beginning of an image's id: few digits are quickly guessed.
fn is_begin_of_id(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    digits.len() < 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a text can stand in a path of the engine's API as it is.
fn is_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "_.-:@+".contains(c);
    !text.is_empty() && text.chars().all(good) && text != "." && text != ".."
}
