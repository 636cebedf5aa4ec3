use std::fs;

use hearth_domain::AttemptRef;
use hearth_runtime::Tasks;

use super::*;
use crate::{
    credentials::fake::FakeCredentials, engine_health::EngineHealth,
    external::engine::fake::FakeEngine,
};

struct World {
    dir: tempfile::TempDir,
    engine: FakeEngine,
    leftovers: Leftovers,
}

impl World {
    /// With these folders of attempts.
    fn with(names: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            fs::create_dir_all(dir.path().join("attempts").join(name).join("home")).unwrap();
        }
        let engine = FakeEngine::default();
        let leftovers = leftovers(&engine, dir.path());
        Self {
            dir,
            engine,
            leftovers,
        }
    }

    fn found(self) -> Self {
        self.leftovers.find(&self.attempts()).unwrap();
        self
    }

    fn attempts(&self) -> std::path::PathBuf {
        self.dir.path().join("attempts")
    }

    fn folders(&self) -> Vec<String> {
        let entries = fs::read_dir(self.attempts()).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    fn removed(&self) -> Vec<String> {
        self.engine.lock().removed_workspaces.clone()
    }
}

fn leftovers(engine: &FakeEngine, dir: &Path) -> Leftovers {
    let credentials = FakeCredentials::answering([]);
    let git_access = GitAccess::new(dir.join("workspaces"), credentials, Tasks::default());
    let metrics = Metrics::default();
    let owners = Owners::load(dir, Duration::MAX, &metrics);
    Leftovers::new(Arc::new(engine.clone()), git_access, owners, &metrics)
}

fn id(workspace: &str) -> WorkspaceId {
    workspace.parse().unwrap()
}

#[tokio::test]
async fn what_cannot_be_removed_is_tried_again_and_a_new_attempts_workspace_stays() {
    let world = World::with(&["ws-1-1", "ws-2-1", "ws-3-1", "no attempt"]);
    fs::write(world.attempts().join("ws-2-1/ready"), "").unwrap();
    let world = world.found();
    let refused = ["ws-1", "ws-3"].map(str::to_owned);
    world.engine.lock().refuses.extend(refused);
    world.leftovers.try_all().await;
    assert_eq!(world.leftovers.number.get(), 2);
    assert_eq!(world.folders(), ["ws-1-1", "ws-3-1"]);
    assert_eq!(world.removed(), Vec::<String>::new());

    // ws-3 is prepared anew meanwhile: only the old attempt's folder goes.
    let retry = AttemptRef {
        workspace: id("ws-3"),
        number: 9,
    };
    world.leftovers.taken_over(&retry, "cp-1").await;
    // Nor does it go when the agent is killed now and starts again.
    let restarted = leftovers(&world.engine, world.dir.path());
    restarted.find(&world.attempts()).unwrap();
    world.engine.lock().refuses.clear();
    restarted.try_all().await;
    world.leftovers.try_all().await;
    assert_eq!(world.leftovers.number.get(), 0);
    assert_eq!(world.folders(), Vec::<String>::new());
    assert_eq!(world.removed()[0], "ws-1");
    assert!(!world.removed().contains(&"ws-3".to_owned()));
}

#[tokio::test]
async fn the_folder_of_an_ended_attempt_stands_for_what_the_engine_did_not_remove() {
    let world = World::with(&["ws-1-1", "ws-2-1"]);
    let folder = |workspace: &str| {
        Leftover::of(
            &world.attempts(),
            &AttemptRef {
                workspace: id(workspace),
                number: 1,
            },
        )
        .without_workspace()
    };
    world.engine.lock().is_down = true;
    world
        .leftovers
        .remove_workspace(&id("ws-1"))
        .await
        .unwrap_err();
    world.leftovers.add(Leftover {
        workspace: Some(id("ws-1")),
        ..folder("ws-1")
    });
    for workspace in ["ws-1", "ws-2"] {
        world.leftovers.remove_folder(folder(workspace)).await;
    }
    assert_eq!(world.folders(), ["ws-1-1"]);
    // Not even a restart forgets it.
    let restarted = leftovers(&world.engine, world.dir.path());
    restarted.find(&world.attempts()).unwrap();
    let health = EngineHealth::default();
    health.check(&world.engine).await;
    let story = async {
        world.engine.lock().is_down = false;
        health.check(&world.engine).await;
        while !world.folders().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = restarted.run(health.problem()) => {}
        () = story => {}
    }
    assert_eq!(world.removed(), ["ws-1"]);
}

#[tokio::test]
async fn a_folder_that_is_removed_in_part_is_no_interrupted_attempt_for_the_next_process() {
    let world = World::with(&["ws-1-1"]);
    fs::write(world.attempts().join("ws-1-1/ready"), "").unwrap();
    let mut ended = Leftover {
        path: world.attempts().join("ws-1-1"),
        workspace: None,
        keeps_clone: false,
        is_start: false,
    };
    ended.disown();
    // As far as the agent came before it was killed.
    fs::remove_file(ended.path.join("ready")).unwrap();
    let world = world.found();
    world.leftovers.try_all().await;
    assert_eq!(world.folders(), Vec::<String>::new());
    assert_eq!(world.removed(), Vec::<String>::new());
}

#[tokio::test]
async fn an_interrupted_attempt_that_kept_a_clone_does_not_take_it_along() {
    let world = World::with(&["ws-1-2", "ws-2-1"]);
    fs::write(world.attempts().join("ws-1-2/keeps-clone"), "").unwrap();
    let world = world.found();
    world.leftovers.try_all().await;
    assert_eq!(world.folders(), Vec::<String>::new());
    assert_eq!(world.removed(), ["ws-2"]);
    assert_eq!(world.engine.lock().cleared_workspaces, ["ws-1"]);
}
