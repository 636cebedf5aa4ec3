//! Layers that come from another node or a mirror: the image is as whole as from its registry.

use axum::{Router, body::Body, http::Response};
use hearth_layers::{BySource, Importer, Mirror, Near, Neighbour, NeighbourServer, Offers, Pulled};
use hearth_tests::process::eventually;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    faults::{assert_whole, layers},
    registry::{Fault, Image, Registry},
    world::Engine,
};

#[expect(clippy::disallowed_methods, reason = "it ends with the test")]
fn run(work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(work)
}

async fn import(importer: &Importer, image: &Image, near: Near) -> Pulled {
    let mut last = None;
    let imported = importer.import(&image.name, None, near, |transfer| {
        assert!(transfer.done <= transfer.total, "{transfer:?}");
        last = Some(transfer);
    });
    let imported = imported.await.unwrap();
    assert_eq!(imported.transfer.done, image.bytes);
    assert_eq!(
        (
            imported.transfer.layers_done,
            imported.transfer.layers_total
        ),
        (3, 3)
    );
    imported
}

#[tokio::test]
async fn a_second_node_reads_no_layer_from_the_registry() {
    let registry = Registry::start();
    let image = registry.put("a/b", &layers());
    let (first, second) = (Engine::start(), Engine::start());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let offers = Offers::default();
    let server = NeighbourServer::new(listener, offers.clone(), 1 << 40, |_| {});
    run(server.run());
    let offer = offers.offer();
    let neighbour = Neighbour {
        address: address.parse().unwrap(),
        token: offer.token().to_owned().into(),
    };
    let near = Near {
        neighbours: Vec::new(),
        offer: Some(offer),
    };
    let imported = import(&first.importer(), &image, near).await;
    let from_registry = BySource {
        registry: image.bytes,
        ..BySource::default()
    };
    assert_eq!(imported.from, from_registry);
    // They are read from files, and from the engine's store afterwards.
    let stored = || {
        // Index, manifest, configuration and layers.
        first.ctr(&["content", "list", "--quiet"]).lines().count() == 6
            && first.ctr(&["leases", "list", "--quiet"]).is_empty()
    };
    for in_store in [false, true] {
        if in_store {
            eventually("the blobs are stored", stored).await;
            second.vm.docker(&["image", "rm", &image.name]);
            second.vm.docker(&["image", "prune", "--all", "--force"]);
        }
        registry.set(Fault::None);
        let near = Near {
            neighbours: vec![neighbour.clone()],
            offer: None,
        };
        let imported = import(&second.importer(), &image, near).await;
        assert_eq!(registry.requests(), 0, "{in_store}");
        let from_neighbour = BySource {
            neighbours: image.bytes,
            ..BySource::default()
        };
        assert_eq!(imported.from, from_neighbour, "{in_store}");
        assert_whole(&second, &image);
    }
}

#[tokio::test]
async fn a_neighbour_that_sends_something_else_leaves_nothing_of_it() {
    let registry = Registry::start();
    let image = registry.put("a/b", &layers());
    let clean = Engine::start();
    import(&clean.importer(), &image, Near::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // As long as any layer, and no layer at all.
    let lie = || async { Response::new(Body::from(vec![7; 20_000_000])) };
    run(async move {
        let app = Router::new().fallback(lie);
        axum::serve(listener, app).await.unwrap();
    });
    let engine = Engine::start();
    let near = Near {
        neighbours: vec![Neighbour {
            address: address.parse().unwrap(),
            token: "token".to_owned().into(),
        }],
        offer: None,
    };
    let imported = import(&engine.importer(), &image, near).await;
    assert!(imported.from.registry >= image.bytes);
    assert_whole(&engine, &image);
    let count = || engine.contents().len() == clean.contents().len();
    eventually("as much is there as without the neighbour", count).await;
    assert_eq!(engine.snapshot_folders(), clean.snapshot_folders());
}

#[tokio::test]
async fn a_mirror_has_all_of_an_image_also_while_its_registry_does_not_answer() {
    let (registry, mirror) = (Registry::start(), Registry::start());
    let image = registry.put("a/b", &layers());
    mirror.put("a/b", &layers());
    let named: Mirror = format!("{}=http://{}", registry.host(), mirror.host())
        .parse()
        .unwrap();
    let engine = Engine::start();
    let importer = engine.importer().with_mirrors(vec![named]);
    // The mirror sends something else.
    mirror.set(Fault::WrongByte);
    let imported = import(&importer, &image, Near::default()).await;
    assert!(imported.from.registry > 0 && imported.from.mirror > 0);
    assert_whole(&engine, &image);
    drop(registry);
    mirror.set(Fault::None);
    let engine = Engine::start();
    let named: Mirror = format!(
        "{}=http://{}",
        image.name.split('/').next().unwrap(),
        mirror.host()
    )
    .parse()
    .unwrap();
    let importer = engine.importer().with_mirrors(vec![named]);
    let imported = import(&importer, &image, Near::default()).await;
    let from_mirror = BySource {
        mirror: image.bytes,
        ..BySource::default()
    };
    assert_eq!(imported.from, from_mirror);
    assert_whole(&engine, &image);
}
