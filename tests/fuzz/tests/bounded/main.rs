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
    fuzz("configuration", hearth_fuzz::configuration, 150);
}

#[test]
fn every_clone_has_one_key_or_an_error() {
    fuzz("clone", hearth_fuzz::clone, 150);
}

#[test]
fn every_json_with_comments_has_a_value_or_a_fault() {
    fuzz("jsonc", hearth_fuzz::jsonc, 300);
}

#[test]
fn every_packet_of_sftp_is_a_request_or_none() {
    fuzz("sftp", hearth_fuzz::sftp, 300);
}

#[test]
fn every_name_is_written_as_it_is_read_or_refused() {
    fuzz("names", hearth_fuzz::names, 150);
}

#[test]
fn every_certificate_names_whom_it_was_issued_for() {
    fuzz("joining", hearth_fuzz::joining, 200);
}

#[test]
fn every_answer_of_a_registry_is_understood_or_refused() {
    fuzz("registry", hearth_fuzz::registry, 30);
}

#[test]
fn no_word_of_build_options_reaches_the_node() {
    fuzz("build_options", hearth_fuzz::build_options, 100);
}

#[test]
fn every_argument_of_docker_run_is_read() {
    fuzz("run_args", hearth_fuzz::run_args, 100);
}

#[test]
fn every_log_of_the_devcontainer_cli_becomes_single_lines() {
    fuzz("cli_log", hearth_fuzz::cli_log, 200);
}

#[test]
fn every_failure_of_git_is_told_in_one_line() {
    fuzz("git_failure", hearth_fuzz::git_failure, 200);
}

#[test]
fn every_output_has_the_same_lines_in_whatever_pieces_it_comes() {
    fuzz("lines", hearth_fuzz::lines, 100);
}

#[test]
fn every_list_of_submodules_is_read_and_no_password_is_told() {
    fuzz("submodules", hearth_fuzz::submodules, 200);
}

#[test]
fn every_compose_project_is_left_without_what_is_the_nodes() {
    fuzz("compose", hearth_fuzz::compose, 200);
}

#[test]
fn every_word_of_a_dockerfile_is_expanded_or_refused() {
    fuzz("words", hearth_fuzz::words, 40);
}

#[test]
fn every_lockfile_is_read_or_refused() {
    fuzz("lockfile", hearth_fuzz::lockfile, 200);
}

#[test]
fn every_call_at_the_door_reaches_the_engine_as_it_was_read_or_not_at_all() {
    fuzz("door_call", hearth_fuzz::door_call, 100);
}

#[test]
fn every_container_at_the_door_is_the_workspaces() {
    fuzz("door_container", hearth_fuzz::door_container, 200);
}

#[test]
fn every_network_at_the_door_is_the_workspaces() {
    fuzz("door_network", hearth_fuzz::door_network, 200);
}

#[test]
fn every_volume_at_the_door_is_the_workspaces() {
    fuzz("door_volume", hearth_fuzz::door_volume, 200);
}

#[test]
fn every_images_metadata_has_a_user_and_leaves_gits_settings_whole() {
    fuzz("image_metadata", hearth_fuzz::image_metadata, 100);
}

#[test]
fn every_user_that_is_found_can_own_files() {
    fuzz("passwd", hearth_fuzz::passwd, 200);
}

#[test]
fn every_signature_has_one_form_and_none_is_of_a_key_that_nobody_has() {
    fuzz("signature", hearth_fuzz::signature, 300);
}

#[test]
fn every_stream_of_frames_is_decoded_as_zstd_decodes_it() {
    fuzz("frames", hearth_fuzz::frames, 300);
}

#[test]
fn no_layer_writes_outside_of_its_folder() {
    fuzz("layer", hearth_fuzz::layer, 300);
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

/// `cases` is how many inputs the target gets in the short form: a second for a target at most.
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
