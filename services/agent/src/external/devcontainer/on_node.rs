use std::{
    fs, io,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use crate::external::{
    engine::ContainerNetwork,
    process::{Ended, OnLine, Process, ProcessFailure, last_line},
    sandbox::{Group, Network, Sandbox},
};

const NAME: &str = "hearth";

/// What commands of a repository reach on the network.
#[derive(Debug)]
pub enum NodeNetwork {
    /// All that the node reaches, its own loopback addresses among it.
    Node,
    /// What a container of the workspace reaches.
    Container(ContainerNetwork),
    /// Nothing.
    None,
}

/// The home of a user that no account of the node has, for commands of a repository.
#[derive(Debug)]
pub struct NodeHome {
    user: u32,
    folder: PathBuf,
    network: Network,
    /// Files of the system, and those that commands read in their place.
    replaced: Vec<(&'static str, PathBuf)>,
    /// What limits all of its commands together; there from the first one on.
    group: OnceLock<Option<Arc<Group>>>,
}

impl NodeHome {
    /// Makes the home in `folder`, which does not exist yet.
    pub fn create(folder: &Path, user: u32, network: NodeNetwork) -> io::Result<Self> {
        let mut home = Self {
            user,
            folder: folder.join("home"),
            network: Network::Node,
            replaced: Vec::new(),
            group: OnceLock::new(),
        };
        for folder in [&home.folder, &home.tmp()] {
            fs::create_dir_all(folder)?;
            chown(folder, Some(user), Some(user))?;
        }
        let shown = home.folder.display();
        let passwd = format!("root:x:0:0::/:/bin/sh\n{NAME}:x:{user}:{user}::{shown}:/bin/sh\n");
        let group = format!("root:x:0:\n{NAME}:x:{user}:\n");
        let mut files = vec![
            ("/etc/passwd", passwd.into_bytes()),
            ("/etc/group", group.into_bytes()),
        ];
        match network {
            NodeNetwork::Node => {}
            NodeNetwork::None => home.network = Network::None,
            NodeNetwork::Container(network) => {
                home.network = Network::Of(Arc::new(network.namespace));
                files.push(("/etc/resolv.conf", network.resolv_conf));
                files.push(("/etc/hosts", network.hosts));
            }
        }
        for (place, content) in files {
            let file = folder.join(Path::new(place).file_name().unwrap_or_default());
            fs::write(&file, content)?;
            home.replaced.push((place, file));
        }
        Ok(home)
    }

    fn group(&self, sandbox: &Sandbox) -> Result<Option<Arc<Group>>, ProcessFailure> {
        if let Some(group) = self.group.get() {
            return Ok(group.clone());
        }
        let group = sandbox.group();
        let group = group.map_err(|error| ProcessFailure::new(error.to_string()))?;
        Ok(self.group.get_or_init(|| group.map(Arc::new)).clone())
    }

    fn tmp(&self) -> PathBuf {
        self.folder.join("tmp")
    }
}

/// A command of the configuration that runs on the node, without the engine.
#[derive(Clone, Copy)]
pub struct NodeRequest<'a> {
    /// The clone, which belongs to the command's user.
    pub clone: &'a Path,
    /// The folder in it that the command runs in.
    pub folder: &'a Path,
    /// Its user's home.
    pub home: &'a NodeHome,
    /// Program and arguments.
    pub words: &'a [String],
}

/// Runs the command as the home's user. It sees neither the engine, nor logins, nor the attempt's folder.
pub(super) async fn run(
    sandbox: &Sandbox,
    request: &NodeRequest<'_>,
    on_line: OnLine<'_>,
) -> Result<(), ProcessFailure> {
    let home = request.home;
    let mut process = Process::new(sandbox, "/bin/sh")
        // Lines are read from stderr only.
        .args(["-c", "exec \"$@\" 1>&2", "sh"])
        .args(request.words)
        .dir(request.folder)
        .writes(request.clone)
        .run_as(home.user)
        .writes(&home.folder)
        .network(&home.network)
        .within(home.group(sandbox)?);
    for (place, file) in &home.replaced {
        process = process.replaces(place, file);
    }
    process
        .env("HOME", &home.folder)
        .env("TMPDIR", home.tmp())
        .env("USER", NAME)
        .env("LOGNAME", NAME)
        .run_to_end(on_line)
        .await
        .and_then(|(ended, _, tail)| {
            let message = match ended {
                Ok(()) => return Ok(()),
                Err(Ended::Exceeded(limit)) => limit,
                Err(Ended::Status(ended)) => last_line(&tail).map_or(ended, str::to_owned),
            };
            Err(ProcessFailure { message, tail })
        })
}
