//! What the attempt's door to the engine costs: the same commands through it and without it, in turns.

use std::{path::Path, process::Stdio, time::Instant};

use hearth_api::v1::{WorkspaceState, event::Kind};
use hearth_tests::{Lab, app, client::request};

use crate::median;

const STEPS: u64 = 50;
const LINES_PER_STEP: u64 = 2_000;

pub async fn run(rounds: usize) {
    let lab = Lab::new(1).await;
    // The door is open while the attempt goes on, and a hook keeps it going.
    let hook = r#", "postCreateCommand": "sleep 100000""#;
    let repo = app::with_dockerfile(&lab, "app", "FROM BASE\n", hook);
    let is_ready = |kind: &Kind| matches!(kind, Kind::StateChanged(changed) if changed.state() == WorkspaceState::Ready);
    let (id, _) = lab
        .client
        .begin_until(request("node-1", &repo.url), is_ready)
        .await;
    let door = lab.agents[0]
        .attempts_dir()
        .join(format!("{id}-1/docker.sock"));
    let folder = lab.folder("build");
    std::fs::create_dir_all(&folder).expect("a folder");
    let steps: String = (0..STEPS)
        .map(|step| format!("RUN seq {LINES_PER_STEP} | sed 's/^/a line of step {step} /'\n"))
        .collect();
    std::fs::write(
        folder.join("Dockerfile"),
        format!("FROM {}\n{steps}", lab.base),
    )
    .expect("a file");
    // Roughly what the devcontainer CLI does with a finished image.
    let start = format!(
        "docker inspect --type image {base} && id=$(docker run --detach {base} sleep 1000) && for n in 1 2 3 4 5; do docker inspect $id && \
         docker exec --interactive $id true < /dev/null; done && docker rm --force $id",
        base = lab.base
    );
    let build = format!(
        "docker buildx build --no-cache --progress rawjson {}",
        folder.display()
    );
    println!("\nThe door to the engine, median of {rounds}\n");
    println!("| what | without | through it | difference |");
    println!("| --- | --- | --- | --- |");
    for (what, script) in [
        ("a container is started", &start),
        ("a build that prints 100,000 lines", &build),
    ] {
        let (mut without, mut through) = (Vec::new(), Vec::new());
        for round in 0..=rounds {
            let direct = seconds(&lab.vms[0].socket(), script);
            let by_door = seconds(&door, script);
            // The first one fills caches.
            if round > 0 {
                without.push(direct);
                through.push(by_door);
            }
        }
        let (without, through) = (median(without), median(through));
        println!(
            "| {what} | {without:.3} s | {through:.3} s | {:.0} ms, {:.1} % |",
            (through - without) * 1000.0,
            (through / without - 1.0) * 100.0
        );
    }
}

fn seconds(socket: &Path, script: &str) -> f64 {
    let began = Instant::now();
    let status = std::process::Command::new("sh")
        .args(["-ec", script])
        .env("PATH", hearth_tests::process::path())
        .env("DOCKER_HOST", format!("unix://{}", socket.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("a shell");
    assert!(status.success(), "{script}");
    began.elapsed().as_secs_f64()
}
