use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use futures_util::future::join_all;
use hearth_api::v1::{Failure, FailureReason, Hook, HookStatus, PipelineStep, event::Kind};
use hearth_runtime::blocking;

use super::{
    context::{Checkout, Context},
    failure::{failure, process_failure},
};
use crate::{
    clone_files::Owner,
    devcontainer::{DevcontainerConfig, HookCommand},
    external::{
        devcontainer::{NodeHome, NodeNetwork, NodeRequest},
        process::Line,
    },
    policy::Door,
};

const STEP: PipelineStep = PipelineStep::Container;
const HOOK: &str = "initializeCommand";
/// Commands of a hook whose ends are told.
const MAX_TOLD: usize = 100;
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
        give(clone, owner).await?;
        let network = open_network(cx).await;
        let home = blocking(move || NodeHome::create(&folder, user, network)).await;
        let home = home.map_err(|error| failure(FailureReason::Internal, STEP, error))?;
        // Several commands run at the same time.
        let place = (clone.folder.as_path(), config.workspace());
        let began = Instant::now();
        tell(cx, "", HookStatus::Started, 0.0);
        let commands = commands
            .iter()
            .enumerate()
            .map(|(number, command)| run(cx, place, &home, command, number < MAX_TOLD));
        let ran: Vec<Result<(), Failure>> = join_all(commands).await;
        let status = ended(ran.iter().all(Result::is_ok));
        tell(cx, "", status, began.elapsed().as_secs_f64());
        close_network(cx).await;
        // Also after a failure: the default image gets the same clone.
        give(clone, Owner::ROOT).await?;
        ran.into_iter().collect()
    };
    cx.recorder.step(STEP, format!("runs {HOOK}"), work).await
}

/// The command reaches what a container of the workspace would. What listens on the node's loopback addresses trusts those
/// who reach it, hearth's own ports among them.
async fn open_network(cx: &Context<'_>) -> NodeNetwork {
    if cx.allowed.is_open(&Door::HostNetwork) {
        return NodeNetwork::Node;
    }
    let engine = &cx.externals.engine;
    match engine.open_network(&cx.job.attempt.workspace).await {
        Ok(network) => NodeNetwork::Container(network),
        Err(error) => {
            cx.recorder
                .warn(format!("{HOOK} runs without a network: {error}"));
            NodeNetwork::None
        }
    }
}

async fn close_network(cx: &Context<'_>) {
    if cx.allowed.is_open(&Door::HostNetwork) {
        return;
    }
    let engine = &cx.externals.engine;
    if let Err(error) = engine.close_network(&cx.job.attempt.workspace).await {
        cx.recorder
            .warn(format!("{error}; it goes when the workspace is removed"));
    }
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

fn ended(succeeded: bool) -> HookStatus {
    match succeeded {
        true => HookStatus::Succeeded,
        false => HookStatus::Failed,
    }
}

/// Tells what the hook, or one of its commands, is at.
fn tell(cx: &Context<'_>, command: &str, status: HookStatus, seconds: f64) {
    cx.recorder.note(Kind::Hook(Hook {
        name: HOOK.to_owned(),
        origin: "devcontainer.json".to_owned(),
        command: command.to_owned(),
        status: status.into(),
        exit_code: 0,
        seconds,
    }));
}

async fn run(
    cx: &Context<'_>,
    (clone, workspace): (&Path, &Path),
    home: &NodeHome,
    command: &HookCommand,
    told: bool,
) -> Result<(), Failure> {
    let title = match &command.name {
        Some(name) => format!("{HOOK} {name:?}"),
        None => HOOK.to_owned(),
    };
    let mut output = cx.recorder.output(STEP);
    output.line(&format!("Running {title}"));
    let request = NodeRequest {
        clone,
        folder: &clone.join(workspace),
        home,
        words: &command.words,
    };
    let cli = &cx.externals.devcontainer;
    let began = Instant::now();
    let mut take = |line: Line<'_>| output.take(line);
    let result = cli.run_on_node(&request, &mut take).await;
    if let Some(name) = command.name.as_ref().filter(|_| told) {
        let status = ended(result.is_ok());
        tell(cx, name, status, began.elapsed().as_secs_f64());
    }
    result.map_err(|child| {
        let message = format!("{title} failed: {child}");
        process_failure(FailureReason::HookFailed, STEP, message, &child)
    })
}
