//! No build takes from an image of another repository's cache, or of another workspace, that the node has.

use futures_util::future::join_all;
use hearth_api::v1::{CacheAccess, PrepareWorkspaceRequest, WorkspaceState};
use hearth_tests::{
    Lab, Repo, app,
    client::{Story, request},
};

/// A node with an image of a private repository, and the names by which the engine knows it.
async fn with_private_image() -> (Lab, Repo, Vec<String>) {
    let lab = Lab::new(2).await;
    let dockerfile = "FROM BASE\nRUN echo private > /private\n";
    let private = app::with_dockerfile(&lab, "private", dockerfile, "");
    let story = lab.client.prepare("node-1", &private.url).await;
    story.assert_state(WorkspaceState::Ready);
    let names = known_names(&lab, 0);
    (lab, private, names)
}

/// The names of the image with a cache's tag or mark on a node: by tag and by digest.
fn known_names(lab: &Lab, node: usize) -> Vec<String> {
    let vm = &lab.vms[node];
    let ids = vm.docker(&[
        "image",
        "ls",
        "--quiet",
        "--no-trunc",
        "--filter",
        "reference=hearth-cache",
    ]);
    let id = ids.lines().next().expect("an image of a cache").to_owned();
    let format = "{{join .RepoTags \"\\n\"}}\n{{join .RepoDigests \"\\n\"}}";
    let names = vm.docker(&["image", "inspect", "--format", format, &id]);
    let names = names.lines().filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// Without its cache, which the agent then does not know.
fn without_cache(repo: &Repo) -> PrepareWorkspaceRequest {
    let mut request = request("node-1", &repo.url);
    request.spec.as_mut().unwrap().cache_access = CacheAccess::Off.into();
    request
}

fn composed(lab: &Lab, name: &str, build: &str, dockerfile: &str) -> Repo {
    lab.git.repo(
        name,
        &[
            (
                ".devcontainer/devcontainer.json",
                r#"{ "dockerComposeFile": "compose.yml", "service": "app", "workspaceFolder": "/" }"#,
            ),
            (
                ".devcontainer/compose.yml",
                &format!("services:\n  app:\n    command: sleep infinity\n    build:\n      context: .\n{build}"),
            ),
            (".devcontainer/Dockerfile", dockerfile),
        ],
    )
}

fn assert_refused(story: &Story, name: &str) {
    story.assert_state(WorkspaceState::Recovery);
    let failure = story.workspace.failure.clone().expect("a failure");
    assert!(
        failure
            .message
            .contains("it is in the cache of another repository"),
        "{name}: {failure:?}"
    );
}

#[tokio::test]
async fn an_image_of_another_repositorys_cache_cannot_be_built_from_by_any_name_or_way() {
    let (lab, _, names) = with_private_image().await;
    assert!(
        names
            .iter()
            .any(|name| name.contains(":devcontainer-cache")),
        "{names:?}"
    );
    assert!(
        names.iter().any(|name| name.contains("@sha256:")),
        "{names:?}"
    );
    let by_name = names.iter().enumerate().map(async |(number, name)| {
        let dockerfile = format!("FROM {}\nCOPY --from={name} /private /stolen\n", lab.base);
        let plain = app::with_dockerfile(&lab, &format!("plain-{number}"), &dockerfile, "");
        assert_refused(&lab.client.prepare("node-1", &plain.url).await, name);
        assert_refused(&lab.client.run(without_cache(&plain)).await, name);
    });
    join_all(by_name).await;
    let (tag, base) = (&names[0], &lab.base);
    let steal = format!("FROM {base}\nRUN --mount=from=private,target=/p cp /p/private /stolen\n");
    let ways = [
        (
            "composed",
            String::new(),
            &format!(
                "FROM {base}\nCOPY --from={} /private /stolen\n",
                names[names.len() - 1]
            ),
        ),
        (
            // The CLI takes no inline Dockerfile for the service that it works in.
            "inline",
            format!(
                "  other:\n    build:\n      dockerfile_inline: |\n        FROM {tag}\n        RUN cp /private /stolen\n"
            ),
            &format!("FROM {base}\n"),
        ),
        (
            "context",
            format!("      additional_contexts:\n        private: docker-image://{tag}\n"),
            &steal,
        ),
        (
            "argument",
            format!("      args: {{FROM: {tag}}}\n"),
            &"ARG FROM\nFROM $FROM\nRUN cp /private /stolen\n".to_owned(),
        ),
        (
            "frontend",
            String::new(),
            &format!("# syntax={tag}\nFROM {base}\n"),
        ),
    ];
    let composed = ways.iter().map(async |(name, build, dockerfile)| {
        let repo = composed(&lab, name, build, dockerfile);
        assert_refused(&lab.client.prepare("node-1", &repo.url).await, name);
    });
    join_all(composed).await;
    let option = lab.git.repo(
        "option",
        &[
            (
                ".devcontainer/devcontainer.json",
                &format!(
                    r#"{{ "build": {{ "dockerfile": "Dockerfile", "options": ["--build-context=private=docker-image://{tag}"] }} }}"#
                ),
            ),
            (".devcontainer/Dockerfile", &steal),
        ],
    );
    assert_refused(&lab.client.prepare("node-1", &option.url).await, "option");
    let features = lab.git.repo(
        "features",
        &[
            (
                ".devcontainer/devcontainer.json",
                &format!(r#"{{ "image": "{tag}", "features": {{ "./f": {{}} }} }}"#),
            ),
            (
                ".devcontainer/f/devcontainer-feature.json",
                r#"{ "id": "f", "version": "1.0.0" }"#,
            ),
            (".devcontainer/f/install.sh", "cp /private /stolen\n"),
        ],
    );
    let story = lab.client.prepare("node-1", &features.url).await;
    story.assert_state(WorkspaceState::Recovery);
}

#[tokio::test]
async fn an_image_that_was_fetched_by_its_digest_is_the_repositorys_alone_too() {
    let (lab, private, _) = with_private_image().await;
    let story = lab.client.prepare("node-2", &private.url).await;
    story.assert_state(WorkspaceState::Ready);
    let names = known_names(&lab, 1);
    let fetched = names
        .iter()
        .find(|name| name.contains("private") && name.contains('@'));
    let fetched = fetched.expect("a name by digest");
    let dockerfile = format!(
        "FROM {}\nCOPY --from={fetched} /private /stolen\n",
        lab.base
    );
    let thief = app::with_dockerfile(&lab, "thief", &dockerfile, "");
    assert_refused(&lab.client.prepare("node-2", &thief.url).await, fetched);
    let image = format!(r#"{{ "image": "{fetched}" }}"#);
    let runner = lab.git.repo("runner", &[(".devcontainer.json", &image)]);
    let story = lab.client.prepare("node-2", &runner.url).await;
    story.assert_state(WorkspaceState::Recovery);
    // The repository's own image is none of another's.
    let own = format!("FROM {fetched}\nRUN cp /private /own\n");
    private.commit(&[(".devcontainer/Dockerfile", &own)]);
    let story = lab.client.prepare("node-2", &private.url).await;
    story.assert_state(WorkspaceState::Ready);
    let own = lab.vms[1].cat(&story.workspace.container_id, "/own");
    assert_eq!(own, "private");
}

#[tokio::test]
async fn an_image_cannot_be_guessed_by_the_beginning_of_its_id() {
    let (lab, _, names) = with_private_image().await;
    let id = lab.vms[0].docker(&["image", "inspect", "--format", "{{.Id}}", &names[0]]);
    let digits = &id["sha256:".len()..][..6];
    let image = format!(r#"{{ "image": "{digits}" }}"#);
    let guesser = lab.git.repo("guesser", &[(".devcontainer.json", &image)]);
    let story = lab.client.prepare("node-1", &guesser.url).await;
    story.assert_state(WorkspaceState::Recovery);
    let failure = story.workspace.failure.clone().expect("a failure");
    assert!(failure.message.contains(digits), "{failure:?}");
}

#[tokio::test]
async fn a_build_fetches_nothing_from_the_node_itself() {
    let mut lab = Lab::new(0).await;
    lab.add_node(&["--host-access", "never"]).await;
    let other = lab.git.repo("other", &[("secret", "canary\n")]);
    let registry = lab.registry.host();
    let lines = [
        format!("ADD http://{registry}/v2/ /x"),
        format!("ADD {} /x", other.url),
    ];
    for (number, line) in lines.iter().enumerate() {
        let dockerfile = format!("FROM BASE\n{line}\n");
        let repo = app::with_dockerfile(&lab, &format!("fetches-{number}"), &dockerfile, "");
        let story = lab.client.prepare("node-1", &repo.url).await;
        story.assert_state(WorkspaceState::Recovery);
        let failure = story.workspace.failure.clone().expect("a failure");
        assert!(
            failure.message.contains("it is on the node itself"),
            "{line}: {failure:?}"
        );
    }
}
