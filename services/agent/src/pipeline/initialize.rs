use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use hearth_api::v1::{Failure, FailureReason, PipelineStep};
use hearth_runtime::blocking;

use super::{
    context::{Checkout, Context},
    failure::{failure, process_failure},
};
use crate::{
    clone_files::Owner,
    devcontainer::{DevcontainerConfig, NodeCommand},
    external::{
        devcontainer::{NodeHome, NodeRequest},
        process::{Line, ProcessFailure},
    },
    policy::Door,
};

const STEP: PipelineStep = PipelineStep::Container;
const HOOK: &str = "initializeCommand";
/// Numbers of users that neither distributions nor systemd give to anybody.
const USERS: std::ops::RangeInclusive<u32> = 60_706..=61_183;

/// Runs the configuration's `initializeCommand` on the node, in the clone's folder, if the attempt may ask for that. As with
/// `devcontainer up`, it comes before everything else: the image may be built from files that it makes.
pub async fn initialize(
    cx: &Context<'_>,
    clone: &Checkout,
    config: &DevcontainerConfig,
) -> Result<(), Failure> {
    let commands = &config.container.initialize;
    if commands.is_empty() {
        return Ok(());
    }
    if !cx.allowed.is_open(&Door::InitializeCommand) {
        let refusal = cx.allowed.refusal(HOOK, &Door::InitializeCommand);
        cx.recorder.warn(refusal);
        return Ok(());
    }
    let work = async {
        let user = next_user();
        let owner = Owner {
            uid: user,
            gid: user,
        };
        let folder = cx.scratch.path().join("initialize");
        let home = blocking(move || NodeHome::create(&folder, user)).await;
        let home = home.map_err(|error| failure(FailureReason::Internal, STEP, error))?;
        give(clone, owner).await?;
        // Several commands run at the same time.
        let commands = commands
            .iter()
            .map(|command| run(cx, clone, &home, command));
        let ran: Vec<Result<(), Failure>> = join_all(commands).await;
        // Also after a failure: the default image gets the same clone.
        give(clone, Owner::ROOT).await?;
        ran.into_iter().collect()
    };
    cx.recorder.step(STEP, format!("runs {HOOK}"), work).await
}

/// Attempts have different users: none counts for the limits of another.
fn next_user() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let users = USERS.end() - USERS.start() + 1;
    USERS.start() + COUNT.fetch_add(1, Ordering::Relaxed) % users
}

async fn give(clone: &Checkout, owner: Owner) -> Result<(), Failure> {
    let files = clone.files.clone();
    let given = blocking(move || files.give_to(owner)).await;
    given.map_err(|error| {
        let message = format!("the clone cannot be given to the user of {HOOK}: {error}");
        failure(FailureReason::HookFailed, STEP, message)
    })
}

async fn run(
    cx: &Context<'_>,
    clone: &Checkout,
    home: &NodeHome,
    command: &NodeCommand,
) -> Result<(), Failure> {
    let title = match &command.name {
        Some(name) => format!("{HOOK} {name:?}"),
        None => HOOK.to_owned(),
    };
    let mut output = cx.recorder.output(STEP);
    output.line(&format!("Running {title}"));
    let mut last = String::new();
    let mut take = |line: Line<'_>| {
        if let Line::Text(text) = line
            && !text.trim().is_empty()
        {
            text.trim().clone_into(&mut last);
        }
        output.take(line);
    };
    let request = NodeRequest {
        folder: &clone.folder,
        home,
        words: &command.words,
    };
    let cli = &cx.externals.devcontainer;
    let result = cli.run_on_node(&request, &mut take).await;
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
