//! A build that prints 100,000 lines: what the agent needs for it, and what arrives.

use hearth_api::v1::{BuildStepStatus, event::Kind};

use crate::{app, memory_mib, support::Lab};

/// What the loop in the Dockerfile prints.
const LINES: u64 = 100_000;

pub async fn run() {
    let mut lab = Lab::new(1).await;
    let dockerfile = "FROM BASE\nRUN for i in $(seq 100); do seq 1000 | sed 's/^/a line of a build that prints much: /'; done\n";
    let repo = app::with_dockerfile(&lab, "app", dockerfile, "");
    let story = lab.client.prepare("node-1", &repo.url).await;
    story.assert_whole();
    let (mut arrived, mut dropped) = (0, 0);
    let mut steps_done = 0;
    for kind in story.kinds() {
        match kind {
            Kind::Log(chunk) => {
                arrived += chunk
                    .text
                    .lines()
                    .filter(|line| line.contains("a line of a build"))
                    .count() as u64;
                dropped += chunk.dropped_lines;
            }
            Kind::BuildStep(step) if step.status() == BuildStepStatus::Done => steps_done += 1,
            _ => {}
        }
    }
    println!("\nA build that prints {LINES} lines\n");
    println!("| what | value |");
    println!("| --- | --- |");
    println!(
        "| agent's memory at most | {:.0} MiB |",
        memory_mib(lab.agents[0].process().pid(), "VmHWM:")
    );
    println!(
        "| control plane's memory at most | {:.0} MiB |",
        memory_mib(lab.control_plane.process().pid(), "VmHWM:")
    );
    println!("| lines that arrived | {arrived} |");
    println!("| lines that were dropped, and counted | {dropped} |");
    println!("| steps that ended | {steps_done} |");
    println!(
        "| state | {:?} after {:.1} s |",
        story.workspace.state(),
        story.workspace.ready_seconds
    );
}
