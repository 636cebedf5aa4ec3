use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use hearth_api::v1::{
    Failure, FailureReason, PipelineStep, PushOutcome, WorkspaceState, event::Kind,
};
use hearth_runtime::{Panicked, contain};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    beside::Beside,
    context::Context,
    diagnosis::of_full_disk,
    disks::Disks,
    failure::failure,
    halts::Halts,
    job::Job,
    node::NodeFacts,
    prepare::prepare,
    push,
    recovery::after_recovery,
    start::start,
    usable::{Background, Usable},
};
use crate::{
    attempt::{AttemptLog, Recorder},
    clone_files::FileWork,
    credentials::{GitAccess, Logins, Protocol, bind, serve},
    door::{Doors, Own, OwnImages},
    external::{Externals, control_plane::LoginPurpose, engine::EngineFailure},
    leftovers::Leftovers,
    metrics::AgentMetrics,
    scratch::{Leftover, SOCKET, Scratch},
    secrets::HeldSecrets,
};

/// Runs the attempts of the node.
pub struct Runner {
    /// Facts about the node.
    pub node: Arc<NodeFacts>,
    /// Everything outside of the agent.
    pub externals: Externals,
    /// Folder with the attempts' private folders.
    pub attempts_dir: PathBuf,
    /// Logins of git in workspaces.
    pub git_access: GitAccess,
    /// Doors of attempts to the engine.
    pub doors: Doors,
    /// Counters of attempts.
    pub metrics: AgentMetrics,
    /// Removes what attempts leave.
    pub leftovers: Arc<Leftovers>,
    /// What has to end in containers before they are stopped.
    pub halts: Halts,
}

impl Runner {
    /// Runs an attempt until it has settled: prepares the workspace, pushes the image, cleans up.
    ///
    /// `stop` ends it early: for a newer attempt, a deletion, or (when `shutdown` is cancelled too) because the agent stops.
    pub async fn run(
        &self,
        job: &Job,
        log: Arc<AttemptLog>,
        stop: &CancellationToken,
        shutdown: &CancellationToken,
    ) {
        tracing::info!(
            workspace.id = %job.attempt.workspace,
            attempt = job.attempt.number,
            repository = %job.spec.repository,
            "attempt begins"
        );
        let recorder = Recorder::new(log, self.metrics.clone());
        recorder.state(WorkspaceState::Preparing, None);
        let work = contain("attempt", async {
            match self.take_over(job, stop, shutdown).await {
                Ok(()) => Box::pin(self.run_in_scratch(job, &recorder, stop, shutdown)).await,
                Err(failure) => self.fail(job, &recorder, failure),
            }
        });
        if let Err(panicked) = work.await {
            self.settle_panicked(job, &recorder, &panicked).await;
        }
        let folder = job.folder(&self.attempts_dir).without_workspace();
        self.leftovers.remove_folder(folder).await;
        recorder.settle();
        self.node.disk.wake();
    }

