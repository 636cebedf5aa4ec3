//! A build that prints 100,000 lines: what the agent needs for it, and what arrives.

use hearth_api::v1::{BuildStepStatus, event::Kind};
use hearth_tests::{Lab, app};

use crate::memory_mib;

/// BuildKit itself clips a step that prints more than 200 KiB a second, so the lines come from many steps.
const STEPS: u64 = 50;
const LINES_PER_STEP: u64 = 2_000;
const MARK: &str = "a line of a build that prints much";

pub async fn run() {
    let mut lab = Lab::new(1).await;
    let steps: String = (0..STEPS)
        .map(|step| format!("RUN seq {LINES_PER_STEP} | sed 's/^/{MARK} {step} /'\n"))
        .collect();
    let dockerfile = format!("FROM BASE\n{steps}");
    let repo = app::with_dockerfile(&lab, "app", &dockerfile, "");
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
                    .filter(|line| line.contains(MARK) && !line.contains("RUN"))
                    .count() as u64;
                dropped += chunk.dropped_lines;
            }
            Kind::BuildStep(step) if step.status() == BuildStepStatus::Done => steps_done += 1,
            _ => {}
        }
    }
    println!("\nA build that prints {} lines\n", STEPS * LINES_PER_STEP);
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
