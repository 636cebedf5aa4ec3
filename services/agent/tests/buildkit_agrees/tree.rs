//! A repository as it is checked out, and the image that is built from it.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
};

use hearth_agent::{
    devcontainer::{Base, DevcontainerConfig, Place},
    key::{KeyError, KeyReading, KeySource, read_key},
};
use hearth_domain::as_built;
use serde_json::{Value, json};

use crate::{
    engine::{Build, Engine},
    judge::Resolver,
};

/// Where its configuration is.
pub const CONFIG: &str = ".devcontainer/devcontainer.json";

/// A file, a folder or a link.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    File(Vec<u8>, u32),
    Folder(u32),
    Link(String),
    Pipe,
}

/// How the configuration is written down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Notation {
    Pretty,
    Compact,
    /// With comments and commas at the end.
    Commented,
}

#[derive(Clone, PartialEq)]
pub struct Tree {
    /// By their bytes: names need not be UTF-8.
    pub nodes: BTreeMap<Vec<u8>, Node>,
    pub config: Value,
    pub notation: Notation,
}

impl Tree {
    /// A tree whose configuration builds `.devcontainer/Dockerfile` in the folder above.
    pub fn new(dockerfile: &str, files: &[(&str, &str)]) -> Self {
        let build = json!({"build": {"dockerfile": "Dockerfile", "context": ".."}});
        let mut tree = Self {
            nodes: BTreeMap::new(),
            config: build,
            notation: Notation::Pretty,
        };
        tree.set_dockerfile(dockerfile);
        for (path, text) in files {
            tree.write(path, text);
        }
        tree
    }

    pub fn with_config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    pub fn write(&mut self, path: &str, text: &str) {
        self.put(path, Node::File(text.as_bytes().to_vec(), 0o644));
    }

    pub fn put(&mut self, path: &str, node: Node) {
        self.nodes.insert(path.as_bytes().to_vec(), node);
    }

    pub fn with(mut self, path: &str, node: Node) -> Self {
        self.put(path, node);
        self
    }

    /// The Dockerfile's path in the clone.
    pub fn dockerfile_path(&self) -> String {
        let build = &self.config["build"];
        let name = build["dockerfile"]
            .as_str()
            .or(self.config["dockerFile"].as_str());
        match name.unwrap_or("Dockerfile").strip_prefix("../") {
            Some(above) => above.to_owned(),
            None => format!(
                ".devcontainer/{}",
                name.unwrap_or("Dockerfile").trim_start_matches("./")
            ),
        }
    }

    pub fn dockerfile(&self) -> String {
        self.text(&self.dockerfile_path()).unwrap_or_default()
    }

    pub fn set_dockerfile(&mut self, text: &str) {
        self.write(&self.dockerfile_path(), text);
    }

    pub fn text(&self, path: &str) -> Option<String> {
        match self.nodes.get(path.as_bytes())? {
            Node::File(content, _) => Some(String::from_utf8_lossy(content).into_owned()),
            _ => None,
        }
    }

    /// Files that are no part of the configuration, by names that are UTF-8.
    pub fn files(&self) -> Vec<String> {
        let files = self.nodes.iter();
        let files = files.filter(|(_, node)| matches!(node, Node::File(..)));
        files
            .filter_map(|(path, _)| String::from_utf8(path.clone()).ok())
            .filter(|path| {
                *path != self.dockerfile_path()
                    && !path.starts_with(".git/")
                    && !path.contains(".dockerignore")
            })
            .collect()
    }

    fn config_text(&self) -> String {
        match self.notation {
            Notation::Pretty => format!("{:#}\n", self.config),
            Notation::Compact => self.config.to_string(),
            Notation::Commented => {
                let text = format!("// How this is developed\n{:#}\n", self.config);
                text.replacen('{', "{ /* first */", 1)
                    .replace("\"\n}\n", "\",\n}\n")
            }
        }
    }

    /// Writes it into `folder`, which does not exist yet.
    pub fn check_out(&self, folder: &Path) {
        let mut all = self.nodes.clone();
        let text = self.config_text().into_bytes();
        all.insert(CONFIG.as_bytes().to_vec(), Node::File(text, 0o644));
        for (path, node) in &all {
            let path = folder.join(OsStr::from_bytes(path));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match node {
                Node::File(content, _) => std::fs::write(&path, content).unwrap(),
                Node::Folder(_) => std::fs::create_dir_all(&path).unwrap(),
                Node::Link(target) => std::os::unix::fs::symlink(target, &path).unwrap(),
                Node::Pipe => {
                    let made = std::process::Command::new("mkfifo").arg(&path).status();
                    assert!(made.unwrap().success());
                }
            }
        }
        for (path, node) in &all {
            if let Node::File(_, mode) | Node::Folder(mode) = node {
                let path = folder.join(OsStr::from_bytes(path));
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(*mode)).unwrap();
            }
        }
    }

    /// Its configuration, as hearth reads it.
    fn read_config(&self, clone: &Path) -> Result<DevcontainerConfig, String> {
        let place = Place {
            clone,
            default_image: "default:1",
        };
        let config = DevcontainerConfig::parse(place, Path::new(CONFIG), &self.config_text());
        config.map_err(|error| error.to_string())
    }

    /// Its key.
    pub fn key(&self, engine: &Engine, clone: &Path) -> Result<KeyReading, KeyError> {
        let config = self.read_config(clone).expect("a configuration");
        let source = KeySource {
            clone,
            config: &config,
            platform: &"linux/amd64".parse().unwrap(),
            cli_version: "0.89.0",
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let resolver = Resolver(engine);
        runtime.unwrap().block_on(read_key(&source, &resolver))
    }

    /// Builds it from where it is checked out.
    pub fn build(&self, engine: &Engine, clone: &Path) -> Result<Build, String> {
        if self.config.get("features").is_some() || self.config.get("image").is_some() {
            return engine.build_with_cli(clone);
        }
        let config = self.read_config(clone)?;
        let recipe = config.recipe().ok_or("no recipe")?;
        let Base::Dockerfile(build) = &recipe.base else {
            return Err("no Dockerfile".to_owned());
        };
        let text =
            std::fs::read(clone.join(&build.dockerfile)).map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let built = as_built(&text, build.target.as_deref()).map_err(|error| error.to_string())?;
        let mut args = build.args.clone();
        args.insert(built.arg.0.to_owned(), built.arg.1);
        let options: Vec<String> = self.config["build"]["options"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        let context: PathBuf = clone.join(&build.context);
        engine.build(&context, &built.text, Some(built.target), &args, &options)
    }
}

impl std::fmt::Display for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{CONFIG}: {}", self.config_text())?;
        for (path, node) in &self.nodes {
            let path = String::from_utf8_lossy(path);
            match node {
                Node::File(content, mode) => {
                    writeln!(
                        f,
                        "{path:?} {mode:o}: {:?}",
                        String::from_utf8_lossy(content)
                    )?;
                }
                other => writeln!(f, "{path:?}: {other:?}")?,
            }
        }
        Ok(())
    }
}
