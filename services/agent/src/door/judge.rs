//! What requests are judged by.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use hearth_domain::WorkspaceId;

use super::{names::Names, places::Places, ports::Port, verdict::Verdicts};
use crate::{external::engine::WORKSPACE_LABEL, policy::Allowed};

/// What a request is judged by.
pub struct Judge<'a> {
    pub workspace: &'a WorkspaceId,
    pub names: &'a Names,
    pub allowed: &'a Allowed,
    pub places: &'a Places,
    /// Ids of the workspace's containers that the request names, by the names that it uses.
    pub containers: &'a BTreeMap<String, String>,
    /// Names of the networks that the request may use, by the names that it uses.
    pub networks: &'a BTreeMap<String, String>,
    /// Ports of the node that are in use.
    pub taken: &'a BTreeSet<Port>,
    /// Whether the engine mounts folders of volumes.
    pub subpaths: bool,
}

impl Judge<'_> {
    /// The labels of everything that is made.
    pub fn labels(&self) -> HashMap<String, String> {
        HashMap::from([(WORKSPACE_LABEL.to_owned(), self.workspace.to_string())])
    }

    /// The id of a container that is named, if it is the workspace's.
    pub fn container(&self, name: &str, what: &str, verdicts: &mut Verdicts<'_>) -> Option<&str> {
        let own = self.containers.get(name);
        if own.is_none() {
            verdicts.warn(format!(
                "{what} the container {name} is left out: it is not a container of this workspace"
            ));
        }
        own.map(String::as_str)
    }
}
