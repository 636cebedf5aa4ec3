//! A key is built once: others wait for its image, and go on by themselves when none comes of it.

use hearth_api::v1::{
    CacheAccess, FailureReason, PipelineStep, PushOutcome, ResolveCacheRequest,
    ResolveCacheResponse, WaitDecision, resolve_cache_response::Decision,
};
use hearth_domain::KeyManifest;
use tonic::{Code, Status, Streaming};

use crate::support::{
    agent::FakeAgent,
    cache::{self, repository},
    events::{built, failed, preparing, push, ready, recovery, settled, started, words},
    plane::{Plane, again, shop},
    soon,
};

fn manifest() -> KeyManifest {
    cache::manifest(".devcontainer/Dockerfile", "a")
}

/// An agent's question.
struct Question(Streaming<ResolveCacheResponse>);

impl Question {
    async fn ask(plane: &Plane, id: &str, number: u32) -> Self {
        Self(cache::ask(plane, id, number, &repository(), &manifest()).await)
    }

    async fn try_next(&mut self) -> Result<Option<Decision>, Status> {
        let message = soon("a decision", self.0.message()).await?;
        Ok(message.map(|message| message.decision.expect("a decision")))
    }

    async fn next(&mut self) -> Decision {
        let decision = self.try_next().await.expect("no failure");
        decision.expect("a decision and not the end")
    }

    async fn builds(&mut self) {
        let decision = self.next().await;
        assert!(matches!(decision, Decision::Build(_)), "{decision:?}");
        assert_eq!(self.try_next().await.expect("no failure"), None);
    }

    async fn waits_for(&mut self, node: &str) -> WaitDecision {
        match self.next().await {
            Decision::Wait(wait) => {
                assert_eq!(wait.node, node);
                wait
            }
            other => panic!("{other:?}"),
        }
    }

    async fn hits(&mut self) {
        let decision = self.next().await;
        assert!(matches!(decision, Decision::Hit(_)), "{decision:?}");
        assert_eq!(self.try_next().await.expect("no failure"), None);
    }
}

async fn commit(plane: &Plane, id: &str) {
    let entry = cache::entry(&manifest(), "image");
    let committed = cache::try_commit(plane, id, 1, entry).await;
    committed.expect("a commit");
}

/// A control plane and workspaces that are being prepared, on one node each.
async fn crew<const N: usize>(plane: &Plane) -> ([FakeAgent; N], [String; N]) {
    let mut agents = Vec::new();
    let mut ids = Vec::new();
    for number in 0..N {
        let agent = FakeAgent::join(plane, &format!("n{number}")).await;
        let mut request = shop();
        request.node = agent.name.clone();
        let id = plane.prepare(request).await.id().to_owned();
        agent.started(&id, 1).await;
        agent.say(&id, 1, [preparing()]);
        agents.push(agent);
        ids.push(id);
    }
    let agents = agents.try_into().ok().expect("N agents");
    (agents, ids.try_into().expect("N workspaces"))
}

#[tokio::test]
async fn all_who_wait_get_the_image_the_moment_it_is_committed() {
    let plane = Plane::fresh(&[]).await;
    let (_agents, ids) = crew::<4>(&plane).await;
    Question::ask(&plane, &ids[0], 1).await.builds().await;
    let mut waiting = Vec::new();
    for id in &ids[1..] {
        let mut question = Question::ask(&plane, id, 1).await;
        question.waits_for("n0").await;
        waiting.push(question);
    }
    commit(&plane, &ids[0]).await;
    for mut question in waiting {
        question.hits().await;
    }
}

#[tokio::test]
async fn nobody_waits_for_who_enters_nothing() {
    let plane = Plane::fresh(&[]).await;
    let (_agents, ids) = crew::<4>(&plane).await;
    // A tag by its short name: only its agent sees that it is no branch.
    let tag = ResolveCacheRequest {
        only_reads: true,
        ..cache::question(&ids[0], 1, &repository(), &manifest())
    };
    let ask = async || Question(cache::ask_with(&plane, &ids[0], tag.clone()).await);
    ask().await.builds().await;
    Question::ask(&plane, &ids[1], 1).await.builds().await;
    let mut third = Question::ask(&plane, &ids[2], 1).await;
    third.waits_for("n1").await;
    // It waits for others, as everybody does.
    let mut tag = ask().await;
    tag.waits_for("n1").await;
    commit(&plane, &ids[1]).await;
    third.hits().await;
    tag.hits().await;
}

/// What of the builder tells that no image will come.
#[derive(Clone, Copy, Debug)]
enum End {
    Settles,
    Denied,
    Interrupted,
    Replaced,
    Deleted,
}

#[tokio::test]
async fn the_next_in_line_builds_when_the_builder_settles_or_its_push_fails_or_it_is_replaced_or_deleted()
 {
    for end in [
        End::Settles,
        End::Denied,
        End::Interrupted,
        End::Replaced,
        End::Deleted,
    ] {
        let plane = Plane::fresh(&[]).await;
        let (agents, ids) = crew::<3>(&plane).await;
        Question::ask(&plane, &ids[0], 1).await.builds().await;
        let mut second = Question::ask(&plane, &ids[1], 1).await;
        let mut third = Question::ask(&plane, &ids[2], 1).await;
        for question in [&mut second, &mut third] {
            assert!(question.waits_for("n0").await.unknown);
        }
        let say = |kinds: Vec<_>| agents[0].say(&ids[0], 1, kinds);
        match end {
            End::Settles => say(vec![failed(FailureReason::BuildFailed), settled()]),
            End::Denied => say(vec![push(PushOutcome::Denied)]),
            End::Interrupted => say(vec![
                failed(FailureReason::Replaced),
                push(PushOutcome::Interrupted),
            ]),
            End::Replaced => drop(plane.prepare(again(&ids[0])).await),
            End::Deleted => plane.delete(&ids[0], false).await.expect("a deletion"),
        }
        second.builds().await;
        third.waits_for("n1").await;
        commit(&plane, &ids[1]).await;
        third.hits().await;
    }
}

