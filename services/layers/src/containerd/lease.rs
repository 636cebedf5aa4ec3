//! Leases: while one exists, containerd keeps what was made under it, and afterwards only what an image refers to. So
//! nothing is left of an import that was cut off.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;

use super::{
    api::services::leases::v1::{
        AddResourceRequest, CreateRequest, DeleteRequest, ListRequest, Resource,
        leases_client::LeasesClient,
    },
    client::{Containerd, ContainerdError, Labels, Lease, SNAPSHOTTER, answer, if_there, request},
};

/// What the ids of hearth's leases begin with.
const PREFIX: &str = "hearth-import-";
/// A lease that nobody ends, since the agent was killed and does not start again, ends after this.
const EXPIRES: Duration = Duration::from_secs(24 * 3600);

/// What a lease can keep although it was there before.
pub enum Kept<'a> {
    Snapshot(&'a str),
    Content(&'a str),
}

impl Containerd {
    /// Makes a lease.
    pub async fn lease(&self) -> Result<Lease, ContainerdError> {
        let id = format!("{PREFIX}{}", uuid::Uuid::new_v4());
        let expires = Timestamp::from(SystemTime::now() + EXPIRES);
        let labels = Labels::from([("containerd.io/gc.expire".to_owned(), expires.to_string())]);
        let create = CreateRequest {
            id: id.clone(),
            labels,
        };
        answer("make a lease", self.leases().create(request(create, None))).await?;
        Ok(Lease { id })
    }

    /// Ends a lease. `sync`: what it kept is removed before this returns.
    pub async fn end(&self, lease: Lease, sync: bool) -> Result<(), ContainerdError> {
        self.delete(lease.id, sync).await
    }

    /// Ends the leases of imports that were cut off, and removes what they kept. Returns how many there were.
    pub async fn sweep(&self) -> Result<usize, ContainerdError> {
        let list = request(ListRequest::default(), None);
        let all = answer("list its leases", self.leases().list(list)).await?;
        let ours = all
            .leases
            .into_iter()
            .filter(|lease| lease.id.starts_with(PREFIX));
        let ours: Vec<_> = ours.collect();
        let count = ours.len();
        for (number, lease) in ours.into_iter().enumerate() {
            self.delete(lease.id, number + 1 == count).await?;
        }
        Ok(count)
    }

    /// Keeps something that is there, while the lease exists.
    pub async fn keep(&self, lease: &Lease, what: Kept<'_>) -> Result<(), ContainerdError> {
        let (r#type, id) = match what {
            Kept::Snapshot(name) => (format!("snapshots/{SNAPSHOTTER}"), name),
            Kept::Content(digest) => ("content".to_owned(), digest),
        };
        let add = AddResourceRequest {
            id: lease.id.clone(),
            resource: Some(Resource {
                id: id.to_owned(),
                r#type,
            }),
        };
        answer(
            "keep what it has",
            self.leases().add_resource(request(add, None)),
        )
        .await
    }

    async fn delete(&self, id: String, sync: bool) -> Result<(), ContainerdError> {
        let delete = request(DeleteRequest { id, sync }, None);
        let deleted = if_there("end a lease", self.leases().delete(delete)).await;
        deleted.map(|_| ())
    }

    fn leases(&self) -> LeasesClient<tonic::transport::Channel> {
        LeasesClient::new(self.channel.clone())
    }
}
