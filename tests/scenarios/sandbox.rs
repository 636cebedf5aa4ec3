//! What a repository's own command, and the commands that work on its files, see and change of their node.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    process::{Command, Output},
};

use hearth_api::v1::{CacheResult, FailureReason, PipelineStep, WorkspaceState, event::Kind};
use hearth_tests::{
    Lab, Repo,
    client::{Story, request},
    process::{binary, eventually},
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

/// The node's address on the bridge of an engine.
const GATEWAY: &str = "{{(index .IPAM.Config 0).Gateway}}";

/// A node that runs the `initializeCommand` of any repository, and opens nothing else.
const GUESTS: [&str; 4] = [
    "--host-access",
    "never",
    "--open-doors",
    "initialize-command",
];

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
    lab.add_node(&GUESTS).await;
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

/// Tries addresses, given as `ADDRESS:PORT`, and says which of them are reached.
const REACHES: &str = r#"
use IO::Socket::INET;
for my $address (@ARGV) {
  my $socket = IO::Socket::INET->new(PeerAddr => $address, Timeout => 5);
  print "reaches $address\n" if $socket;
}
"#;

#[tokio::test]
async fn initialize_command_reaches_what_a_container_reaches() {
    let mut lab = Lab::new(0).await;
    lab.add_node(&GUESTS).await;
    lab.add_node(&[]).await;
    let canary = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let canary = canary.local_addr().unwrap().to_string();
    let repo = repo(&lab, "reach", r#""sh ./reach""#);
    for (node, vm, own_network) in [("node-1", 0, true), ("node-2", 1, false)] {
        let vm = &lab.vms[vm];
        // Whoever listens on the bridge is another host to a container.
        let network = vm.docker(&["network", "inspect", "bridge", "--format", GATEWAY]);
        let host = TcpListener::bind((network.as_str(), 0)).unwrap();
        let host = host.local_addr().unwrap().to_string();
        let script = format!(
            "exec > seen 2>&1\nperl reaches.pl {canary} {host}\ngrep -c . /proc/net/unix\ncat /etc/resolv.conf"
        );
        repo.commit(&[("reach", &script), ("reaches.pl", REACHES)]);
        let story = lab.client.prepare(node, &repo.url).await;
        story.assert_whole();
        story.assert_state(WorkspaceState::Ready);
        let container = &story.workspace.container_id;
        let seen = vm.cat(container, "/workspaces/reach/seen");
        assert!(seen.contains(&format!("reaches {host}\n")), "{seen}");
        let reaches_node = seen.contains(&format!("reaches {canary}\n"));
        assert_eq!(reaches_node, !own_network, "{seen}");
        if own_network {
            let resolver = vm.cat(container, "/etc/resolv.conf");
            assert!(seen.ends_with(resolver.trim_end()), "{seen}\n{resolver}");
            // Of sockets without a name in the file system it sees its own network's.
            assert!(seen.contains("\n1\n"), "{seen}");
        }
        let containers = vm.docker(&["ps", "--all", "--quiet", "--no-trunc"]);
        assert_eq!(&containers, container, "nothing of the network is left");
        let images = vm.docker(&["images", "--format", "{{.Tag}}"]);
        assert!(!images.contains("hearth-network"), "{images}");
    }
}

#[tokio::test]
async fn initialize_command_ends_at_the_time_limit_whatever_it_started() {
    let mut lab = Lab::new(0).await;
    // On a network of its own, which ends with it.
    lab.add_node(&GUESTS).await;
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

#[tokio::test]
async fn the_network_of_a_command_goes_with_an_agent_that_is_killed() {
    let mut lab = Lab::new(0).await;
    lab.add_node(&GUESTS).await;
    let repo = repo(&lab, "killed", r#""while :; do sleep 1000; done""#);
    let begins = |kind: &Kind| matches!(kind, Kind::StepStarted(begun) if begun.step() == PipelineStep::Container);
    lab.client
        .begin_until(request("node-1", &repo.url), begins)
        .await;
    let vm = &lab.vms[0];
    eventually("the network is there", || {
        !vm.docker(&["ps", "--quiet"]).is_empty()
    })
    .await;
    lab.agents[0].kill();
    lab.agents[0].restart();
    lab.assert_nothing_left(1).await;
    assert_eq!(lab.vms[0].docker(&["images", "--all", "--quiet"]), "");
}

#[tokio::test]
async fn initialize_command_that_takes_all_memory_is_ended_and_the_agent_goes_on() {
    let mut lab = Lab::new(0).await;
    lab.add_node(&["--command-memory-mib", "256"]).await;
    let bombs = [
        (
            "memory",
            r#"["perl", "-e", "$x .= 'x' x 1048576 while 1"]"#,
            "used more than 256 MiB of memory",
        ),
        (
            "files",
            r#""head -c 1G /dev/zero > /tmp/x""#,
            "No space left on device",
        ),
    ];
    for (name, command, told) in bombs {
        let repo = repo(&lab, name, command);
        let mut request = request("node-1", &repo.url);
        request.spec.as_mut().unwrap().timeout_seconds = 60;
        let story = lab.client.run(request).await;
        story.assert_whole();
        story.assert_state(WorkspaceState::Recovery);
        let failure = story.workspace.failure.clone().unwrap();
        assert_eq!(failure.reason(), FailureReason::HookFailed, "{failure:?}");
        assert!(failure.message.contains(told), "{failure:?}");
    }
    let status = fs::read_to_string(format!("/proc/{}/status", lab.agents[0].pid())).unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let most = most.and_then(|most| most.trim().strip_suffix(" kB"));
    let most: u64 = most.unwrap().trim().parse().unwrap();
    assert!(most < 256 * 1024, "{most} KiB");
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
