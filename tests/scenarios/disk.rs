//! A node whose disk is full removes images of the cache that nothing uses, and nothing else.

use std::{io::Write as _, path::PathBuf, process::Command};

use hearth_api::v1::{CacheResult, FailureReason, PushOutcome, WorkspaceState, event::Kind};
use hearth_tests::{
    Agent, Client, ControlPlane, Lab, Repo, Vm, app,
    client::{Story, request},
    process::eventually,
};
use tonic::Code;

/// A mark that every disk is below.
const ALWAYS: [&str; 4] = [
    "--image-gc-free-disk-percent",
    "100",
    "--build-cache-keep-minutes",
    "0",
];

async fn prepare(lab: &Lab, node: usize, repo: &Repo) -> Story {
    let story = lab.client.prepare(&format!("node-{node}"), &repo.url).await;
    story.assert_state(WorkspaceState::Ready);
    story
}

fn one_step(lab: &Lab, name: &str) -> Repo {
    let dockerfile = format!("FROM BASE\nRUN echo {name} > /opt/name\n");
    app::with_dockerfile(lab, name, &dockerfile, "")
}

/// Whether the engine has an image of this name or digest.
fn has(vm: &Vm, image: &str) -> bool {
    vm.succeeds(&["image", "inspect", image])
}

#[tokio::test]
async fn an_image_that_no_workspace_uses_goes_and_one_in_use_and_a_strangers_stay() {
    only_unused_images_go(Vm::start).await;
}

#[tokio::test]
async fn the_same_images_go_and_stay_on_the_classic_store() {
    only_unused_images_go(Vm::start_classic).await;
}

async fn only_unused_images_go(vm: fn(PathBuf) -> Vm) {
    let mut lab = Lab::new(0).await;
    for (node, flags) in [("vm1", &[][..]), ("vm2", &ALWAYS)] {
        let vm = vm(lab.folder(node));
        lab.add_node_on(vm, flags).await;
    }
    let repos = ["kept", "named", "gone"].map(|name| one_step(&lab, name));
    let [kept, named, gone] = &repos;
    // One image is fetched by the node that is full, the others are built there.
    prepare(&lab, 1, kept).await;
    let kept = prepare(&lab, 2, kept).await;
    kept.assert_result(CacheResult::Exact);
    let named = prepare(&lab, 2, named).await;
    let gone = prepare(&lab, 2, gone).await;
    gone.assert_push(PushOutcome::Pushed);
    let vm = &lab.vms[1];
    let image = |story: &Story| {
        let container = &story.workspace.container_id;
        vm.docker(&["inspect", "--format", "{{.Image}}", container])
    };
    let [kept_image, named_image, gone_image] = [&kept, &named, &gone].map(image);
    // A person's own image, one that a person pulled, and one of the cache that a person gave a name.
    let running = &kept.workspace.container_id;
    let mine = vm.docker(&["commit", running, "mine:1"]);
    vm.docker(&["pull", "--quiet", &lab.base]);
    vm.docker(&["tag", &named_image, "mine:2"]);
    assert!(has(vm, &gone_image), "its workspace is there");

    lab.client.delete(&named.workspace.id).await;
    lab.client.delete(&gone.workspace.id).await;
    let mark = gone_image.replace("sha256:", "hearth-cache:");
    let is_gone = || !has(vm, &mark) && !has(vm, &gone_image);
    eventually("the unused image is removed", is_gone).await;
    assert!(has(vm, &kept_image), "its workspace still runs");
    assert!(has(vm, &mine) && has(vm, &named_image));
    assert!(has(vm, &lab.base) && has(vm, "mine:2"));
    assert_eq!(vm.cat(running, "/opt/name"), "kept");
    let marks = vm.docker(&["image", "ls", "--quiet", "hearth-cache"]);
    assert_eq!(marks.lines().count(), 2, "{marks}");
}

