//! Repositories of every kind, each prepared by the plain devcontainer CLI as a developer would, by hearth on a node that has
//! never seen it, and by hearth on another node from the cache: each time on an engine that is new. What there is to see of
//! the three workspaces is the same, but for the differences that `docs/devcontainer.md` argues for.
//!
//! A fixture is a text in `fixtures`. The gate runs those that show the most; `tests/run --conformance` runs all.

#![allow(missing_docs, reason = "tests")]

mod compare;
mod developer;
mod files;
mod fixture;
mod names;
mod observe;
mod rules;
mod world;

use hearth_api::v1::{CacheResult, FailureReason, WorkspaceState};
use hearth_tests::{Vm, client::Story, process::checkout};

use crate::{
    compare::assert_alike,
    developer::Developer,
    fixture::{Fixture, Outcome},
    observe::{Observed, Subject},
    rules::RULES,
    world::World,
};

/// One test for each fixture.
macro_rules! fixtures {
    (gate: $($gate:ident)+; all: $($rest:ident)+;) => {
        $(#[tokio::test] async fn $gate() { conforms(stringify!($gate)).await; })+
        $(#[tokio::test] #[ignore = "tests/run --conformance"] async fn $rest() { conforms(stringify!($rest)).await; })+
        const FIXTURES: &[&str] = &[$(stringify!($gate),)+ $(stringify!($rest),)+];
    };
}

fixtures! {
    gate: feature_container dockerfile fails_post_create;
    all: attach
        compose_built
        compose_features
        compose_files
        compose_image
        compose_override
        dockerfile_entrypoint
        dockerfile_features
        dockerfile_old
        dockerfile_options
        environment
        fails_build
        fails_config
        fails_dockerfile
        fails_feature
        fails_image
        fails_initialize
        fails_on_create
        fails_parallel
        fails_post_start
        fails_start
        fails_update_content
        fails_user
        features_order
        for_others
        hooks_forms
        image
        image_features
        image_hooks
        image_metadata
        initialize
        linked
        malformed
        local_environment
        modes
        mounts
        named
        no_devcontainer
        no_image
        odd_names
        override_command
        ports
        probe_interactive_shell
        probe_login_interactive_shell
        probe_login_shell
        probe_none
        rights
        run_args
        submodules
        top_level
        two_places
        users_container
        users_container_only
        users_dockerfile_number
        users_empty
        users_number
        users_remote
        users_run_args
        users_uid
        users_uid_kept
        wait_for_initialize
        wait_for_on_create
        wait_for_post_create
        wait_for_post_start
        wait_for_update_content
        workspace_folder
        workspace_mount
        workspaces_of_the_image;
}

async fn conforms(name: &str) {
    let fixture = Fixture::read(name);
    let mut world = World::of(&fixture).await;
    let developer = Developer::up(&world.lab, &world.repo.url, &fixture);
    assert_eq!(
        developer.succeeded(),
        fixture.outcome == Outcome::Ready,
        "{name}: {}\n{}",
        developer.result,
        developer.log
    );
    let plain = developer.container.as_ref().map(|container| {
        let text = |name: &str| developer.result[name].as_str().unwrap_or_default();
        let subject = Subject {
            vm: &developer.vm,
            container,
            clone: &developer.clone,
            user: text("remoteUser"),
            folder: text("remoteWorkspaceFolder"),
            found_by: developer.finds(&fixture),
            names: vec![
                (container.clone(), "<container>".to_owned()),
                (container[..12].to_owned(), "<container>".to_owned()),
                (path(&developer.clone), "<clone>".to_owned()),
                (path(&developer.home), "<folder of the clone>".to_owned()),
            ],
            scratch: world.lab.folder("plain"),
        };
        subject.observe()
    });
    drop(developer);
    for run in ["cold", "exact"] {
        let story = world.prepare(&fixture).await;
        assert_outcome(&fixture, &story);
        if run == "exact" {
            story.assert_result(fixture.cache);
        } else {
            assert_ne!(story.result(), CacheResult::Exact, "{:?}", story.cache());
        }
        let vm = world.lab.vms.last().expect("its engine");
        // A workspace that is repaired in another image than its own is not compared.
        let is_own = [Outcome::Ready, Outcome::Recovery(FailureReason::HookFailed)];
        if is_own.contains(&fixture.outcome)
            && let Some(plain) = &plain
        {
            let seen = observe(&world, &fixture, vm, &story, run);
            assert_alike(&fixture, run, plain, &seen);
        }
    }
}

#[track_caller]
fn assert_outcome(fixture: &Fixture, story: &Story) {
    story.assert_whole();
    match fixture.outcome {
        Outcome::Ready | Outcome::ReadyByHearthAlone => {
            story.assert_state(WorkspaceState::Ready);
            let warnings: Vec<_> = story.warnings().collect();
            let expected = |told: &&str| fixture.warns.iter().any(|text| told.contains(text));
            assert!(warnings.iter().all(expected), "{warnings:#?}");
            let told = |text: &String| warnings.iter().any(|told| told.contains(text));
            assert!(fixture.warns.iter().all(told), "{warnings:#?}");
        }
        Outcome::Recovery(reason) => {
            story.assert_state(WorkspaceState::Recovery);
            let failure = story.workspace.failure.clone().expect("a failure");
            assert_eq!(failure.reason(), reason, "{failure:?}");
        }
    }
}

fn observe(world: &World, fixture: &Fixture, vm: &Vm, story: &Story, run: &str) -> Observed {
    let failed = fixture.outcome != Outcome::Ready;
    let workspace = &story.workspace;
    let container = &workspace.container_id;
    let volume = format!("hearth-{}", workspace.id);
    let mountpoint = vm.docker(&["volume", "inspect", "--format={{.Mountpoint}}", &volume]);
    let clone = std::path::Path::new(&mountpoint).join(&fixture.name);
    let subject = Subject {
        vm,
        container,
        clone: &clone,
        user: if failed { "" } else { &workspace.remote_user },
        folder: if failed { "" } else { &workspace.remote_folder },
        found_by: vec!["--container-id".to_owned(), container.clone()],
        names: vec![
            (container.clone(), "<container>".to_owned()),
            (container[..12].to_owned(), "<container>".to_owned()),
            (path(&clone), "<clone>".to_owned()),
            (volume, "<workspace>".to_owned()),
            (workspace.id.clone(), "<workspace>".to_owned()),
        ],
        scratch: world.lab.folder(run),
    };
    subject.observe()
}

fn path(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}

#[test]
fn every_fixture_is_run_and_every_rule_is_shown_by_one_and_argued_for() {
    let files = std::fs::read_dir(fixture::folder()).expect("fixtures");
    let mut files: Vec<_> = files
        .map(|file| file.expect("a file").path())
        .map(|file| {
            file.file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    files.sort();
    let mut named = FIXTURES.to_vec();
    named.sort_unstable();
    assert_eq!(files, named);
    assert!(named.len() >= 40, "{}", named.len());

    let docs = std::fs::read_to_string(checkout().join("docs/devcontainer.md")).expect("docs");
    let fixtures: Vec<_> = named.iter().map(|name| Fixture::read(name)).collect();
    for rule in RULES {
        let row = format!("| {} |", rule.subject);
        assert!(docs.lines().any(|line| line.starts_with(&row)), "{row}");
        let shows = |fixture: &Fixture| fixture.differs.iter().any(|name| name == rule.name);
        assert_eq!(
            fixtures.iter().any(shows),
            !rule.everywhere,
            "{}",
            rule.name
        );
    }
    for fixture in &fixtures {
        for name in &fixture.differs {
            assert!(
                RULES.iter().any(|rule| rule.name == name),
                "{}: {name}",
                fixture.name
            );
        }
    }
}
