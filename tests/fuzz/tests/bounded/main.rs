//! The fuzz targets on a stable toolchain, for a bounded time and in bounded memory.
//!
//! Without `HEARTH_FUZZ_SECONDS` each target gets its seeds and the same few hundred inputs in every run, so that a red
//! test is one that the change made red. With it, each gets random inputs for so many seconds.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and the long form says how far it came"
)]

mod inputs;
mod watch;

use std::{
    env,
    time::{Duration, Instant},
};

use inputs::Seeds;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use watch::Watch;

#[test]
fn every_dockerfile_is_planned_or_refused() {
    fuzz("dockerfile", hearth_fuzz::dockerfile, 300);
}

#[test]
fn every_ignore_file_leaves_out_what_is_below_a_closed_folder() {
    fuzz("ignore_file", hearth_fuzz::ignore_file, 100);
}

#[test]
fn the_progress_of_every_build_has_steps_that_begin_and_end_once() {
    fuzz("progress", hearth_fuzz::progress, 300);
}

#[test]
fn every_repository_survives_a_round_trip_and_has_a_valid_cache_reference() {
    fuzz("repository", hearth_fuzz::repository, 300);
}

#[test]
fn every_configuration_has_one_key_or_an_error() {
    fuzz("configuration", hearth_fuzz::configuration, 300);
}

#[test]
fn every_clone_has_one_key_or_an_error() {
    fuzz("clone", hearth_fuzz::clone, 300);
}

#[test]
fn every_json_with_comments_has_a_value_or_a_fault() {
    fuzz("jsonc", hearth_fuzz::jsonc, 300);
}

#[test]
fn every_name_is_written_as_it_is_read_or_refused() {
    fuzz("names", hearth_fuzz::names, 300);
}

#[test]
fn every_answer_of_a_registry_is_understood_or_refused() {
    fuzz("registry", hearth_fuzz::registry, 30);
}

/// The most memory that a process with targets may have, in bytes of addresses. What grows without end fails at once, and
/// not when the machine has no memory left.
const MAX_MEMORY: u64 = 2 << 30;

fn limit_memory() {
    let limit = Rlimit {
        current: Some(MAX_MEMORY),
        maximum: getrlimit(Resource::As).maximum,
    };
    setrlimit(Resource::As, limit).unwrap();
}

/// `cases` is how many inputs the target gets in the short form: about a second for each target.
fn fuzz(name: &str, target: fn(&[u8]), cases: u32) {
    limit_memory();
    let seeds = Seeds::load(name);
    let watch = Watch::over(name, target);
    for seed in &seeds.whole {
        watch.run(seed);
    }
    let seconds = env::var("HEARTH_FUZZ_SECONDS").ok();
    let seconds = seconds.map(|text| Duration::from_secs(text.parse().unwrap()));
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 4096,
        ..Config::default()
    };
    let began = Instant::now();
    loop {
        // A runner counts its cases over all of its runs, so that each round needs one of its own.
        let mut runner = match seconds {
            Some(_) => TestRunner::new(config.clone()),
            None => {
                let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
                TestRunner::new_with_rng(config.clone(), rng)
            }
        };
        let result = runner.run(&seeds.inputs(), |input| {
            watch.run(&input);
            Ok(())
        });
        if let Err(error) = result {
            if let TestError::Fail(_, input) = &error {
                watch.keep(input);
            }
            panic!("{name}: {error}");
        }
        if seconds.is_none_or(|seconds| began.elapsed() >= seconds) {
            break;
        }
    }
    println!("{name}: {}", watch.summary());
}