#[tokio::test]
async fn what_was_removed_is_fetched_again_and_a_restart_knows_which_images_are_hearths() {
    let mut lab = Lab::new(0).await;
    lab.add_node(&[]).await;
    let repo = one_step(&lab, "app");
    let first = prepare(&lab, 1, &repo).await;
    first.assert_push(PushOutcome::Pushed);
    let digest = first.cache().image_digest;
    lab.client.delete(&first.workspace.id).await;
    assert!(has(&lab.vms[0], &digest), "there is room");

    // The agent is restarted without its record of when images were used, and with a mark that every disk is below.
    std::fs::write(lab.folder("node-1/state/images.json"), "{").unwrap();
    lab.agents[0].restart_with(&ALWAYS);
    let vm = &lab.vms[0];
    eventually("the image is gone", || !has(vm, &digest)).await;
    let build_cache = || vm.docker(&["system", "df", "--format", "{{.Type}} {{.Size}}"]);
    eventually("the build cache is gone too", || {
        build_cache().contains("Build Cache 0B")
    })
    .await;
    let again = prepare(&lab, 1, &repo).await;
    again.assert_result(CacheResult::Exact);
    assert!(again.cache().bytes_fetched > 0, "{:?}", again.cache());
}

/// A file system of its own; gone when dropped, after everything on it.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(mebibytes: u32) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let size = format!("size={mebibytes}m,mode=755");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "hearth-test"])
            .arg(dir.path())
            .status();
        assert!(mounted.expect("mount").success());
        Self(dir)
    }

    /// Writes a file until nothing is free.
    fn fill(&self) -> PathBuf {
        let filler = self.0.path().join("filler");
        let mut file = std::fs::File::create(&filler).expect("a file");
        while file.write_all(&[0; 4096]).is_ok() {}
        filler
    }

    fn free_mebibytes(&self) -> u64 {
        let output = Command::new("df")
            .args(["--block-size=1M", "--output=avail"])
            .arg(self.0.path())
            .output()
            .expect("df");
        let text = String::from_utf8_lossy(&output.stdout);
        let free = text.lines().last().expect("a line");
        free.trim().parse().expect("a number")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.0.path())
            .status();
    }
}

#[tokio::test]
async fn a_disk_that_is_full_of_unused_images_does_not_keep_an_attempt_from_beginning() {
    let disk = SmallDisk::new(500);
    let mut lab = Lab::new(0).await;
    let vm = Vm::start(disk.0.path().join("vm"));
    // The mark alone would leave all as it is.
    let flags = [
        "--image-gc-free-disk-percent",
        "1",
        "--build-cache-keep-minutes",
        "0",
    ];
    lab.add_node_on(vm, &flags).await;
    let dockerfile = "FROM BASE\nRUN head -c 150000000 /dev/urandom > /opt/data\n";
    let large = app::with_dockerfile(&lab, "large", dockerfile, "");
    let large = prepare(&lab, 1, &large).await;
    large.assert_push(PushOutcome::Pushed);
    lab.client.delete(&large.workspace.id).await;
    let free = disk.free_mebibytes();
    assert!(free < 256, "attempts need 256 MiB, and {free} are free");

    prepare(&lab, 1, &one_step(&lab, "small")).await;
    assert!(!has(&lab.vms[0], &large.cache().image_digest));
}

#[tokio::test]
async fn a_build_cache_of_the_last_minute_does_not_keep_an_attempt_from_beginning() {
    let disk = SmallDisk::new(500);
    let mut lab = Lab::new(0).await;
    let vm = Vm::start(disk.0.path().join("vm"));
    // Nothing of it may go because of its age.
    let flags = ["--build-cache-keep-minutes", "60"];
    lab.add_node_on(vm, &flags).await;
    let dockerfile = "FROM BASE AS large\nRUN head -c 150000000 /dev/urandom > /opt/data\n\
                      FROM BASE\nRUN --mount=from=large,target=/large wc -c /large/opt/data > /opt/size\n";
    let large = app::with_dockerfile(&lab, "large", dockerfile, "");
    prepare(&lab, 1, &large).await;
    assert!(disk.free_mebibytes() < 256, "{}", disk.free_mebibytes());
    prepare(&lab, 1, &one_step(&lab, "small")).await;
}

