use futures_util::future::join_all;
use hearth_api::v1::{Failure, FailureReason, PipelineStep};

use super::{
    context::{Checkout, Context},
    failure::process_failure,
};
use crate::{
    devcontainer::{DevcontainerConfig, NodeCommand},
    external::process::{Line, ProcessFailure},
};

const STEP: PipelineStep = PipelineStep::Container;
const HOOK: &str = "initializeCommand";

/// Runs the configuration's `initializeCommand` on the node, in the clone's folder. As with `devcontainer up`, it comes
/// before everything else: the image may be built from files that it makes.
pub async fn initialize(
    cx: &Context<'_>,
    clone: &Checkout,
    config: &DevcontainerConfig,
) -> Result<(), Failure> {
    let commands = &config.container.initialize;
    if commands.is_empty() {
        return Ok(());
    }
    let work = async {
        // Several commands run at the same time.
        let commands = commands
            .iter()
            .map(|command| run(cx, clone, config, command));
        join_all(commands).await.into_iter().collect()
    };
    cx.recorder.step(STEP, format!("runs {HOOK}"), work).await
}

async fn run(
    cx: &Context<'_>,
    clone: &Checkout,
    config: &DevcontainerConfig,
    command: &NodeCommand,
) -> Result<(), Failure> {
    let title = match &command.name {
        Some(name) => format!("{HOOK} {name:?}"),
        None => HOOK.to_owned(),
    };
    let mut output = cx.recorder.output(STEP);
    output.line(&format!("Running {title}"));
    let config = clone.folder.join(&config.path);
    let workspace = cx.cli_workspace(&clone.folder, &config);
    let mut last = String::new();
    let mut take = |line: Line<'_>| {
        if let Line::Text(text) = line
            && !text.trim().is_empty()
        {
            text.trim().clone_into(&mut last);
        }
        output.take(line);
    };
    let cli = &cx.externals.devcontainer;
    let result = cli.run_on_node(&workspace, &command.words, &mut take).await;
    result.map_err(|child| failed(&title, &last, &child))
}

fn failed(title: &str, last_line: &str, child: &ProcessFailure) -> Failure {
    let why = if last_line.is_empty() {
        &child.message
    } else {
        last_line
    };
    let message = format!("{title} failed: {why}");
    process_failure(FailureReason::HookFailed, STEP, message, child)
}
