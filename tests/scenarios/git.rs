//! What of a repository a workspace does not depend on keeps none from starting.

use hearth_api::v1::{
    CacheResult, CloneDepth, FailureReason, GitOptions, PushOutcome, WorkspaceState, event::Kind,
};
use hearth_tests::{
    GitHub, Lab, app,
    client::{Story, request},
    github::{Repositories, Visibility},
};

const NOWHERE: &str = "1111111111111111111111111111111111111111";

fn warnings(story: &Story) -> Vec<String> {
    story
        .kinds()
        .filter_map(|kind| match kind {
            Kind::Warning(warning) => Some(warning.message.clone()),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn a_submodule_that_cannot_be_fetched_is_a_warning_and_the_image_is_cached() {
    let lab = Lab::new(2).await;
    let repo = app::with_dockerfile(
        &lab,
        "dead",
        "FROM BASE\nRUN echo x > /x\n",
        r#", "postCreateCommand": "echo ran > hook-ran.txt""#,
    );
    let modules = "[submodule \"p\"]\n\tpath = vendor/private\n\turl = ssh://git@127.0.0.1:9/x/y\n";
    let gitlink = format!("160000,{NOWHERE},vendor/private");
    repo.git(&["update-index", "--add", "--cacheinfo", &gitlink]);
    // Without the folder, `git add --all` would take the submodule away again.
    repo.git(&["commit", "--quiet", "--message", "a submodule"]);
    repo.git(&["checkout", "--quiet", "--force"]);
    repo.commit(&[(".gitmodules", modules)]);

    let first = lab.client.prepare("node-1", &repo.url).await;
    first.assert_state(WorkspaceState::Ready);
    first.assert_result(CacheResult::Miss);
    first.assert_push(PushOutcome::Pushed);
    let told = warnings(&first);
    let told = told.iter().find(|text| text.contains("vendor/private"));
    let told = told.unwrap_or_else(|| panic!("{:?}", warnings(&first)));
    assert!(told.contains("the node's ssh keys"), "{told}");
    let id = &first.workspace.container_id;
    let run = |command: &str| lab.vms[0].docker(&["exec", id, "sh", "-c", command]);
    let folder = "cd /workspaces/dead &&";
    assert_eq!(run(&format!("{folder} cat hook-ran.txt")).trim(), "ran");
    assert_eq!(run(&format!("{folder} ls -A vendor/private")).trim(), "");
    // The agent runs under another umask in this world.
    let mode = run(&format!("{folder} ls -l .gitmodules"));
    assert!(mode.starts_with("-rw-r--r--"), "{mode}");

    repo.commit(&[("NOTES", "x")]);
    let second = lab.client.prepare("node-2", &repo.url).await;
    second.assert_state(WorkspaceState::Ready);
    second.assert_result(CacheResult::Exact);
}

#[tokio::test]
async fn an_empty_repository_is_ready_and_its_first_commit_is_built() {
    let lab = Lab::new(1).await;
    let repo = lab.git.empty_repo("new");
    let on_main = |git_ref: &str| {
        let mut request = request("node-1", &repo.url);
        request.spec.as_mut().unwrap().r#ref = git_ref.to_owned();
        request
    };
    for git_ref in ["", "main"] {
        let story = lab.client.run(on_main(git_ref)).await;
        story.assert_whole();
        story.assert_state(WorkspaceState::Ready);
        story.assert_push(PushOutcome::SkippedNotEligible);
        assert_eq!(story.workspace.commit, "", "{git_ref}");
        let told = warnings(&story).join("\n");
        assert!(told.contains("has no commit yet"), "{told}");
        let id = &story.workspace.container_id;
        let head = lab.vms[0].cat(id, "/workspaces/new/.git/HEAD");
        assert_eq!(head.trim(), "ref: refs/heads/main");
    }
    let dockerfile = format!("FROM {}\nRUN echo x > /x\n", lab.base);
    repo.commit(&[
        (
            ".devcontainer/devcontainer.json",
            r#"{ "build": { "dockerfile": "Dockerfile" } }"#,
        ),
        (".devcontainer/Dockerfile", &dockerfile),
    ]);
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_state(WorkspaceState::Ready);
    story.assert_result(CacheResult::Miss);
    story.assert_push(PushOutcome::Pushed);
    assert_eq!(story.workspace.commit.len(), 40);
}

#[tokio::test]
async fn a_clone_that_fails_says_what_git_says_and_what_to_do() {
    let lab = Lab::new(1).await;
    let repo = lab.git.repo("plain", &[("README", "x")]);
    let mut no_ref = request("node-1", &repo.url);
    no_ref.spec.as_mut().unwrap().r#ref = "maim".to_owned();
    let missing = lab.git.url("missing");
    for (request, reason, message) in [
        (
            no_ref,
            FailureReason::RefNotFound,
            format!("{} has no branch or tag \"maim\"; it has main", repo.url),
        ),
        (
            request("node-1", "git://127.0.0.1:1/a/b"),
            FailureReason::CloneFailed,
            "git://127.0.0.1:1/a/b cannot be cloned: unable to connect to 127.0.0.1: Connection refused: check host \
             and port of the URL, and whether a firewall or a proxy is between the node and the host"
                .to_owned(),
        ),
        (
            request("node-1", &missing),
            FailureReason::CloneFailed,
            format!(
                "{missing} cannot be cloned: remote error: access denied or repository not exported: /missing: check \
                 the URL; a private repository needs a login that may read it, which `hearth doctor` tries"
            ),
        ),
    ] {
        let story = lab.client.run(request).await;
        story.assert_state(WorkspaceState::Failed);
        let failure = story.workspace.failure.clone().unwrap();
        assert_eq!((failure.reason(), failure.message), (reason, message));
    }
}

#[tokio::test]
async fn files_in_lfs_come_from_the_repositorys_own_host_by_its_login_and_no_other_host_is_asked() {
    let lab = Lab::guarded(1).await;
    let github = lab.github();
    let other = GitHub::start(lab.folder("other-host")).await;
    github.create_repository("acme/media", Visibility::Private);
    let there = github.lfs("acme/media", "a picture\n");
    let in_folder = github.lfs("acme/media", "another picture\n");
    let missing = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 7\n",
        "0".repeat(64)
    );
    let configuration = format!(r#"{{ "image": "{}" }}"#, lab.base);
    let attributes = "*.bin filter=lfs diff=lfs merge=lfs -text\n";
    let lfsconfig = format!("[lfs]\n\turl = {}/acme/media.git/info/lfs\n", other.url());
    let files = [
        (".devcontainer.json", configuration.as_str()),
        (".gitattributes", attributes),
        (".lfsconfig", &lfsconfig),
        ("a.bin", &there),
        ("in/b.bin", &in_folder),
        ("out/c.bin", &missing),
    ];
    github.commit("acme/media", &files);
    let permissions = [("contents", "read"), ("metadata", "read")];
    github.install("acme", Repositories::All, &permissions);
    let url = github.clone_url("acme/media");
    let cat = |story: &Story, name: &str| {
        let path = format!("/workspaces/media/{name}");
        lab.vms[0].cat(&story.workspace.container_id, &path)
    };

    let story = lab.client.prepare("node-1", &url).await;
    story.assert_state(WorkspaceState::Ready);
    assert_eq!(cat(&story, "a.bin"), "a picture");
    assert_eq!(cat(&story, "in/b.bin"), "another picture");
    assert!(cat(&story, "out/c.bin").starts_with("version https://git-lfs"));
    let told = warnings(&story);
    let told = told.iter().find(|text| text.contains("out/c.bin"));
    let told = told.unwrap_or_else(|| panic!("{:?}", warnings(&story)));
    assert!(told.contains("Git LFS"), "{told}");

    // What is not checked out is not fetched.
    let mut some = request("node-1", &url);
    some.spec.as_mut().unwrap().git = Some(GitOptions {
        depth: CloneDepth::Shallow.into(),
        sparse: vec!["in".to_owned()],
        ..GitOptions::default()
    });
    let story = lab.client.run(some).await;
    story.assert_state(WorkspaceState::Ready);
    assert_eq!(cat(&story, "in/b.bin"), "another picture");
    assert!(
        warnings(&story).iter().all(|text| !text.contains("LFS")),
        "{:?}",
        warnings(&story)
    );
    assert_eq!(other.seen().len(), 0, "{:?}", other.seen());
}
