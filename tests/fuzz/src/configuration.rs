use std::{fs, io, path::Path, sync::LazyLock};

use async_trait::async_trait;
use hearth_agent::{
    devcontainer::{BuildGrant, Found, Place, find},
    key::{KeySource, ResolveImage, read_key},
    policy::{HostAccess, Policy},
};
use hearth_domain::{Digest, ImageFacts, Platform};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A clone, and what answers questions about it.
struct World {
    clone: TempDir,
    runtime: Runtime,
    platform: Platform,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let make = || -> io::Result<World> {
        Ok(World {
            clone: tempfile::tempdir()?,
            runtime: tokio::runtime::Builder::new_current_thread().build()?,
            platform: "linux/amd64".parse().map_err(io::Error::other)?,
        })
    };
    make().unwrap_or_else(|error| panic!("the clone cannot be made: {error}"))
});

const CONFIG: &str = ".devcontainer/devcontainer.json";
const DOCKERFILE: &str = "ARG VARIANT=1\nFROM base:$VARIANT\nCOPY . /src\n";

/// The files that a clone has if the input does not say otherwise. No input has others.
const FILES: [(&str, &str); 11] = [
    (CONFIG, "{\"build\": {\"dockerfile\": \"Dockerfile\"}}"),
    ("Dockerfile", DOCKERFILE),
    (".devcontainer/Dockerfile", DOCKERFILE),
    (".dockerignore", "*.log\n"),
    (".devcontainer/devcontainer-lock.json", ""),
    (
        ".devcontainer/hello/devcontainer-feature.json",
        "{\"id\": \"hello\", \"version\": \"1.0.0\"}",
    ),
    (".devcontainer/hello/install.sh", "#!/bin/sh\n"),
    (".git/HEAD", "ref: refs/heads/main\n"),
    (".git/refs/heads/main", ""),
    (
        ".git/packed-refs",
        "0123456789012345678901234567890123456789 refs/heads/main\n",
    ),
    ("src/a/b.log", ""),
];

/// Between the files of an input, before the path of the next one.
const BETWEEN: &str = "\n%%% ";

/// Reads the input as a devcontainer configuration, and the cache key of a clone with it.
///
/// The same configuration gives the same key.
pub fn configuration(data: &[u8]) {
    read_clone(&[(CONFIG, data)]);
}

/// Reads the input as the files of a clone, each behind its path, and the clone's configuration and cache key.
///
/// The same files give the same key.
pub fn clone(data: &[u8]) {
    // The first path has nothing before it.
    let text = format!("\n{}", String::from_utf8_lossy(data));
    let files: Vec<(&str, &[u8])> = text
        .split(BETWEEN)
        .filter_map(|part| {
            let (path, content) = part.split_once('\n').unwrap_or((part, ""));
            let known = FILES.iter().find(|(known, _)| *known == path.trim())?;
            Some((known.0, content.as_bytes()))
        })
        .collect();
    read_clone(&files);
}

fn read_clone(files: &[(&str, &[u8])]) {
    let clone = WORLD.clone.path();
    let standard = FILES.iter().map(|(path, text)| (*path, text.as_bytes()));
    for (path, content) in standard.chain(files.iter().copied()) {
        if let Err(error) = write(&clone.join(path), content) {
            panic!("{path} cannot be written: {error}");
        }
    }
    let place = Place {
        clone,
        default_image: "default:1",
    };
    let Ok(Found::Config(mut config)) = find(place, None) else {
        return;
    };
    let policy = Policy {
        host_access: HostAccess::Always,
        open_doors: [].into(),
    };
    config.grant(&BuildGrant {
        platform: &WORLD.platform,
        allowed: &policy.allow(true, None),
    });
    let source = KeySource {
        clone,
        config: &config,
        platform: &WORLD.platform,
        cli_version: "0.89.0",
    };
    let read = || WORLD.runtime.block_on(read_key(&source, &Everything)).ok();
    assert_eq!(read(), read());
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    path.parent().map(fs::create_dir_all).transpose()?;
    fs::write(path, content)
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
