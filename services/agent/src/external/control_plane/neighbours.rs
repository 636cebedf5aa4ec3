use std::time::Duration;

use hearth_api::v1::{FindNeighboursRequest, Neighbour as Message};
use hearth_domain::{AttemptRef, CacheRepository, Digest, NodeAddress};
use hearth_layers::Neighbour;
use hearth_runtime::contract::attempt_message;

use super::{
    cache_api::IndexFailure,
    cache_index::{client, within},
    client::ControlPlaneClient,
};

/// A fetch begins without neighbours if the control plane does not tell of them in this time.
const LIMIT: Duration = Duration::from_secs(2);
/// Neighbours that are asked, whatever the control plane tells.
const MOST: usize = 3;

impl ControlPlaneClient {
    /// Which nodes have an image or fetch it; this node's layers of it are at `address` for who knows `token`.
    pub async fn neighbours(
        &self,
        attempt: &AttemptRef,
        (repository, digest): (&CacheRepository, &Digest),
        address: &NodeAddress,
        token: &str,
    ) -> Result<Vec<Neighbour>, IndexFailure> {
        let request = FindNeighboursRequest {
            attempt: Some(attempt_message(attempt)),
            repository: repository.to_string(),
            digest: digest.to_string(),
            offer: Some(Message {
                address: address.to_string(),
                token: token.to_owned(),
            }),
        };
        let answer = self.as_node(|bearer| {
            let request = bearer.on(request.clone());
            async { client(self).find_neighbours(request).await }
        });
        let found = within(LIMIT, answer).await?;
        let found = found.into_inner().neighbours.into_iter();
        let neighbours = found.take(MOST).map(|message| {
            let address: NodeAddress = message
                .address
                .parse()
                .map_err(|error| IndexFailure(format!("the address of a neighbour {error}")))?;
            Ok(Neighbour {
                address,
                token: message.token.into(),
            })
        });
        neighbours.collect()
    }
}
