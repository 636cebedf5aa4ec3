use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use hearth_api::v1::{Failure, FailureReason, PipelineStep};
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::{
    beside::Beside,
    context::{Checkout, Context},
    failure::{failure, process_failure},
};
use crate::{
    devcontainer::{DevcontainerConfig, Source},
    door::denied_source,
    external::{
        devcontainer::{Started, UpFrom, UpRequest, default_config_path},
        process::{Line, ProcessFailure},
    },
};

const STEP: PipelineStep = PipelineStep::Container;

/// A start of the container by the devcontainer CLI. The CLI may be started while the image is on its way
/// ([`Up::alongside`]), which takes as long as a third of the rest: then it waits for its configuration, and has asked the
/// engine for nothing but its version.
///
/// It goes on only while one of the methods is awaited, and ends with this value.
pub struct Up<'a> {
    cx: &'a Context<'a>,
    from: UpFrom,
    /// Where the CLI looks for the configuration, and for files that `runArgs` name.
    folder: PathBuf,
    config: PathBuf,
    /// The clone, whose path nobody is to read.
    clone: PathBuf,
    cli: Beside<'a, Result<Started, ProcessFailure>>,
    /// To it.
    configuration: Option<oneshot::Sender<String>>,
}

impl<'a> Up<'a> {
    /// That of a configuration, or of the default image.
    pub async fn of(
        cx: &'a Context<'_>,
        clone: &Checkout,
        config: Option<&DevcontainerConfig>,
    ) -> Result<Self, Failure> {
        // `runArgs` may name files by paths in the clone. The default image comes after a container that may have failed.
        let root = match config {
            Some(_) => clone.folder.clone(),
            None => empty_folder(cx, folder_name(clone)).await?,
        };
        let (from, folder) = match config.map(|config| (&config.source, config.workspace())) {
            // Its files may be anywhere in the clone.
            Some((Source::Compose(_), _)) => (UpFrom::Compose, root.clone()),
            Some((Source::Recipe(_), workspace)) => (UpFrom::Image, below(&root, workspace)),
            None => (UpFrom::Image, root.clone()),
        };
        Ok(Self {
            cx,
            from,
            config: config_path(&root, config),
            folder,
            clone: clone.folder.clone(),
            cli: Beside::default(),
            configuration: None,
        })
    }

    /// Runs `work`, and starts the CLI at the same time if it has not been.
    pub async fn alongside<T>(&mut self, work: impl Future<Output = T>) -> T {
        if !self.cli.is_there() {
            let (sender, configuration) = oneshot::channel();
            self.configuration = Some(sender);
            self.cli = self.begin(configuration);
        }
        self.cli.alongside(work).await
    }

    fn begin(
        &self,
        configuration: oneshot::Receiver<String>,
    ) -> Beside<'a, Result<Started, ProcessFailure>> {
        let (cx, from) = (self.cx, self.from);
        let (folder, config) = (self.folder.clone(), self.config.clone());
        Beside::new(async move {
            let request = UpRequest {
                workspace: cx.cli_workspace(&folder, &config),
                from,
                configuration,
            };
            // Of the step that is open when something is printed: the CLI may be started before it.
            let mut output = None;
            let mut take = |line: Line<'_>| {
                let output = output.get_or_insert_with(|| cx.recorder.output(STEP));
                output.take(line);
            };
            let cli = &cx.externals.devcontainer;
            cli.up(request, &mut take).await
        })
    }

    /// Ends the CLI that waits, since its image is not there for long.
    pub fn put_off(&mut self) {
        self.cli.cancel();
    }

    /// Starts the container with these properties.
    pub async fn with(mut self, properties: Map<String, Value>) -> Result<Started, Failure> {
        self.alongside(async {}).await;
        if let Some(configuration) = self.configuration.take() {
            // A CLI that has ended says why itself.
            let _ = configuration.send(Value::Object(properties).to_string());
        }
        let Some(started) = self.cli.finish().await else {
            return Err(failure(
                FailureReason::Internal,
                STEP,
                "nothing was started",
            ));
        };
        started
            .map_err(|child| child.without_folders(&[&self.clone, self.cx.scratch.path()]))
            .map_err(failed)
    }
}

/// A folder named like the clone, for a CLI that only needs a name: it must not read the clone once a container can write
/// to it.
pub async fn empty_folder(cx: &Context<'_>, name: &OsStr) -> Result<PathBuf, Failure> {
    let folder = cx.scratch.path().join("empty").join(name);
    tokio::fs::create_dir_all(&folder)
        .await
        .map_err(|error| failure(FailureReason::Internal, STEP, error))?;
    Ok(folder)
}

/// The folder that is worked in.
fn below(root: &Path, workspace: &Path) -> PathBuf {
    root.join(workspace).components().collect()
}

/// The name of the clone's folder.
pub fn folder_name(clone: &Checkout) -> &OsStr {
    clone.folder.file_name().unwrap_or_default()
}

/// Where the CLI is told that the configuration is.
pub fn config_path(folder: &Path, config: Option<&DevcontainerConfig>) -> PathBuf {
    match config {
        Some(config) => folder.join(&config.path),
        None => default_config_path(folder),
    }
}

/// The failure of a container that the CLI could not start.
pub fn failed(child: ProcessFailure) -> Failure {
    let denied = denied_source(&child.message).or_else(|| denied_source(&child.tail));
    let why = denied.as_ref().unwrap_or(&child.message);
    let message = format!("the container cannot be started: {why}");
    process_failure(FailureReason::ContainerFailed, STEP, message, &child)
}

#[cfg(test)]
#[path = "up_tests.rs"]
mod tests;
