use std::{fs, sync::LazyLock};

use async_trait::async_trait;
use hearth_agent::{
    devcontainer::{Found, Place, find},
    key::{KeySource, ResolveImage, read_key},
};
use hearth_domain::{Digest, ImageFacts, Platform};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A clone with what a configuration can refer to, and what answers questions about it.
struct World {
    clone: TempDir,
    runtime: Runtime,
    platform: Platform,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let write = |clone: &TempDir, path: &str, text: &str| {
        let path = clone.path().join(path);
        path.parent().map(fs::create_dir_all).transpose()?;
        fs::write(path, text)
    };
    let make = || -> std::io::Result<World> {
        let clone = tempfile::tempdir()?;
        let dockerfile = "ARG VARIANT=1\nFROM base:$VARIANT\nCOPY . /src\n";
        for path in ["Dockerfile", ".devcontainer/Dockerfile"] {
            write(&clone, path, dockerfile)?;
        }
        write(&clone, ".dockerignore", "*.log\n")?;
        write(
            &clone,
            ".devcontainer/hello/devcontainer-feature.json",
            "{\"id\": \"hello\", \"version\": \"1.0.0\"}",
        )?;
        write(&clone, ".devcontainer/hello/install.sh", "#!/bin/sh\n")?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let platform = "linux/amd64".parse().map_err(std::io::Error::other)?;
        Ok(World {
            clone,
            runtime,
            platform,
        })
    };
    make().unwrap_or_else(|error| panic!("the clone cannot be made: {error}"))
});

/// Reads the input as a devcontainer configuration, and the cache key of a clone with it.
///
/// The same configuration gives the same key.
pub fn configuration(data: &[u8]) {
    let clone = WORLD.clone.path();
    let file = clone.join(".devcontainer/devcontainer.json");
    if let Err(error) = fs::write(file, data) {
        panic!("the configuration cannot be written: {error}");
    }
    let place = Place {
        clone,
        default_image: "default:1",
    };
    let Ok(Found::Config(config)) = find(place, None) else {
        return;
    };
    let source = KeySource {
        clone,
        config: &config,
        platform: &WORLD.platform,
        cli_version: "0.89.0",
    };
    let read = || WORLD.runtime.block_on(read_key(&source, &Everything)).ok();
    assert_eq!(read(), read());
}

/// Knows every image and every feature.
struct Everything;

#[async_trait]
impl ResolveImage for Everything {
    async fn image_digest(&self, reference: &str) -> Result<Digest, String> {
        Ok(Digest::of(reference))
    }

    async fn image_facts(&self, _reference: &str) -> Result<Option<ImageFacts>, String> {
        Ok(Some(ImageFacts::default()))
    }

    async fn feature_dependencies(&self, _reference: &str) -> Result<Option<Vec<String>>, String> {
        Ok(Some(Vec::new()))
    }
}
