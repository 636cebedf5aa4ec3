//! Nodes that fetch an image are told of the others that have it, and of no other image.

use hearth_api::v1::{FindNeighboursRequest, Neighbour, PrepareWorkspaceRequest, WorkspaceSpec};
use hearth_domain::Digest;
use tonic::{Code, Status};

use crate::support::{
    agent::FakeAgent,
    cache::{self, repository},
    plane::{Plane, shop},
    refusals::fields,
    start::with_agent,
};

fn offer(node: &str) -> Neighbour {
    Neighbour {
        address: format!("{node}.example:7412"),
        token: Digest::of(node).to_string()["sha256:".len()..].to_owned(),
    }
}

fn request(id: &str, offer: Option<Neighbour>) -> FindNeighboursRequest {
    FindNeighboursRequest {
        attempt: cache::attempt(id, 1),
        repository: repository(),
        digest: Digest::of("image").to_string(),
        offer,
    }
}

async fn find(
    plane: &Plane,
    id: &str,
    request: FindNeighboursRequest,
) -> Result<Vec<Neighbour>, Status> {
    let request = plane.of_agent(id, request).await;
    let found = plane.cache().await.find_neighbours(request).await?;
    Ok(found.into_inner().neighbours)
}

async fn prepared(plane: &Plane, node: &str) -> String {
    let request = PrepareWorkspaceRequest {
        node: node.into(),
        ..shop()
    };
    plane.prepare(request).await.id().to_owned()
}

#[tokio::test]
async fn a_node_is_told_of_those_that_fetch_the_same_image_and_are_there() {
    let (plane, mut n1) = with_agent(&[]).await;
    let _n2 = FakeAgent::join(&plane, "n2").await;
    let (one, two) = (prepared(&plane, "n1").await, prepared(&plane, "n2").await);
    let of = |id, node| find(&plane, id, request(id, Some(offer(node))));
    assert_eq!(of(&one, "n1").await.unwrap(), []);
    assert_eq!(of(&two, "n2").await.unwrap(), [offer("n1")]);
    // Another image.
    let another = FindNeighboursRequest {
        digest: Digest::of("another").to_string(),
        ..request(&two, None)
    };
    assert_eq!(find(&plane, &two, another).await.unwrap(), []);
    // It only asks.
    assert_eq!(
        find(&plane, &one, request(&one, None)).await.unwrap(),
        [offer("n2")]
    );
    assert_eq!(of(&one, "n1").await.unwrap(), [offer("n2")]);
    n1.deregister(&plane).await;
    assert_eq!(of(&two, "n2").await.unwrap(), []);
    // What it had offered ended with its process.
    n1.restart();
    n1.register(&plane, &[]).await;
    assert_eq!(of(&two, "n2").await.unwrap(), []);
}

#[tokio::test]
async fn an_attempt_asks_for_images_of_its_own_repository_alone() {
    let (plane, _n1) = with_agent(&[]).await;
    let _n2 = FakeAgent::join(&plane, "n2").await;
    let one = prepared(&plane, "n1").await;
    let asked = find(&plane, &one, request(&one, Some(offer("n1")))).await;
    assert_eq!(asked.unwrap(), []);
    let other = PrepareWorkspaceRequest {
        node: "n2".into(),
        spec: Some(WorkspaceSpec {
            repository: "https://github.com/acme/other".into(),
            ..WorkspaceSpec::default()
        }),
        ..PrepareWorkspaceRequest::default()
    };
    let two = plane.prepare(other).await.id().to_owned();
    let refused = find(&plane, &two, request(&two, None)).await.unwrap_err();
    assert_eq!(fields(&refused), ["repository"]);
}

#[tokio::test]
async fn an_offer_has_an_address_and_a_token_that_nobody_guesses() {
    let (plane, _n1) = with_agent(&[]).await;
    let one = prepared(&plane, "n1").await;
    let good = offer("n1");
    for (address, token, field) in [
        ("", &*good.token, "offer.address"),
        ("http://n1:7412", &good.token, "offer.address"),
        ("n1:7412/../", &good.token, "offer.address"),
        (&good.address, "", "offer.token"),
        (&good.address, "secret", "offer.token"),
        (
            &good.address,
            &format!("{}\n", &good.token[1..]),
            "offer.token",
        ),
    ] {
        let offer = Neighbour {
            address: address.to_owned(),
            token: token.to_owned(),
        };
        let refused = find(&plane, &one, request(&one, Some(offer))).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(fields(&refused), [field], "{address} {token}");
    }
}
