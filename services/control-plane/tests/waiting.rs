//! A key is built once: others wait for its image, and go on by themselves when none comes of it.

use hearth_api::v1::{
    CacheAccess, FailureReason, PushOutcome, PushReport, ResolveCacheResponse, event::Kind,
    resolve_cache_response::Decision,
};
use hearth_domain::KeyManifest;
use tonic::{Code, Status, Streaming};

use crate::support::{
    agent::FakeAgent,
    cache::{self, REPOSITORY},
    events::{failed, preparing, ready, settled},
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
        Self(cache::ask(plane, id, number, REPOSITORY, &manifest()).await)
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

    async fn waits_for(&mut self, node: &str) {
        match self.next().await {
            Decision::Wait(wait) => assert_eq!(wait.node, node),
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
    let entry = cache::entry(REPOSITORY, &manifest(), "image");
    let committed = cache::commit(plane, id, 1, entry).await;
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
async fn the_next_in_line_builds_when_the_builder_fails_or_its_push_does_or_it_is_replaced_or_deleted()
 {
    let plane = Plane::fresh(&[]).await;
    let (agents, ids) = crew::<5>(&plane).await;
    let mut questions = Vec::new();
    for id in &ids {
        questions.push(Question::ask(&plane, id, 1).await);
    }
    let [first, second, third, fourth, fifth] = &mut questions[..] else {
        panic!("five questions");
    };
    first.builds().await;
    for question in [&mut *second, third, fourth, fifth] {
        question.waits_for("n0").await;
    }

    agents[0].say(&ids[0], 1, [failed(FailureReason::BuildFailed), settled()]);
    second.builds().await;
    for question in [&mut *third, fourth, fifth] {
        question.waits_for("n1").await;
    }

    // Ready is not yet in the registry; only the end of the push tells that it will not come.
    let denied = PushReport {
        outcome: PushOutcome::Denied.into(),
        ..PushReport::default()
    };
    agents[1].say(&ids[1], 1, [ready(), Kind::Push(denied)]);
    third.builds().await;
    for question in [&mut *fourth, fifth] {
        question.waits_for("n2").await;
    }

    plane.prepare(again(&ids[2])).await;
    fourth.builds().await;
    fifth.waits_for("n3").await;

    plane.delete(&ids[3], false).await.expect("a deletion");
    fifth.builds().await;
}

#[tokio::test]
async fn a_ready_builder_is_waited_for_until_its_push_has_ended() {
    let plane = Plane::fresh(&[]).await;
    let (agents, ids) = crew::<2>(&plane).await;
    Question::ask(&plane, &ids[0], 1).await.builds().await;
    agents[0].say(&ids[0], 1, [ready()]);
    let mut watcher = plane.watch(&ids[0], 0).await;
    watcher.until(|kind| *kind == ready()).await;
    let mut question = Question::ask(&plane, &ids[1], 1).await;
    question.waits_for("n0").await;
    commit(&plane, &ids[0]).await;
    question.hits().await;
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
    agents[0].restart().await;
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
