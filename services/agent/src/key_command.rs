//! `hearth-agent key DIR`: the cache key of a checkout, for people who ask why, and for checks from outside.
//!
//! It is the key of an attempt: read from the same files by the same code. What differs is where it runs: without a control
//! plane, an engine and logins, and in a checkout that is not an agent's clone.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use async_trait::async_trait;
use clap::Parser;
use hearth_domain::{ConfigName, Digest, ImageFacts, Input, KeyedManifest, Platform, Repository};
use serde_json::{Value, json};

use crate::{
    clone_files::CloneFiles,
    devcontainer::{BuildGrant, DevcontainerConfig, Found, Place, find_in},
    external::registry::OciRegistry,
    key::{KeyReading, KeySource, ResolveImage, read_key_of},
    pipeline::{RegistryResolver, unchanged_image},
    policy::{HostAccess, Policy},
};

/// Where the clone of an agent is not: nothing in a repository names a folder like this.
const NOWHERE: &str = "/hearth-key-of-a-checkout-0d6b2c1a";

/// Prints the cache key of a checkout as JSON: the key, its inputs, what counts more carefully than it would have to and why,
/// and what is not pinned, so that an image is built every time.
///
/// Needs neither root nor a control plane or an engine. Base images and features are asked for at their registries without a
/// login. The key is the one that an agent computes for a fresh clone at the same commit, for a ref that may write to the
/// cache, when it runs no initializeCommand. Exits with 1 when there is no key; the JSON then says why.
#[derive(Clone, Debug, Parser)]
#[command(name = "key")]
pub struct KeyCommand {
    /// Folder of the checkout
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Named configuration: that in .devcontainer/NAME
    #[arg(long, value_name = "NAME")]
    config: Option<ConfigName>,
    /// Platform of the node; without it, that of this machine
    #[arg(long, value_name = "OS/ARCHITECTURE")]
    platform: Option<Platform>,
    /// Version of the node's devcontainer CLI; without it, that of the one on PATH
    #[arg(long, value_name = "VERSION")]
    cli_version: Option<String>,
    /// Asks no registry: only what is named by its digest can be resolved
    #[arg(long)]
    offline: bool,
}

fn own_platform() -> Result<Platform, String> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let platform = format!("linux/{architecture}").parse();
    platform.map_err(|error| format!("{error}; name the platform of the node with --platform"))
}

impl KeyCommand {
    /// Prints the key.
    pub async fn run(self) -> ExitCode {
        let (answer, code) = match self.answer().await {
            Ok(answer) => (answer, ExitCode::SUCCESS),
            Err(why) => (json!({ "key": null, "why": why }), ExitCode::FAILURE),
        };
        // What is printed is the answer.
        let _ = writeln!(std::io::stdout(), "{answer:#}");
        code
    }

    async fn answer(&self) -> Result<Value, String> {
        let files = CloneFiles::open(&self.dir).map_err(|error| {
            format!(
                "{}: {error}; name the folder of a checkout",
                self.dir.display()
            )
        })?;
        let clone = Path::new(NOWHERE).join(name_of(&self.dir)?);
        let platform = self.platform.clone().map_or_else(own_platform, Ok)?;
        let mut config = self.configuration(&files, &clone)?;
        let allowed = Policy {
            host_access: HostAccess::Trusted,
            open_doors: [].into(),
        }
        .allow(true, None);
        config.grant(&BuildGrant {
            platform: &platform,
            allowed: &allowed,
        });
        if let Some((_, why)) = unchanged_image(&config) {
            return Err(why);
        }
        let cli_version = self.cli_version()?;
        let source = KeySource {
            clone: &clone,
            config: &config,
            platform: &platform,
            cli_version: &cli_version,
        };
        let registry = OciRegistry::new(platform.clone());
        let online = RegistryResolver::without_login(&registry);
        let resolver: &dyn ResolveImage = if self.offline { &Offline } else { &online };
        let reading = read_key_of(&files, &source, resolver).await;
        let KeyReading {
            manifest,
            careful,
            unpinned,
            defers: _,
        } = reading.map_err(|error| error.to_string())?;
        let inputs: Value =
            serde_json::from_str(manifest.canonical_json()).map_err(|error| error.to_string())?;
        Ok(json!({
            "key": manifest.key().as_str(),
            "configuration": config.path,
            "manifest": inputs,
            "careful": careful,
            "unpinned": unpinned,
            "other_in_a_clone": other_modes(&manifest),
        }))
    }

    fn configuration(
        &self,
        files: &CloneFiles,
        clone: &Path,
    ) -> Result<Box<DevcontainerConfig>, String> {
        let place = Place {
            clone,
            default_image: "",
        };
        match find_in(files, place, self.config.as_ref()) {
            Ok(Found::Config(config) | Found::Only(config, _)) => Ok(config),
            Ok(Found::NoDefault(named)) if named.is_empty() => {
                Err("there is no devcontainer.json".to_owned())
            }
            Ok(Found::NoDefault(named)) => Err(format!(
                "there is no default configuration; name one with --config: {}",
                named.join(", ")
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    fn cli_version(&self) -> Result<String, String> {
        if let Some(version) = &self.cli_version {
            return Ok(version.clone());
        }
        let told = Command::new("devcontainer").arg("--version").output();
        let told = told.ok().filter(|told| told.status.success());
        let told = told.map(|told| String::from_utf8_lossy(&told.stdout).trim().to_owned());
        told.ok_or_else(|| {
            "the devcontainer CLI, whose version is a part of the key, does not run: install it, or say which version the nodes have with --cli-version".to_owned()
        })
    }
}

/// The name of the repository, which is that of an agent's clone: from the remote `origin`, else from the folder.
fn name_of(dir: &Path) -> Result<String, String> {
    let origin = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(["config", "--get", "remote.origin.url"])
        .output();
    let origin = origin.map(|told| String::from_utf8_lossy(&told.stdout).trim().to_owned());
    let repository = origin.ok().and_then(|url| url.parse::<Repository>().ok());
    if let Some(repository) = repository {
        return Ok(repository.name().to_owned());
    }
    let dir = dir
        .canonicalize()
        .map_err(|error| format!("{}: {error}", dir.display()))?;
    let name = dir.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned)
        .ok_or_else(|| format!("{} has no name", dir.display()))
}

/// Sentences about files that a clone of an agent, made with umask 022, has with another mode.
fn other_modes(manifest: &KeyedManifest) -> Vec<String> {
    let files = manifest.inputs().inputs(Input::File);
    let others = files.filter_map(|(name, value)| {
        let mut words = value.split(' ');
        let (kind, mode) = (words.next()?, words.next()?);
        let usual = match kind {
            "file" => matches!(mode, "644" | "755"),
            "folder" => mode == "755",
            _ => true,
        };
        (!usual).then(|| {
            format!("{name} has the mode {mode}, and another one where git made it with umask 022")
        })
    });
    others.collect()
}

/// Resolves nothing.
struct Offline;

#[async_trait]
impl ResolveImage for Offline {
    async fn image_digest(&self, _reference: &str) -> Result<Digest, String> {
        Err("no registry is asked with --offline".to_owned())
    }

    async fn image_facts(&self, _reference: &str) -> Result<Option<ImageFacts>, String> {
        Err("no registry is asked with --offline".to_owned())
    }
}
