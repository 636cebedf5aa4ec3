//! Which way images come to the engine: the agent fetches and unpacks them itself where it can reach the engine's store, and
//! lets the engine pull them otherwise.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use bollard::{Docker, models::SystemInfo};
use hearth_domain::{Login, Platform};
use hearth_layers::{BySource, Importer, Mirror, Pulled, Pusher, TransferError};
use hearth_runtime::Metrics;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};

use crate::external::engine::api::{FindNear, OnTransfer};

/// Why an image was imported in vain.
const UNSEEN: &str = "the engine does not see the image: is --containerd (HEARTH_CONTAINERD) the socket of its own containerd?";

/// Where the engine's containerd is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerdSocket {
    /// Where the engine says.
    Auto,
    /// It is not used: the engine pulls all images.
    Off,
    /// This socket.
    At(PathBuf),
}

impl FromStr for ContainerdSocket {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            _ => match text.strip_prefix("unix://") {
                Some(path) if path.starts_with('/') => Ok(Self::At(path.into())),
                _ => Err(
                    "must be auto, off, or unix:// and the absolute path of a socket".to_owned(),
                ),
            },
        }
    }
}

impl fmt::Display for ContainerdSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::At(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// What imports images, if the agent can do it here.
#[derive(Clone, Debug, Default)]
pub struct Fetcher {
    importer: Option<Importer>,
    fetches: Family<Way, Counter>,
    bytes: Family<Source, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Source {
    source: &'static str,
}

/// Who moved an image, as a label of a counter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Way {
    way: &'static str,
}

impl From<&hearth_layers::Way> for Way {
    fn from(way: &hearth_layers::Way) -> Self {
        let way = match way {
            hearth_layers::Way::Direct => "DIRECT",
            hearth_layers::Way::Engine => "ENGINE",
            hearth_layers::Way::Fallback(_) => "FALLBACK",
        };
        Self { way }
    }
}

impl Fetcher {
    /// Finds out what can be done with the engine, and removes what earlier processes of the agent left in its store.
    pub async fn choose(
        info: &SystemInfo,
        socket: &ContainerdSocket,
        platform: &Platform,
        mirrors: Vec<Mirror>,
        metrics: &Metrics,
    ) -> Self {
        let this = Self {
            importer: match importer(info, socket, platform).await {
                Ok(importer) => {
                    tracing::info!("images are fetched by the agent itself, all layers at once");
                    Some(importer)
                }
                Err(why) => {
                    tracing::info!("images are fetched by the engine: {why}");
                    None
                }
            },
            ..Self::default()
        };
        metrics.register(|registry| {
            registry.register(
                "agent_fetches",
                "Images that were fetched by the way: DIRECT by the agent itself, ENGINE by the engine, FALLBACK by the engine after the agent could not",
                this.fetches.clone(),
            );
            registry.register(
                "agent_fetched_bytes",
                "Compressed bytes of layers that the agent fetched itself, by where they came from: registry, mirror, or neighbour (another node)",
                this.bytes.clone(),
            );
        });
        this.with_mirrors(mirrors)
    }

    /// Asks these mirrors first.
    fn with_mirrors(self, mirrors: Vec<Mirror>) -> Self {
        if self.importer.is_none() && !mirrors.is_empty() {
            tracing::warn!(
                "--registry-mirror (HEARTH_REGISTRY_MIRROR) is not used: images are fetched by the engine, which has mirrors of its own"
            );
        }
        let importer = self.importer;
        Self {
            importer: importer.map(|importer| importer.with_mirrors(mirrors)),
            ..self
        }
    }

    /// Imports an image, or lets the engine pull it, as it does with those that a tag names: it may have a mirror for them.
    pub async fn pull(
        &self,
        docker: &Docker,
        image: &str,
        login: Option<&Login>,
        near: FindNear<'_>,
        progress: OnTransfer<'_>,
        engine_sees_it: impl AsyncFnOnce() -> bool,
    ) -> Result<Pulled, TransferError> {
        let pull = || hearth_layers::pull(docker, image, login, progress);
        let pulled = match self.importer.as_ref().filter(|_| image.contains('@')) {
            None => pull().await?,
            Some(importer) => match importer.import(image, login, near.await, progress).await {
                Ok(pulled) if engine_sees_it().await => pulled,
                imported => {
                    let why =
                        imported.map_or_else(|error| error.to_string(), |_| UNSEEN.to_owned());
                    tracing::warn!(
                        image,
                        "the engine pulls an image, since the agent could not fetch it: {why}"
                    );
                    Pulled {
                        way: hearth_layers::Way::Fallback(why),
                        ..pull().await?
                    }
                }
            },
        };
        self.count(&pulled);
        Ok(pulled)
    }

    fn count(&self, pulled: &Pulled) {
        self.fetches.get_or_create(&Way::from(&pulled.way)).inc();
        let BySource {
            registry,
            mirror,
            neighbours,
        } = pulled.from;
        for (source, bytes) in [
            ("registry", registry),
            ("mirror", mirror),
            ("neighbour", neighbours),
        ] {
            self.bytes.get_or_create(&Source { source }).inc_by(bytes);
        }
    }

    /// What pushes images out of the store that they are imported into. Layers wait in `folder` until they are sent; `reserve`
    /// bytes stay free on its disk.
    pub fn pusher(&self, folder: &Path, reserve: u64) -> Option<Pusher> {
        self.importer
            .as_ref()
            .map(|importer| importer.pusher(folder, reserve))
    }
}

/// Imports images into the engine, or says why that cannot be done.
async fn importer(
    info: &SystemInfo,
    socket: &ContainerdSocket,
    platform: &Platform,
) -> Result<Importer, String> {
    let socket = usable(info, socket)?;
    let importer = Importer::new(&socket, platform.to_string());
    match importer.sweep().await {
        Ok(0) => {}
        Ok(count) => tracing::info!("removed what {count} imports left that were cut off"),
        Err(error) => return Err(error.to_string()),
    }
    Ok(importer)
}

/// The socket, if the engine has what an import needs.
fn usable(info: &SystemInfo, socket: &ContainerdSocket) -> Result<PathBuf, String> {
    if *socket == ContainerdSocket::Off {
        return Err("--containerd (HEARTH_CONTAINERD) is off".to_owned());
    }
    let mut status = info.driver_status.iter().flatten().flatten();
    if !status.any(|text| text == "io.containerd.snapshotter.v1") {
        return Err("it keeps them in its classic store, not in containerd's".to_owned());
    }
    let snapshotter = info.driver.as_deref().unwrap_or_default();
    if snapshotter != "overlayfs" {
        return Err(format!(
            "it uses the snapshotter {snapshotter}, not overlayfs"
        ));
    }
    let has = |option: &str| {
        let mut options = info.security_options.iter().flatten();
        options.any(|known| {
            known
                .split(',')
                .any(|part| part == format!("name={option}"))
        })
    };
    if has("rootless") || has("userns") {
        return Err("it runs without root, or with other users than the node's".to_owned());
    }
    let said = || info.containerd.as_ref()?.address.as_deref();
    match socket {
        ContainerdSocket::At(path) => Ok(path.clone()),
        _ => said().map(PathBuf::from).ok_or_else(|| {
            "it does not say where its containerd is (Docker does since 27): name its socket with --containerd (HEARTH_CONTAINERD)".to_owned()
        }),
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ContainerdInfo;

    use super::*;

    fn docker() -> SystemInfo {
        SystemInfo {
            driver: Some("overlayfs".to_owned()),
            driver_status: Some(vec![vec![
                "driver-type".to_owned(),
                "io.containerd.snapshotter.v1".to_owned(),
            ]]),
            security_options: Some(vec!["name=seccomp,profile=builtin".to_owned()]),
            containerd: Some(ContainerdInfo {
                address: Some("/run/containerd/containerd.sock".to_owned()),
                ..ContainerdInfo::default()
            }),
            ..SystemInfo::default()
        }
    }

    #[test]
    fn images_are_imported_where_the_engine_has_what_that_needs_and_else_it_says_why() {
        let auto = ContainerdSocket::Auto;
        let path = PathBuf::from("/run/containerd/containerd.sock");
        assert_eq!(usable(&docker(), &auto), Ok(path));
        let own: ContainerdSocket = "unix:///x.sock".parse().unwrap();
        assert_eq!(usable(&docker(), &own), Ok(PathBuf::from("/x.sock")));
        let changed = |change: fn(&mut SystemInfo)| {
            let mut info = docker();
            change(&mut info);
            usable(&info, &ContainerdSocket::Auto).unwrap_err()
        };
        for (why, part) in [
            (
                usable(&docker(), &ContainerdSocket::Off).unwrap_err(),
                "off",
            ),
            (changed(|info| info.driver_status = None), "classic"),
            (
                changed(|info| info.driver = Some("native".into())),
                "native",
            ),
            (
                changed(|info| info.security_options = Some(vec!["name=rootless".into()])),
                "without root",
            ),
            (
                changed(|info| info.security_options = Some(vec!["name=userns".into()])),
                "other users",
            ),
            (changed(|info| info.containerd = None), "--containerd"),
        ] {
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn the_setting_is_read_as_it_is_written() {
        for text in ["auto", "off", "unix:///run/containerd/containerd.sock"] {
            assert_eq!(text.parse::<ContainerdSocket>().unwrap().to_string(), text);
        }
        for bad in ["", "on", "/run/x.sock", "unix://x", "tcp://x:1"] {
            assert!(bad.parse::<ContainerdSocket>().is_err(), "{bad}");
        }
    }
}
