//! Benchmarks with real engines and services; `tests/bench/run` prints their tables.

#![allow(missing_docs, clippy::print_stdout, reason = "benchmarks print tables")]

mod at_once;
mod audit;
mod by_hand;
mod cold;
mod connection;
mod door;
mod idle;
mod layer_images;
mod layers;
mod long_output;
mod push;
mod ready;
mod signatures;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let rounds = std::env::var("HEARTH_BENCH_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(5);
    // Cargo adds `--bench`.
    let names: Vec<_> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    // An import is measured in a process of its own.
    if let [command, socket, image] = &names[..]
        && command == "import-image"
    {
        return runtime.block_on(layers::import_image(socket, image));
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    runtime.block_on(async {
        if wanted("idle") {
            idle::run(rounds).await;
        }
        if wanted("connection") {
            connection::run().await;
        }
        if wanted("by-hand") {
            by_hand::run(rounds).await;
        }
        if wanted("long-output") {
            long_output::run().await;
        }
        if wanted("door") {
            door::run(rounds).await;
        }
        if wanted("audit") {
            audit::run(rounds).await;
        }
        if wanted("signatures") {
            signatures::run(rounds).await;
        }
        if wanted("layers") {
            layers::run(rounds).await;
        }
        if wanted("push") {
            push::run(rounds).await;
        }
        if wanted("ready") {
            ready::run(rounds).await;
        }
        if wanted("cold") {
            cold::run(rounds).await;
        }
        if wanted("at-once") {
            at_once::run().await;
        }
    });
}

/// The median.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Processor time that a process has had so far, with that of its threads and commands that have ended.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    // The process's name, in parentheses, can have blanks.
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    let ticks = fields.split(' ').skip(11).take(4);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

/// Resident memory of a process in MiB: `VmRSS:` is the current value, `VmHWM:` the peak.
pub fn memory_mib(pid: u32, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = status.lines().find_map(|line| {
        line.strip_prefix(field)?
            .split_whitespace()
            .next()?
            .parse::<f64>()
            .ok()
    });
    kib.unwrap_or_default() / 1024.0
}
