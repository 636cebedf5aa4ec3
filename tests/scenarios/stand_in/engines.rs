//! What engines make of a registry that asks for tokens: their libraries for it are three different ones.

use std::{
    path::Path,
    process::{Command, Output},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hearth_tests::{GitHub, Registry, Vm, process::path};
use serde_json::json;

use super::{github, mint};

struct World {
    vm: Vm,
    registry: Registry,
    github: GitHub,
    dir: tempfile::TempDir,
}

async fn world(start: fn(std::path::PathBuf) -> Vm) -> World {
    let (github, dir) = github().await;
    let registry = Registry::start_guarded(dir.path().join("registry"), &github);
    let vm = start(dir.path().join("vm"));
    std::fs::create_dir(dir.path().join("context")).unwrap();
    let dockerfile =
        "FROM scratch AS one\nCOPY Dockerfile /one\nFROM scratch\nCOPY --from=one /one /two\n";
    std::fs::write(dir.path().join("context/Dockerfile"), dockerfile).unwrap();
    World {
        vm,
        registry,
        github,
        dir,
    }
}

impl World {
    fn image(&self, path_and_tag: &str) -> String {
        format!("{}/{path_and_tag}", self.registry.host())
    }

    /// Runs docker with a login for the registry, or with none.
    fn docker(&self, password: Option<&str>, args: &[&str]) -> Output {
        let config = tempfile::tempdir_in(self.dir.path()).unwrap();
        if let Some(password) = password {
            write_login(config.path(), &self.registry.host(), password);
        }
        Command::new("docker")
            .args(args)
            .env("PATH", path())
            .env("DOCKER_CONFIG", config.path())
            .env("DOCKER_HOST", self.vm.docker_host())
            .current_dir(self.dir.path())
            .output()
            .expect("docker")
    }

    fn works(&self, password: &str, args: &[&str]) {
        let output = self.docker(Some(password), args);
        assert!(output.status.success(), "{args:?}: {}", said(&output));
    }

    fn fails(&self, password: Option<&str>, args: &[&str]) {
        let output = self.docker(password, args);
        assert!(!output.status.success(), "{args:?}: {}", said(&output));
    }
}

fn write_login(config: &Path, registry: &str, password: &str) {
    let auth = STANDARD.encode(format!("x-access-token:{password}"));
    let login = json!({"auths": {registry: {"auth": auth}}});
    std::fs::write(config.join("config.json"), login.to_string()).unwrap();
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The classic store tries a refused push again for a quarter of a minute, so that is tried with the other one only.
async fn pushes_and_pulls(world: World, refusals: bool) {
    let writer = mint(&world.github, &json!({"packages": "write"})).await;
    let reader = mint(&world.github, &json!({"packages": "read"})).await;
    let (image, other) = (world.image("acme/shop:1"), world.image("acme/secret:1"));
    world.works(&writer, &["build", "--tag", &image, "context"]);
    world.works(&writer, &["tag", &image, &other]);
    if refusals {
        world.fails(None, &["push", &image]);
        world.fails(Some("ghs_wrong"), &["push", &image]);
        world.fails(Some(&reader), &["push", &image]);
        world.fails(Some(&writer), &["push", &other]);
        assert!(world.registry.tags("acme/shop").await.is_empty());
    }
    world.works(&writer, &["push", &image]);
    assert_eq!(world.registry.tags("acme/shop").await, ["1"]);

    world.works(&reader, &["image", "rm", "--force", &image, &other]);
    world.fails(None, &["pull", &image]);
    world.fails(Some("ghs_wrong"), &["pull", &image]);
    world.works(&reader, &["pull", &image]);
}

#[tokio::test]
async fn an_engine_with_containerds_store_pushes_and_pulls_with_what_its_token_allows() {
    pushes_and_pulls(world(Vm::start).await, true).await;
}

#[tokio::test]
async fn an_engine_with_the_classic_store_pushes_and_pulls_with_what_its_token_allows() {
    pushes_and_pulls(world(Vm::start_classic).await, false).await;
}

#[tokio::test]
async fn buildkit_writes_and_reads_its_cache_with_what_its_token_allows() {
    let world = world(Vm::start).await;
    let writer = mint(&world.github, &json!({"packages": "write"})).await;
    let reader = mint(&world.github, &json!({"packages": "read"})).await;
    let cache = world.image("acme/shop:buildcache");
    let export = format!("type=registry,ref={cache},mode=max");
    let export = ["build", "--cache-to", &export, "context"];
    world.fails(None, &export);
    world.fails(Some(&reader), &export);
    assert!(world.registry.tags("acme/shop").await.is_empty());
    world.works(&writer, &export);
    assert_eq!(world.registry.tags("acme/shop").await, ["buildcache"]);

    world.works(&writer, &["builder", "prune", "--all", "--force"]);
    let import = [
        "build",
        "--progress=plain",
        "--cache-from",
        &cache,
        "context",
    ];
    let built = said(&world.docker(Some(&reader), &import));
    assert!(built.contains("CACHED"), "{built}");
    // What cannot be read costs the cache, and not the build.
    world.works(&writer, &["builder", "prune", "--all", "--force"]);
    let built = world.docker(None, &import);
    assert!(built.status.success(), "{}", said(&built));
    assert!(!said(&built).contains("CACHED"), "{}", said(&built));
}
