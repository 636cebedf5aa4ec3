//! What a repository's own command, and the commands that work on its files, see and change of their node.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    process::{Command, Output},
};

use hearth_api::v1::{CacheResult, FailureReason, WorkspaceState, event::Kind};
use hearth_tests::{
    Lab, Repo,
    client::{Story, request},
    process::binary,
};

/// What it sees of a node goes into the file `seen` of the clone.
const LOOKS: &str = r#"
exec > seen 2>&1
echo "$(id -u) $(id -un) $(id -G) $(umask) $(stat -c %u .) $(stat -c %u "$HOME") $(ls -A "$HOME")"
for path in SOCKET /var/run/docker.sock ATTEMPTS/*/credentials.sock ATTEMPTS/*/docker ATTEMPTS/*/bin/docker-credential-hearth \
  /etc/shadow WORKSPACES CANARY /var/lib/docker /root/.bashrc; do
  [ -e "$path" ] && echo "sees $path"
done
env | grep -E '^(DOCKER|HEARTH|COMPOSE)'
for folder in / /etc /usr/bin "$PWD/.."; do touch "$folder/x" 2>/dev/null && echo "writes $folder"; done
cp /usr/bin/id id && chmod u+s id && ln -s CANARY link && mkfifo pipe && echo "git $(git rev-parse --is-inside-work-tree)"
"#;

fn warnings(story: &Story) -> Vec<&str> {
    let warnings = story.kinds().filter_map(|kind| match kind {
        Kind::Warning(warning) => Some(warning.message.as_str()),
        _ => None,
    });
    warnings.collect()
}

/// A repository whose image has what its `initializeCommand` makes.
fn repo(lab: &Lab, name: &str, command: &str) -> Repo {
    let config = format!(
        r#"{{ "build": {{ "dockerfile": "Dockerfile" }}, "initializeCommand": {command} }}"#
    );
    let dockerfile = format!("FROM {}\nCOPY . /opt/built\n", lab.base);
    lab.git.repo(
        name,
        &[
            (".devcontainer/devcontainer.json", &config),
            (".devcontainer/Dockerfile", &dockerfile),
        ],
    )
}

#[tokio::test]
async fn initialize_command_is_a_guest_without_rights_on_its_node() {
    let lab = Lab::new(1).await;
    let canary = lab.folder("canary").join("file");
    fs::create_dir_all(canary.parent().unwrap()).unwrap();
    fs::write(&canary, "canary").unwrap();
    fs::set_permissions(&canary, fs::Permissions::from_mode(0o666)).unwrap();
    let agent = &lab.agents[0];
    let script = LOOKS
        .replace("SOCKET", lab.vms[0].socket().to_str().unwrap())
        .replace("ATTEMPTS", agent.attempts_dir().to_str().unwrap())
        .replace("WORKSPACES", agent.workspaces_dir().to_str().unwrap())
        .replace("CANARY", canary.to_str().unwrap());
    let repo = repo(&lab, "guest", r#""sh ./look""#);
    repo.commit(&[("look", &script)]);
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_whole();
    story.assert_state(WorkspaceState::Ready);
    let container = &story.workspace.container_id;
    let seen = lab.vms[0].cat(container, "/workspaces/guest/seen");
    let lines: Vec<&str> = seen.lines().collect();
    let [who, git] = lines[..] else {
        panic!("{seen}");
    };
    let words: Vec<&str> = who.split(' ').collect();
    let user: u32 = words[0].parse().unwrap();
    assert!((60_706..=61_183).contains(&user), "{seen}");
    let number = words[0];
    assert_eq!(
        words[1..],
        ["hearth", number, "0022", number, number, "tmp"]
    );
    assert_eq!(git, "git true");
    assert_eq!(fs::read(&canary).unwrap(), b"canary");
    // What it made belongs to the container's user and has no rights of the one who made it.
    let id = lab.vms[0].docker(&[
        "exec",
        container,
        "stat",
        "-c",
        "%u %a",
        "/workspaces/guest/id",
    ]);
    assert_eq!(id.trim(), "0 755");
    assert_eq!(fs::metadata(&canary).unwrap().uid(), 0);
}

#[tokio::test]
async fn where_policy_does_not_allow_it_initialize_command_is_left_out_and_told() {
    let mut lab = Lab::new(0).await;
    lab.add_node(&["--host-access", "never"]).await;
    lab.add_node(&[
        "--host-access",
        "never",
        "--open-doors",
        "initialize-command",
    ])
    .await;
    let repo = repo(&lab, "closed", r#""echo made > .devcontainer/made""#);
    for (node, vm, is_open) in [("node-1", 0, false), ("node-2", 1, true)] {
        let story = lab.client.prepare(node, &repo.url).await;
        story.assert_whole();
        story.assert_state(WorkspaceState::Ready);
        // What it makes counts for the key.
        assert_ne!(story.result(), CacheResult::Exact);
        let told = warnings(&story);
        let told = told
            .iter()
            .find(|told| told.contains("initializeCommand is left out"));
        assert_eq!(told.is_none(), is_open, "{told:?}");
        let container = &story.workspace.container_id;
        for place in ["/workspaces/closed/.devcontainer/made", "/opt/built/made"] {
            let made = lab.vms[vm].succeeds(&["exec", container, "test", "-e", place]);
            assert_eq!(made, is_open, "{place}");
        }
    }
}

#[tokio::test]
async fn initialize_command_ends_at_the_time_limit_whatever_it_started() {
    let lab = Lab::new(1).await;
    let beat = r#"["sh", "-c", "(setsid sh -c 'while :; do echo >> beat; done' &) ; while :; do sleep 1000; done"]"#;
    let repo = repo(&lab, "endless", beat);
    let mut request = request("node-1", &repo.url);
    request.spec.as_mut().unwrap().timeout_seconds = 6;
    let story = lab.client.run(request).await;
    story.assert_whole();
    let failure = story.workspace.failure.clone().unwrap();
    assert_eq!(failure.reason(), FailureReason::TimedOut, "{failure:?}");
    assert!(failure.message.contains("initializeCommand"), "{failure:?}");
    lab.assert_nothing_left(1).await;
}

fn agent(path: &str) -> Output {
    Command::new(binary("hearth-agent"))
        .args(["--node-name", "n", "--listen", "127.0.0.1:0"])
        .env("PATH", path)
        .output()
        .expect("the agent")
}

#[test]
fn an_agent_that_cannot_make_a_sandbox_says_what_it_needs() {
    let said = |output: Output| {
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout)
    };
    let missing = said(agent("/nowhere"));
    assert!(
        missing.contains("install the package `bubblewrap`"),
        "{missing}"
    );
    let dir = tempfile::tempdir().unwrap();
    let bwrap = dir.path().join("bwrap");
    let why = "Can't mount proc on /newroot/proc: Operation not permitted";
    fs::write(
        &bwrap,
        format!("#!/bin/sh\necho \"bwrap: {why}\" >&2\nexit 1\n"),
    )
    .unwrap();
    fs::set_permissions(&bwrap, fs::Permissions::from_mode(0o755)).unwrap();
    let broken = said(agent(&format!("{}:/usr/bin:/bin", dir.path().display())));
    assert!(
        broken.contains(why) && broken.contains("--privileged"),
        "{broken}"
    );
}
