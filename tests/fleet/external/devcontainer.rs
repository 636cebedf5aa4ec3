use std::{fs, path::PathBuf, process::Command, sync::Arc};

use async_trait::async_trait;
use hearth_agent::external::{
    devcontainer::{
        BuildRequest, CliWorkspace, ComposeProject, Devcontainer, HooksRequest, NodeRequest,
        Started, UpRequest,
    },
    process::{Line, OnLine, ProcessFailure},
};
use hearth_tests::images::Image;

use super::{Builds, FakeEngine, FakeRegistry, engine::container_id, registry::BYTES};

/// The devcontainer CLI of a node.
pub struct FakeDevcontainer {
    node: String,
    engine: Arc<FakeEngine>,
    registry: Arc<FakeRegistry>,
    builds: Arc<Builds>,
}

impl FakeDevcontainer {
    pub(super) fn new(
        node: &str,
        engine: Arc<FakeEngine>,
        registry: Arc<FakeRegistry>,
        builds: Arc<Builds>,
    ) -> Self {
        Self {
            node: node.to_owned(),
            engine,
            registry,
            builds,
        }
    }
}

#[async_trait]
impl Devcontainer for FakeDevcontainer {
    async fn version(&self) -> Result<String, ProcessFailure> {
        Ok("0.89.0".to_owned())
    }

    async fn run_on_node(
        &self,
        request: &NodeRequest<'_>,
        _: OnLine<'_>,
    ) -> Result<(), ProcessFailure> {
        let words = request.words;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(request.folder);
        let status = command
            .status()
            .map_err(|error| ProcessFailure::new(error.to_string()))?;
        let failed = || ProcessFailure::new(format!("{words:?} ended with {status}"));
        status.success().then_some(()).ok_or_else(failed)
    }

    async fn build(&self, request: &BuildRequest<'_>, _: OnLine<'_>) -> Result<(), ProcessFailure> {
        fs::read_to_string(request.workspace.config)
            .map_err(|error| ProcessFailure::new(error.to_string()))?;
        if let Some(cache) = request.cache_to {
            let reference = cache
                .split(',')
                .find_map(|option| option.strip_prefix("ref="))
                .expect("a place for the cache");
            let image = Image::new(reference, BYTES, &[]);
            self.registry.put(reference, &image);
            return Ok(());
        }
        let number = self.builds.build(&self.node, request.image_name).await;
        // No two builds make the same image, as with real ones.
        let content = format!("{} {number}", request.image_name);
        let annotations = annotations(request.output.unwrap_or_default());
        let image = Image::new(&content, BYTES, &annotations);
        self.engine.add_image(request.image_name, image);
        Ok(())
    }

    async fn up(&self, request: UpRequest<'_>, _: OnLine<'_>) -> Result<Started, ProcessFailure> {
        let text = request.configuration.await;
        let text = text.map_err(|error| ProcessFailure::new(error.to_string()))?;
        let config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let image = config["image"].as_str().expect("an image");
        let id = request.workspace.workspace_id;
        if !self.engine.start(id, image) {
            return Err(ProcessFailure::new(format!("there is no image {image}")));
        }
        Ok(Started {
            container_id: container_id(id),
            remote_user: "root".to_owned(),
            remote_folder: "/workspaces".to_owned(),
        })
    }

    async fn compose_project(
        &self,
        _: &CliWorkspace<'_>,
        _: &[PathBuf],
        _: bool,
    ) -> Result<ComposeProject, ProcessFailure> {
        Err(ProcessFailure::new("there is no Compose here".to_owned()))
    }

    async fn run_hooks(
        &self,
        _: &HooksRequest<'_>,
        on_line: OnLine<'_>,
    ) -> Result<(), ProcessFailure> {
        for hook in ["postCreateCommand", "postStartCommand"] {
            let line = format!("Running the {hook} from devcontainer.json...");
            on_line(Line::Text(&line));
        }
        self.builds.hook(&self.node).await;
        Ok(())
    }
}

/// The annotations that the value of `--output` asks for.
fn annotations(output: &str) -> Vec<(&str, &str)> {
    let options = output.split(',');
    let annotations = options.filter_map(|option| option.strip_prefix("annotation-manifest."));
    annotations
        .filter_map(|annotation| annotation.split_once('='))
        .collect()
}
