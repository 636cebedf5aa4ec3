use std::{
    fs, io,
    os::unix::fs::chown,
    path::{Path, PathBuf},
};

use crate::external::{
    process::{OnLine, Process, ProcessFailure},
    sandbox::Sandbox,
};

const NAME: &str = "hearth";

/// The home of a user that no account of the node has, for commands of a repository.
#[derive(Debug)]
pub struct NodeHome {
    user: u32,
    folder: PathBuf,
    passwd: PathBuf,
    group: PathBuf,
}

impl NodeHome {
    /// Makes the home in `folder`, which does not exist yet.
    pub fn create(folder: &Path, user: u32) -> io::Result<Self> {
        let home = Self {
            user,
            folder: folder.join("home"),
            passwd: folder.join("passwd"),
            group: folder.join("group"),
        };
        for folder in [&home.folder, &home.tmp()] {
            fs::create_dir_all(folder)?;
            chown(folder, Some(user), Some(user))?;
        }
        let shown = home.folder.display();
        fs::write(
            &home.passwd,
            format!("root:x:0:0::/:/bin/sh\n{NAME}:x:{user}:{user}::{shown}:/bin/sh\n"),
        )?;
        fs::write(&home.group, format!("root:x:0:\n{NAME}:x:{user}:\n"))?;
        Ok(home)
    }

    fn tmp(&self) -> PathBuf {
        self.folder.join("tmp")
    }
}

/// A command of the configuration that runs on the node, without the engine.
#[derive(Clone, Copy)]
pub struct NodeRequest<'a> {
    /// Folder of the clone, which belongs to the command's user.
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
    Process::new(sandbox, "/bin/sh")
        // Lines are read from stderr only.
        .args(["-c", "exec \"$@\" 1>&2", "sh"])
        .args(request.words)
        .dir(request.folder)
        .writes(request.folder)
        .run_as(home.user)
        .writes(&home.folder)
        .replaces("/etc/passwd", &home.passwd)
        .replaces("/etc/group", &home.group)
        .env("HOME", &home.folder)
        .env("TMPDIR", home.tmp())
        .env("USER", NAME)
        .env("LOGNAME", NAME)
        .run(on_line)
        .await
        .map(|_| ())
}
