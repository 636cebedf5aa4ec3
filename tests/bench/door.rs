//! What the attempt's door to the engine costs: the same commands through it and without it, in turns.

use std::{path::Path, process::Stdio, time::Instant};

use hearth_api::v1::{WorkspaceState, event::Kind};
use hearth_tests::{Lab, app, client::request};

use crate::{cpu_seconds, median};

const STEPS: u64 = 50;
const LINES_PER_STEP: u64 = 2_000;

pub async fn run(rounds: usize) {
    let mut lab = Lab::new(1).await;
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
    println!("| what | without | through it | difference | the agent's CPU |");
    println!("| --- | --- | --- | --- | --- |");
    let agent = lab.agents[0].process().pid();
    for (what, script) in [
        ("a container is started", &start),
        ("a build that prints 100,000 lines", &build),
    ] {
        let (mut without, mut through) = (Vec::new(), Vec::new());
        let (mut differences, mut cpu) = (Vec::new(), Vec::new());
        for round in 0..=rounds {
            let began = cpu_seconds(agent);
            let direct = seconds(&lab.vms[0].socket(), script);
            let between = cpu_seconds(agent);
            let by_door = seconds(&door, script);
            let ended = cpu_seconds(agent);
            // The first one fills caches.
            if round > 0 {
                without.push(direct);
                through.push(by_door);
                differences.push(by_door - direct);
                // Heartbeats and the attempt's own work go on without the door too.
                cpu.push((ended - between) - (between - began));
            }
        }
        let (without, through, cpu) = (median(without), median(through), median(cpu));
        // Of pairs, so that a machine that has other work for a while counts on both sides.
        let difference = median(differences);
        println!(
            "| {what} | {without:.3} s | {through:.3} s | {:.0} ms, {:.1} % | {:.0} ms, {:.1} % |",
            difference * 1000.0,
            difference / without * 100.0,
            cpu * 1000.0,
            cpu / without * 100.0
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