#[tokio::test]
async fn whatever_becomes_of_the_container_its_image_is_waited_for_until_the_push_has_ended() {
    let container = FailureReason::ContainerFailed;
    for kinds in [
        vec![ready()],
        vec![ready(), recovery(container)],
        vec![recovery(container)],
        vec![started(PipelineStep::Push), failed(container)],
    ] {
        let plane = Plane::fresh(&[]).await;
        let (agents, ids) = crew::<3>(&plane).await;
        Question::ask(&plane, &ids[0], 1).await.builds().await;
        let mut early = Question::ask(&plane, &ids[1], 1).await;
        assert!(early.waits_for("n0").await.unknown);
        let mut watcher = plane.watch(&ids[0], 0).await;
        let last = kinds.last().cloned().expect("an event");
        agents[0].say(&ids[0], 1, [built(20.0)]);
        agents[0].say(&ids[0], 1, kinds);
        watcher.until(|kind| *kind == last).await;
        // From here on it is known what is left: the push of an image that took 20 seconds to build.
        let wait = early.waits_for("n0").await;
        assert!(!wait.unknown && wait.seconds > 0.0 && wait.seconds < 20.0);
        let mut late = Question::ask(&plane, &ids[2], 1).await;
        assert!(!late.waits_for("n0").await.unknown);
        commit(&plane, &ids[0]).await;
        early.hits().await;
        late.hits().await;
        agents[0].say(&ids[0], 1, [push(PushOutcome::Pushed), settled()]);
        watcher.rest().await;
    }
}

/// A container that fails before the push has ended: the attempt is followed to its end over a restart.
#[tokio::test]
async fn a_failed_attempt_whose_push_goes_on_is_followed_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let plane = Plane::start(directory.path(), &[]).await;
    let (agents, ids) = crew::<1>(&plane).await;
    let failed = failed(FailureReason::ContainerFailed);
    agents[0].say(&ids[0], 1, [started(PipelineStep::Push), failed.clone()]);
    let mut watcher = plane.watch(&ids[0], 0).await;
    watcher.until(|kind| *kind == failed).await;
    plane.stop().await;

    let plane = Plane::start(directory.path(), &[]).await;
    agents[0].register(&plane, &[]).await;
    let end = [push(PushOutcome::Pushed), settled()];
    agents[0].say(&ids[0], 1, end);
    let events = plane.watch(&ids[0], 0).await.rest().await;
    assert_eq!(
        words(&events)[2..],
        ["CONTAINER_FAILED", "PUSHED", "broken off", "settled"]
    );
    let workspace = plane.get(&ids[0]).await.expect("a workspace");
    assert_eq!(
        workspace.push.expect("a push").outcome(),
        PushOutcome::Pushed
    );
}

#[tokio::test]
async fn a_lost_node_and_a_lost_stream_pass_the_key_on() {
    let plane = Plane::fresh(&[]).await;
    let (mut agents, ids) = crew::<3>(&plane).await;
    Question::ask(&plane, &ids[0], 1).await.builds().await;
    let mut gone = Question::ask(&plane, &ids[1], 1).await;
    gone.waits_for("n0").await;
    let mut last = Question::ask(&plane, &ids[2], 1).await;
    last.waits_for("n0").await;
    drop(gone);
    agents[0].restart();
    agents[0].register(&plane, &[]).await;
    // Whether the control plane has noticed yet that the second went away or not, the last one gets its turn.
    loop {
        match last.next().await {
            Decision::Wait(wait) => assert_eq!(wait.node, "n1"),
            Decision::Build(_) => break,
            Decision::Hit(hit) => panic!("{hit:?}"),
        }
    }
}

#[tokio::test]
async fn a_reader_waits_for_others_and_nobody_waits_for_it() {
    let plane = Plane::fresh(&[]).await;
    let (_agents, ids) = crew::<1>(&plane).await;
    let mut request = shop();
    request.spec.as_mut().expect("a spec").cache_access = CacheAccess::ReadOnly.into();
    let reader = plane.prepare(request).await.id().to_owned();
    Question::ask(&plane, &reader, 1).await.builds().await;
    Question::ask(&plane, &ids[0], 1).await.builds().await;
    let mut question = Question::ask(&plane, &reader, 1).await;
    question.waits_for("n0").await;
    commit(&plane, &ids[0]).await;
    question.hits().await;
}

#[tokio::test]
async fn after_a_restart_of_the_control_plane_whoever_asks_first_builds() {
    let directory = tempfile::tempdir().expect("a directory");
    let plane = Plane::start(directory.path(), &[]).await;
    let (agents, ids) = crew::<2>(&plane).await;
    Question::ask(&plane, &ids[0], 1).await.builds().await;
    let mut question = Question::ask(&plane, &ids[1], 1).await;
    question.waits_for("n0").await;
    let stopping = plane.stop();
    let (status, ()) = tokio::join!(question.try_next(), stopping);
    assert_eq!(status.expect_err("an end").code(), Code::Unavailable);

    let plane = Plane::start(directory.path(), &[]).await;
    for agent in &agents {
        agent.register(&plane, &[]).await;
    }
    Question::ask(&plane, &ids[1], 1).await.builds().await;
    Question::ask(&plane, &ids[0], 1)
        .await
        .waits_for("n1")
        .await;
}