#[tokio::test]
async fn a_disk_that_a_build_or_a_hook_fills_is_named_with_what_was_free() {
    let disk = SmallDisk::new(400);
    let mut lab = Lab::new(0).await;
    let vm = Vm::start(disk.0.path().join("vm"));
    lab.add_node_on(vm, &[]).await;
    let dockerfile = "FROM BASE\nRUN head -c 900000000 /dev/urandom > /opt/data\n";
    let build = app::with_dockerfile(&lab, "large", dockerfile, "");
    let story = lab.client.prepare("node-1", &build.url).await;
    story.assert_state(WorkspaceState::Failed);
    let failure = story.workspace.failure.clone().expect("a failure");
    assert_eq!(failure.reason(), FailureReason::DiskFull, "{failure:?}");
    assert!(
        failure.message.contains("the node's disk is full") && failure.message.contains("vm/data"),
        "{failure:?}"
    );
    // Nothing of it is left, and the next one has room.
    prepare(&lab, 1, &one_step(&lab, "small")).await;

    // What only says so is no full disk.
    let says = "FROM BASE\nRUN echo 'No space left on device' >&2; exit 1\n";
    let says = app::with_dockerfile(&lab, "says", says, "");
    let story = lab.client.prepare("node-1", &says.url).await;
    story.assert_state(WorkspaceState::Recovery);
    let failure = story.workspace.failure.clone().expect("a failure");
    assert_eq!(failure.reason(), FailureReason::BuildFailed, "{failure:?}");
}

#[tokio::test]
async fn a_control_plane_whose_disk_was_full_loses_nothing_and_goes_on() {
    let disk = SmallDisk::new(32);
    let mut lab = Lab::new(0).await;
    let flags = ["--credentials", "none", "--database-min-free-mib", "4"];
    let folder = disk.0.path().join("control-plane");
    lab.control_plane = ControlPlane::start_with(folder, &lab.registry.host(), &flags);
    lab.client = Client::new(&lab.control_plane.url());
    lab.add_node(&[]).await;
    let hook = r#", "waitFor": "postCreateCommand", "postCreateCommand": "while [ ! -e /tmp/go ]; do sleep 0.1; done; seq 500; touch /tmp/done""#;
    let repo = app::with_dockerfile(&lab, "app", "FROM BASE\n", hook);
    let is_started = |kind: &Kind| matches!(kind, Kind::Container(_));
    let asked = request("node-1", &repo.url);
    let (id, _) = lab.client.begin_until(asked, is_started).await;

    let filler = disk.fill();
    assert_eq!(disk.free_mebibytes(), 0);
    let refused = lab.client.begin(request("node-1", &repo.url)).await;
    assert_eq!(
        refused.expect_err("a refusal").code(),
        Code::ResourceExhausted
    );
    let container = lab.vms[0].docker(&["ps", "--quiet"]);
    lab.vms[0].docker(&["exec", &container, "touch", "/tmp/go"]);
    eventually("the hook ends", || {
        lab.vms[0].succeeds(&["exec", &container, "test", "-e", "/tmp/done"])
    })
    .await;

    std::fs::remove_file(filler).expect("room");
    let story = lab.client.watch(&id, 0).await;
    story.assert_state(WorkspaceState::Ready);
    story.assert_whole();
    prepare(&lab, 1, &one_step(&lab, "next")).await;
    lab.client.delete(&id).await;
}

#[tokio::test]
async fn a_full_disk_of_the_agents_own_folder_is_named_and_what_is_left_goes() {
    let disk = SmallDisk::new(64);
    let mut lab = Lab::new(0).await;
    let vm = Vm::start(lab.folder("vm"));
    lab.registry.tiny_base(&vm).await;
    let folder = disk.0.path().join("node-1");
    let url = lab.control_plane.url();
    let agent = Agent::start("node-1", folder, &vm, &url, &lab.base, &[]);
    let attempts = agent.attempts_dir();
    lab.vms.push(vm);
    lab.agents.push(agent);
    lab.until_online("node-1").await;
    let filler = disk.fill();
    let repo = one_step(&lab, "app");
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_state(WorkspaceState::Failed);
    let failure = story.workspace.failure.clone().expect("a failure");
    assert_eq!(failure.reason(), FailureReason::DiskFull, "{failure:?}");
    assert!(failure.message.contains("state"), "{failure:?}");
    std::fs::remove_file(filler).expect("room");
    let story = lab.client.prepare_anew(&story.workspace.id).await;
    story.assert_state(WorkspaceState::Ready);
    lab.client.delete(&story.workspace.id).await;
    let left = || std::fs::read_dir(&attempts).map_or(0, Iterator::count);
    eventually("nothing is left", || left() == 0).await;
}