    /// Takes the workspace over from the attempts before.
    async fn take_over(
        &self,
        job: &Job,
        stop: &CancellationToken,
        shutdown: &CancellationToken,
    ) -> Result<(), Failure> {
        let work = (self.leftovers).taken_over(&job.attempt, &job.control_plane);
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(stopped(shutdown)),
            done = tokio::time::timeout(job.time_limit(), work) => done.map_err(|_| failure(
                FailureReason::EngineFailed,
                PipelineStep::Unspecified,
                "the engine still removes what the attempt before left; look after it and try again",
            )),
        }
    }

    /// Records the end of an attempt that panicked: a workspace that is ready is kept, any other has failed.
    async fn settle_panicked(&self, job: &Job, recorder: &Recorder, panicked: &Panicked) {
        match recorder.outcome() {
            None => {
                // The cleanup may be what panicked.
                let _ = contain("cleanup", self.undo(job, recorder, job.keep_clone)).await;
                self.fail(
                    job,
                    recorder,
                    failure(FailureReason::Internal, PipelineStep::Unspecified, panicked),
                );
            }
            Some(WorkspaceState::Ready | WorkspaceState::Recovery)
                if !recorder.is_push_reported() =>
            {
                let report = push::report(PushOutcome::Failed, panicked.to_string());
                recorder.note(Kind::Push(report));
            }
            Some(_) => recorder.warn(panicked.to_string()),
        }
    }

    async fn run_in_scratch(
        &self,
        job: &Job,
        recorder: &Recorder,
        stop: &CancellationToken,
        shutdown: &CancellationToken,
    ) {
        match Scratch::create(&job.folder(&self.attempts_dir), job.registry()) {
            Ok(scratch) => {
                if job.keep_clone
                    && let Err(error) = scratch.keep_clone()
                {
                    let message = format!("the attempt's folder cannot be written: {error}");
                    return self.fail(job, recorder, self.cannot_begin(message));
                }
                self.run_in(&scratch, job, recorder, stop, shutdown).await;
                scratch.files().end().await;
            }
            Err(error) => {
                let message = format!("the attempt's folder cannot be created: {error}");
                self.fail(job, recorder, self.cannot_begin(message));
            }
        }
    }

    /// Runs the steps, and serves docker's requests for logins and those to the engine meanwhile.
    async fn run_in(
        &self,
        scratch: &Scratch,
        job: &Job,
        recorder: &Recorder,
        stop: &CancellationToken,
        shutdown: &CancellationToken,
    ) {
        let logins = self.logins(job, recorder);
        // A workspace whose git cannot log in can still be used.
        let git_access = match job.start {
            Some(_) => (self.git_access).renew(&job.attempt, &job.spec.repository),
            None => (self.git_access).open(&job.attempt, &job.spec.repository),
        };
        let git_access = git_access.unwrap_or_else(|error| {
            recorder.warn(format!("git in the workspace gets no login: {error}"));
            None
        });
        let files = FileWork::default();
        let cache = job.cache.as_ref().ok();
        let cache = cache.map(|cache| cache.reference.repository().to_string());
        let images = OwnImages::of(&job.attempt.workspace, cache);
        let cx = Context {
            files: &files,
            job,
            node: &self.node,
            externals: &self.externals,
            recorder,
            scratch,
            logins: &logins,
            git_access: git_access.as_deref(),
            images: images.clone(),
            secrets: HeldSecrets::default(),
            allowed: self.node.policy.allow(job.trusted, job.host_access),
            disks: Disks::new(&self.node.data_root, scratch.path()),
            deadline: Instant::now() + job.time_limit(),
            clone_is_new: AtomicBool::new(false),
        };
        let door = self.doors.open(
            scratch.path(),
            &job.attempt.workspace,
            cx.allowed.clone(),
            recorder.clone(),
            Own {
                images,
                helper: cx.git_access.map(Path::to_owned),
                secrets: cx.secrets.clone(),
            },
        );
        let door = match door {
            Ok(door) => door,
            Err(error) => {
                let message = format!("the attempt's door to the engine cannot be opened: {error}");
                return self.fail(job, recorder, self.cannot_begin(message));
            }
        };
        let work = async {
            tokio::select! {
                () = Box::pin(self.run_steps(&cx, stop, shutdown)) => {}
                () = door.serve() => {}
            }
        };
        match bind(scratch.path(), SOCKET) {
            Ok(socket) => tokio::select! {
                () = work => {}
                () = serve(socket, Protocol::Docker, logins.clone()) => {}
            },
            Err(error) => {
                recorder.warn(format!("docker gets no login for the registry: {error}"));
                work.await;
            }
        }
    }

    fn cannot_begin(&self, message: String) -> Failure {
        let disks = Disks::new(&self.node.data_root, &self.attempts_dir);
        let why = failure(FailureReason::Internal, PipelineStep::Unspecified, message);
        of_full_disk(&disks, why)
    }

    fn logins(&self, job: &Job, recorder: &Recorder) -> Logins {
        let recorder = recorder.clone();
        Logins::new(
            self.externals.credentials.clone(),
            job.attempt.clone(),
            LoginPurpose::Attempt,
            move |why| recorder.warn(why),
        )
    }

    async fn run_steps(
        &self,
        cx: &Context<'_>,
        stop: &CancellationToken,
        shutdown: &CancellationToken,
    ) {
        let halt = self.halts.of(&cx.job.attempt.workspace);
        let mut background = Background::default();
        let work = async {
            match &cx.job.start {
                Some(target) => Box::pin(start(cx, target, &mut background)).await,
                None => prepare(cx, &mut background).await,
            }
        };
        let prepared = tokio::select! {
            biased;
            () = stop.cancelled() => Err(stopped(shutdown)),
            prepared = work => prepared,
        };
        match prepared {
            Ok(usable) => {
                if let Err(error) = cx.scratch.mark_ready() {
                    cx.recorder.warn(format!(
                        "the workspace is not marked as ready; a restarted agent would remove it: {error}"
                    ));
                }
                match usable {
                    Usable::Ready => cx.recorder.ready(background.hooks.is_there()),
                    Usable::Recovery(failure) => {
                        cx.recorder.state(WorkspaceState::Recovery, Some(failure));
                    }
                }
            }
            Err(failure) => {
                // Nothing may write into the volume of the next attempt.
                cx.files.end().await;
                self.undo(cx.job, cx.recorder, cx.keeps_clone()).await;
                self.fail(cx.job, cx.recorder, failure);
            }
        }
        let Background {
            push,
            hooks,
            audit,
            recovered,
        } = &mut background;
        let is_pushed = push.is_there();
        tokio::select! {
            biased;
            () = stop.cancelled() => {
                if is_pushed && !cx.recorder.is_push_reported() {
                    let why = stopped(shutdown).message;
                    cx.recorder.note(Kind::Push(push::report(PushOutcome::Interrupted, why)));
                }
            }
            // Their results are in the log.
            () = async {
                tokio::join!(push.finish(), in_container(&halt.halted, hooks, audit));
                if *recovered {
                    after_recovery(cx).await;
                }
            } => {}
        }
    }

    /// Takes back what a failed attempt made on the node, apart from its log: it is removed, or stopped after an attempt at
    /// starting. A clone that it `keeps` is not its own.
    async fn undo(&self, job: &Job, recorder: &Recorder, keeps: bool) {
        let folder = Leftover {
            keeps_clone: keeps,
            ..job.folder(&self.attempts_dir)
        };
        let problem = self.node.engine.problem().borrow().clone();
        let undone = match problem {
            // The end of the attempt does not wait for it.
            Some(cause) => Err(EngineFailure {
                action: folder.action(),
                cause,
            }),
            None => self.leftovers.undo(&folder).await,
        };
        if let Err(error) = undone {
            recorder.warn(format!(
                "{error}; it is tried again when the engine answers"
            ));
            self.leftovers.add(folder);
        }
    }

    fn fail(&self, job: &Job, recorder: &Recorder, failure: Failure) {
        let failure = recorder.masked(failure);
        tracing::info!(
            workspace.id = %job.attempt.workspace,
            attempt = job.attempt.number,
            reason = failure.reason().as_str_name(),
            "attempt failed: {}",
            failure.message
        );
        match job.start {
            Some(_) => recorder.not_started(failure),
            None => recorder.state(WorkspaceState::Failed, Some(failure)),
        }
    }
}

/// Hooks, and the audit that follows them, until the container is to be stopped.
async fn in_container(
    halted: &CancellationToken,
    hooks: &mut Beside<'_, ()>,
    audit: &mut Beside<'_, ()>,
) {
    let ended = tokio::select! {
        biased;
        () = halted.cancelled() => false,
        _ = async { tokio::join!(hooks.finish(), audit.finish()) } => true,
    };
    if !ended {
        hooks.cancel();
        audit.cancel();
    }
}

fn stopped(shutdown: &CancellationToken) -> Failure {
    let (reason, message) = if shutdown.is_cancelled() {
        (FailureReason::AgentRestarted, "the agent was stopped")
    } else {
        (
            FailureReason::Replaced,
            "a newer attempt or a deletion took its place, or the control plane ended it",
        )
    };
    failure(reason, PipelineStep::Unspecified, message)
}
