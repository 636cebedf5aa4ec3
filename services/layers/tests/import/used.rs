//! What the engine does with an image that hearth brought.

use hearth_tests::process::eventually;

use crate::{
    archive::{Encoding, file, folder},
    registry::Registry,
    world::Engine,
};

#[tokio::test]
async fn the_engine_builds_on_it_pushes_it_saves_it_and_removes_it_as_its_own() {
    let registry = Registry::start();
    let image = registry.put(
        "a/b",
        &[
            (Encoding::Gzip, vec![folder("a"), file("a/b", "lower")]),
            (Encoding::Zstd(1 << 20), vec![file("a/c", "upper")]),
        ],
    );
    // Docker 26 pushes an index only with the images of all platforms.
    let (image, chain) = (&image.without_index, &image.chain);
    let engine = Engine::start();
    engine.import(image).await.unwrap();
    // Whatever is built before the blobs are there fetches them again.
    let has_blobs = || {
        !engine
            .ctr(&["leases", "list", "--quiet"])
            .contains("hearth")
    };
    eventually("the import has ended", has_blobs).await;
    let folder = engine.vm.dir().join("build");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        folder.join("Dockerfile"),
        format!("FROM {}\nCOPY Dockerfile /d\n", image),
    )
    .unwrap();
    let real = hearth_tests::Registry::start(engine.vm.dir().join("registry"));
    let name = format!("{}/built/app:1", real.host());
    let config = engine.vm.dir().join("config");
    let docker = |arguments: &[&str]| {
        let output = engine
            .vm
            .command()
            .env("DOCKER_CONFIG", &config)
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    };
    docker(&["build", "--tag", &name, folder.to_str().unwrap()]);
    docker(&["push", &name]);
    let saved = engine.vm.dir().join("saved.tar");
    docker(&["save", "--output", saved.to_str().unwrap(), image]);
    let copy = format!("{}/copied/app:1", real.host());
    docker(&["tag", image, &copy]);
    docker(&["push", &copy]);
    // Another engine gets all of it.
    let other = Engine::start();
    other.pull(&name);
    other.pull(&copy);
    let folders = other.folders(chain);
    assert_eq!(std::fs::read(folders[1].join("a/c")).unwrap(), b"upper");
    docker(&["image", "rm", &name, &copy, image]);
    docker(&["builder", "prune", "--all", "--force"]);
    let is_empty = || engine.contents().is_empty();
    eventually("nothing is left", is_empty).await;
}
