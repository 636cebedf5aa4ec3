//! What an audit of an exact hit costs: the same hits on a node that audits all of them, and on one that audits none.

use std::time::Instant;

use hearth_api::v1::{CacheResult, WorkspaceState, event::Kind};
use hearth_tests::{Lab, Vm, app, client::request};

use crate::{cpu_seconds, median};

/// What a row measures on one node.
#[derive(Default)]
struct Costs {
    ready: Vec<f64>,
    settled: Vec<f64>,
    cpu: Vec<f64>,
}

pub async fn run(rounds: usize) {
    let mut lab = Lab::new(1).await;
    let audits_none = lab.add_node(&["--cache-audit-percent", "0"]).await;
    let audits_all = lab.add_node(&["--cache-audit-percent", "100"]).await;
    println!("\nAn audit of an exact hit, median of {rounds}\n");
    println!(
        "| image | READY without | with | the attempt ends without | with | processor time without | with |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (what, name, mib) in [("a few MiB", "small", 1), ("300 MiB", "large", 300)] {
        let dockerfile = format!(
            "FROM BASE\nRUN echo one > /one\nRUN dd if=/dev/urandom of=/random bs=1M count={mib}\nCOPY . /clone\n"
        );
        let repo = app::with_dockerfile(&lab, name, &dockerfile, "");
        lab.client.prepare("node-1", &repo.url).await;
        let (mut without, mut with) = (Costs::default(), Costs::default());
        for round in 0..=rounds {
            for (node, costs) in [(audits_none, &mut without), (audits_all, &mut with)] {
                let measured = measure(&mut lab, node, &repo.url).await;
                // The first one fetches the image.
                if round > 0 {
                    costs.ready.push(measured[0]);
                    costs.settled.push(measured[1]);
                    costs.cpu.push(measured[2]);
                }
            }
        }
        let cells = [
            (without.ready, with.ready),
            (without.settled, with.settled),
            (without.cpu, with.cpu),
        ];
        let cells = cells
            .map(|(without, with)| format!("{:.2} s | {:.2} s", median(without), median(with)));
        println!("| {what} | {} |", cells.join(" | "));
    }
}

/// Seconds until READY, until the attempt has ended, and of processors: those of the agent, its commands, and the engine.
async fn measure(lab: &mut Lab, node: usize, url: &str) -> [f64; 3] {
    let agent = lab.agents[node - 1].process().pid();
    let engine = engine(&lab.vms[node - 1]);
    let used = || cpu_seconds(agent) + engine.iter().copied().map(cpu_seconds).sum::<f64>();
    let (cpu, began) = (used(), Instant::now());
    let is_ready = |kind: &Kind| matches!(kind, Kind::StateChanged(changed) if changed.state() == WorkspaceState::Ready);
    let asked = request(&format!("node-{node}"), url);
    let (id, _) = lab.client.begin_until(asked, is_ready).await;
    let ready = began.elapsed().as_secs_f64();
    let story = lab.client.watch(&id, 0).await;
    let settled = began.elapsed().as_secs_f64();
    let cpu = used() - cpu;
    story.assert_result(CacheResult::Exact);
    lab.client.delete(&id).await;
    [ready, settled, cpu]
}

/// The processes of an engine: dockerd, which has BuildKit in it, and containerd.
fn engine(vm: &Vm) -> Vec<u32> {
    let folder = vm.run_dir().display().to_string();
    let processes = std::fs::read_dir("/proc").expect("processes");
    let numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_engine = |number: &u32| {
        let line = std::fs::read_to_string(format!("/proc/{number}/cmdline")).unwrap_or_default();
        let program = line.split('\0').next().unwrap_or_default();
        (program.ends_with("dockerd") || program.ends_with("containerd")) && line.contains(&folder)
    };
    numbers.filter(is_engine).collect()
}
