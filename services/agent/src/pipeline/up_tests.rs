use serde_json::json;

use super::*;
use crate::{
    external::{devcontainer::DevcontainerCli, git::At, sandbox::Sandbox},
    pipeline::fake::World,
};

/// A CLI that notes that it runs, and what it is given.
const CLI: &str = r#"#!/bin/sh
cd "$HOME" && echo runs >>running && cat >>configurations
echo '{"outcome":"success","containerId":"c1"}'
"#;

/// A world with that CLI, and what is in a file of its home.
fn world() -> World {
    let mut world = World::new();
    let program = world.scratch.path().join("devcontainer");
    hearth_runtime::write_atomically(&program, CLI.as_bytes(), 0o700).unwrap();
    let cli = DevcontainerCli::new(Sandbox::of_tests(), program.into());
    world.externals.devcontainer = std::sync::Arc::new(cli);
    world
}

fn written(cx: &Context<'_>, name: &str) -> String {
    let file = cx.scratch.path().join(crate::scratch::HOME).join(name);
    std::fs::read_to_string(file).unwrap_or_default()
}

async fn runs(cx: &Context<'_>, times: usize) {
    while written(cx, "running").lines().count() < times {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

fn checkout(cx: &Context<'_>) -> Checkout {
    let folder = cx.scratch.path().join("clone");
    std::fs::create_dir(&folder).unwrap();
    let files = || cx.files.open(&folder).unwrap();
    Checkout {
        volume: files(),
        files: files(),
        folder: folder.clone(),
        commit: None,
        at: At::DefaultBranch,
    }
}

fn image(name: &str) -> Map<String, Value> {
    [("image".to_owned(), json!(name))].into_iter().collect()
}

#[tokio::test]
async fn a_cli_that_waits_is_the_one_that_starts_the_container() {
    let world = world();
    let cx = world.context();
    let mut up = Up::of(&cx, &checkout(&cx), None).await.unwrap();
    up.alongside(runs(&cx, 1)).await;
    assert_eq!(written(&cx, "configurations"), "");
    let started = up.with(image("a")).await.unwrap();
    assert_eq!(started.container_id, "c1");
    assert_eq!(written(&cx, "running"), "runs\n");
    assert_eq!(written(&cx, "configurations"), r#"{"image":"a"}"#);
}

#[tokio::test]
async fn a_cli_that_was_put_off_starts_nothing_and_another_one_takes_its_place() {
    let world = world();
    let cx = world.context();
    let mut up = Up::of(&cx, &checkout(&cx), None).await.unwrap();
    up.alongside(runs(&cx, 1)).await;
    up.put_off();
    let started = up.with(image("built")).await.unwrap();
    assert_eq!(started.container_id, "c1");
    assert_eq!(written(&cx, "running"), "runs\nruns\n");
    assert_eq!(written(&cx, "configurations"), r#"{"image":"built"}"#);
}

#[tokio::test]
async fn a_cli_that_ends_early_is_a_failure_of_the_container_and_not_of_what_goes_on_beside() {
    let mut world = world();
    let cli = DevcontainerCli::new(Sandbox::of_tests(), "false".into());
    world.externals.devcontainer = std::sync::Arc::new(cli);
    let cx = world.context();
    let mut up = Up::of(&cx, &checkout(&cx), None).await.unwrap();
    assert_eq!(up.alongside(async { 7 }).await, 7);
    let failure = up.with(image("a")).await.unwrap_err();
    assert_eq!(failure.reason(), FailureReason::ContainerFailed);
    assert!(failure.message.contains("exit status: 1"), "{failure:?}");
}
