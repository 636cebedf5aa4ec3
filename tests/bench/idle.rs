//! How fast the services start, and how much memory they need when idle.

use std::time::{Duration, Instant};

use hearth_tests::Lab;

use crate::{median, memory_mib};

pub async fn run(rounds: usize) {
    let mut lab = Lab::new(1).await;
    let (mut control_plane, mut agent) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let began = Instant::now();
        lab.control_plane.restart();
        control_plane.push(began.elapsed().as_secs_f64());
        let began = Instant::now();
        lab.agents[0].restart();
        agent.push(began.elapsed().as_secs_f64());
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let control_plane_pid = lab.control_plane.process().pid();
    let agent_pid = lab.agents[0].process().pid();
    println!("\nStart and idle (medians of {rounds})\n");
    println!("| service | start until it serves | resident when idle |");
    println!("| --- | --- | --- |");
    for (name, starts, pid) in [
        ("control plane", control_plane, control_plane_pid),
        ("agent", agent, agent_pid),
    ] {
        println!(
            "| {name} | {:.2} s | {:.0} MiB |",
            median(starts),
            memory_mib(pid, "VmRSS:")
        );
    }
}
