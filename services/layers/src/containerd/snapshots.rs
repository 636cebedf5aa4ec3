//! Snapshots: the unpacked layers, each on top of those below it.

use std::path::PathBuf;

use super::{
    api::{
        services::snapshots::v1::{
            CommitSnapshotRequest, Kind, PrepareSnapshotRequest, RemoveSnapshotRequest,
            StatSnapshotRequest, snapshots_client::SnapshotsClient,
        },
        types::Mount,
    },
    client::{
        Containerd, ContainerdError, Labels, Lease, SNAPSHOTTER, answer, if_there, request,
        unless_there,
    },
    lease::Kept,
};

/// A snapshot that can be written.
pub struct Upper {
    /// What it is called until it is committed.
    pub key: String,
    /// Its own folder.
    pub folder: PathBuf,
    /// The folders of the layers below it, the uppermost first.
    pub below: Vec<PathBuf>,
}

impl Containerd {
    /// Makes a snapshot on top of `parent`, or one that has nothing below it.
    pub async fn prepare(
        &self,
        lease: &Lease,
        name: &str,
        parent: Option<&str>,
    ) -> Result<Upper, ContainerdError> {
        let key = format!("{}-{name}", lease.id);
        let prepare = PrepareSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: key.clone(),
            parent: parent.unwrap_or_default().to_owned(),
            labels: Labels::new(),
        };
        let action = "make a snapshot";
        let mut snapshots = self.snapshots();
        let prepared = snapshots.prepare(request(prepare, Some(lease)));
        let prepared = answer(action, prepared).await?;
        let [mount] = &prepared.mounts[..] else {
            return Err(strange(action, &prepared.mounts));
        };
        let (folder, below) = folders(mount).ok_or_else(|| strange(action, &prepared.mounts))?;
        // The agent may have other file systems than containerd: another container, another namespace of mounts.
        let is_here = |folder: &PathBuf| folder.is_absolute() && folder.is_dir();
        match is_here(&folder) && below.iter().all(is_here) {
            true => Ok(Upper { key, folder, below }),
            false => Err(ContainerdError {
                action,
                cause: format!("its folder {} is not to be seen here", folder.display()),
            }),
        }
    }

    /// Commits a snapshot under `name`. One that another import has committed meanwhile is the same.
    pub async fn commit(
        &self,
        lease: &Lease,
        upper: &Upper,
        name: &str,
    ) -> Result<(), ContainerdError> {
        let commit = CommitSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            name: name.to_owned(),
            key: upper.key.clone(),
            labels: Labels::new(),
        };
        let mut snapshots = self.snapshots();
        let commit = snapshots.commit(request(commit, Some(lease)));
        match unless_there("commit a snapshot", commit).await? {
            Some(()) => Ok(()),
            None => {
                self.keep(lease, Kept::Snapshot(name)).await?;
                self.discard(&upper.key).await
            }
        }
    }

    /// Removes a snapshot that was not committed.
    pub async fn discard(&self, key: &str) -> Result<(), ContainerdError> {
        let remove = RemoveSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: key.to_owned(),
        };
        let mut snapshots = self.snapshots();
        let remove = snapshots.remove(request(remove, None));
        if_there("remove a snapshot", remove).await.map(|_| ())
    }

    /// Whether there is a committed snapshot `name`. If so, the lease keeps it and all below it.
    pub async fn has_snapshot(&self, lease: &Lease, name: &str) -> Result<bool, ContainerdError> {
        // In this order: between a look and the lease it could be removed.
        self.keep(lease, Kept::Snapshot(name)).await?;
        let stat = StatSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: name.to_owned(),
        };
        let mut snapshots = self.snapshots();
        let stat = snapshots.stat(request(stat, None));
        let found = if_there("look for a snapshot", stat).await?;
        let info = found.and_then(|found| found.info);
        Ok(info.is_some_and(|info| info.kind() == Kind::Committed))
    }

    fn snapshots(&self) -> SnapshotsClient<tonic::transport::Channel> {
        SnapshotsClient::new(self.channel.clone())
    }
}

/// The folder of a snapshot, and those of the layers below it. One that has none below it is bound, not laid over.
fn folders(mount: &Mount) -> Option<(PathBuf, Vec<PathBuf>)> {
    let option = |name: &str| {
        let mut options = mount.options.iter();
        options.find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    };
    match &mount.r#type[..] {
        "bind" => Some((PathBuf::from(&mount.source), Vec::new())),
        "overlay" => {
            let below = option("lowerdir")?.split(':').map(PathBuf::from).collect();
            Some((PathBuf::from(option("upperdir")?), below))
        }
        _ => None,
    }
}

fn strange(action: &'static str, mounts: &[Mount]) -> ContainerdError {
    ContainerdError {
        action,
        cause: format!("it has an unknown form: {mounts:?}"),
    }
}
