//! What requests become, for `tests/fuzz`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::net::UnixListener,
    path::Path,
};

use hearth_domain::WorkspaceId;
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    container, endpoint::Call, filters, judge::Judge, names::Names, network, places::Places,
    verdict::Verdicts, volume,
};
use crate::policy::Allowed;

/// A node with the workspace `ws-1`, its container `db` and its network `back`.
#[derive(Debug)]
pub struct Node {
    workspace: WorkspaceId,
    names: Names,
    places: Places,
    containers: BTreeMap<String, String>,
    networks: BTreeMap<String, String>,
    allowed: Allowed,
}

impl Node {
    /// Makes its folders in `root`: `volume` of the workspace, `helper`, and `run` with the engine's socket.
    pub fn make(root: &Path, allowed: Allowed) -> io::Result<Self> {
        for folder in ["volume/app/data", "helper", "run"] {
            fs::create_dir_all(root.join(folder))?;
        }
        UnixListener::bind(root.join("run/engine.sock"))?;
        let workspace: WorkspaceId = "ws-1".parse().map_err(io::Error::other)?;
        let own = |names: [(&str, &str); 2]| {
            BTreeMap::from(names.map(|(name, own)| (name.to_owned(), own.to_owned())))
        };
        Ok(Self {
            names: Names::of(&workspace),
            workspace,
            places: Places {
                engine: root.join("run/engine.sock"),
                volume: Some(root.join("volume")),
                helper: Some(root.join("helper")),
            },
            containers: own([("db", "id-of-db"), ("id-of-db", "id-of-db")]),
            networks: own([
                ("back", "hearth-ws-1.back"),
                ("hearth-ws-1.back", "hearth-ws-1.back"),
            ]),
            allowed,
        })
    }

    /// What a request for a container becomes, and the warnings. `None` if it cannot be read.
    pub fn container(&self, body: &[u8]) -> Option<(Value, Vec<String>)> {
        let asked = read(body)?;
        let _ = container::references(&asked);
        let judged = container::judge(&self.judge(&BTreeSet::new()), asked);
        Some((serde_json::to_value(judged.body).ok()?, judged.warnings))
    }

    /// The same for a network.
    pub fn network(&self, body: &[u8]) -> Option<(Value, Vec<String>)> {
        let mut verdicts = Verdicts::new(&self.allowed);
        let taken = BTreeSet::new();
        let kept = network::judge_create(&self.judge(&taken), read(body)?, &mut verdicts);
        Some((serde_json::to_value(kept).ok()?, verdicts.warnings))
    }

    /// The same for driver and options of a volume.
    pub fn volume(&self, body: &[u8]) -> Option<(Value, Vec<String>)> {
        let mut verdicts = Verdicts::new(&self.allowed);
        let mut request = read(body)?;
        volume::judge_driver(&self.places, &mut request, "a volume", &mut verdicts);
        Some((serde_json::to_value(request).ok()?, verdicts.warnings))
    }

    fn judge<'a>(&'a self, taken: &'a BTreeSet<super::ports::Port>) -> Judge<'a> {
        Judge {
            workspace: &self.workspace,
            names: &self.names,
            allowed: &self.allowed,
            places: &self.places,
            containers: &self.containers,
            networks: &self.networks,
            taken,
            subpaths: true,
        }
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

/// The target that the engine gets, if a call may be made, and the filters with the workspace's label.
pub fn call(method: &str, path: &str, query: Option<&str>) -> Option<(String, Option<String>)> {
    let method: Method = method.parse().ok()?;
    let call = Call::parse(&method, path, query).ok()?;
    let workspace: WorkspaceId = "ws-1".parse().ok()?;
    let filters = filters::with_label(call.parameter("filters"), &workspace);
    Some((call.target(), filters))
}
