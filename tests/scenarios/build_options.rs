//! What a repository can say about its build, on the real buildx and BuildKit.

use std::process::Command;

use hearth_agent::devcontainer::flag_takes_value;
use hearth_api::v1::{WorkspaceState, event::Kind};
use hearth_domain::{Repository, sha256_hex};
use hearth_tests::{
    Lab, Repo,
    client::{Story, request},
    process::path,
};

/// A flag that is new has to be decided: it is left out until then.
#[test]
fn every_flag_of_the_real_buildx_is_known() {
    let help = Command::new("docker")
        .args(["buildx", "build", "--help"])
        .env("PATH", path())
        .env("BUILDX_EXPERIMENTAL", "1")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let mut known = 0;
    for line in help.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(at) = words
            .iter()
            .position(|word| word.starts_with("--"))
            .filter(|at| *at < 2)
        else {
            continue;
        };
        // What describes a flag stands behind several spaces, and the name of its value behind one.
        let (_, behind) = line.split_once(words[at]).unwrap();
        let takes_value = behind.starts_with(' ') && !behind.starts_with("  ");
        assert_eq!(flag_takes_value(words[at]), Some(takes_value), "{line}");
        known += 1;
    }
    assert!(known > 30, "{help}");
}

const CONFIG: &str = ".devcontainer/devcontainer.json";
const DOCKERFILE: &str = ".devcontainer/Dockerfile";

fn warnings(story: &Story) -> String {
    let texts = story.kinds().filter_map(|kind| match kind {
        Kind::Warning(warning) => Some(warning.message.clone()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// A step that tells what others left in a cache mount, and leaves `name` there.
fn leaves(lab: &Lab, name: &str) -> String {
    format!(
        "FROM {}\nRUN --mount=type=cache,target=/kept ls /kept > /opt/seen; touch /kept/{name}\n",
        lab.base
    )
}

async fn seen(lab: &Lab, repo: &Repo, reference: &str) -> (String, String) {
    let mut request = request("node-1", &repo.url);
    request.spec.as_mut().unwrap().r#ref = reference.to_owned();
    let story = lab.client.run(request).await;
    story.assert_state(WorkspaceState::Ready);
    let names = lab.vms[0].cat(&story.workspace.container_id, "/opt/seen");
    (
        names.split_whitespace().collect::<Vec<_>>().join(" "),
        warnings(&story),
    )
}

#[tokio::test]
async fn cache_mounts_are_not_shared_with_other_repositories_or_with_refs_that_may_not_write() {
    let lab = Lab::new(1).await;
    let plain = r#"{ "build": { "dockerfile": "Dockerfile" } }"#;
    let repo = lab.git.repo(
        "mounts",
        &[(CONFIG, plain), (DOCKERFILE, &leaves(&lab, "one"))],
    );
    assert_eq!(seen(&lab, &repo, "").await.0, "");
    repo.commit(&[(DOCKERFILE, &leaves(&lab, "two"))]);
    assert_eq!(seen(&lab, &repo, "").await.0, "one");

    // A pull request may not write, and asks for the mounts of those that may.
    let name: Repository = repo.url.parse().unwrap();
    let theirs = &sha256_hex(format!("{name} trusted"))[..16];
    let asks = format!(
        r#"{{ "build": {{ "dockerfile": "Dockerfile", "args": {{ "BUILDKIT_CACHE_MOUNT_NS": "{theirs}" }},
             "options": ["--build-arg=BUILDKIT_CACHE_MOUNT_NS={theirs}", "--output=type=local,dest=/var/tmp"] }} }}"#
    );
    repo.commit(&[(CONFIG, &asks), (DOCKERFILE, &leaves(&lab, "three"))]);
    repo.git(&["update-ref", "refs/pull/1/head", "HEAD"]);
    let (names, warnings) = seen(&lab, &repo, "refs/pull/1/head").await;
    assert_eq!(names, "");
    for what in [
        "the build argument BUILDKIT_CACHE_MOUNT_NS is left out",
        "the build option --output is left out",
    ] {
        assert!(warnings.contains(what), "{warnings}");
    }
    repo.commit(&[(DOCKERFILE, &leaves(&lab, "four"))]);
    assert_eq!(seen(&lab, &repo, "").await.0, "one two");

    let other = lab.git.repo(
        "other",
        &[(CONFIG, plain), (DOCKERFILE, &leaves(&lab, "five"))],
    );
    assert_eq!(seen(&lab, &other, "").await.0, "");
}
