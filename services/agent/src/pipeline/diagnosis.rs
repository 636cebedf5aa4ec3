//! What a failure was really about: a disk that is full and an engine that is gone look like a build that failed.

use std::time::Duration;

use hearth_api::v1::{Failure, FailureReason};

use super::{context::Context, disks::Disks, failure::failure};

/// Time between two looks at the disks while an attempt works. What fills a disk is removed soon after it failed.
const LOOK: Duration = Duration::from_millis(250);
/// Part of the free disk that an attempt needs to begin, below which it ends.
const LAST_PART: u64 = 16;
/// Commands and engines say so in these words, which come from the C library and Go.
const NO_SPACE: [&str; 3] = [
    "no space left on device",
    "disk quota exceeded",
    "database or disk is full",
];

/// How the message of a full disk begins.
const FULL_DISK: &str = "the node's disk is full, ";
/// Clients say so when the engine goes away.
const CUT: [&str; 6] = [
    "cannot connect to the docker daemon",
    "connection refused",
    "connection reset",
    "context canceled",
    "transport is closing",
    "eof",
];
/// How often the engine is asked then.
const CUT_LOOKS: u32 = 12;

/// Measures the disks while an attempt works. Has the node free some when there is too little, and returns when so little is
/// left that the attempt has to end: what fills a disk would take all other workspaces of the node along.
pub async fn disk_runs_out(cx: &Context<'_>) -> Failure {
    let needed = cx.node.min_free_disk_bytes;
    let mut was_low = false;
    loop {
        if let Some(free) = cx.disks.look() {
            if free < needed / LAST_PART {
                let current = cx.recorder.current();
                let doing = current.description.as_deref().unwrap_or("prepared it");
                let message = format!(
                    "{FULL_DISK}{} MiB were free at {}: the attempt was ended while hearth {doing}",
                    free >> 20,
                    cx.node.data_root.display()
                );
                return Failure {
                    output_tail: current.tail,
                    ..failure(FailureReason::DiskFull, current.step, message)
                };
            }
            if free < needed && !was_low {
                cx.node.disk.wake();
            }
            was_low = free < needed;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The failure with its real reason.
pub async fn diagnosed(cx: &Context<'_>, failure: Failure) -> Failure {
    use FailureReason as Reason;
    let reason = failure.reason();
    // These have no other cause.
    if matches!(
        reason,
        Reason::Replaced | Reason::AgentRestarted | Reason::RefNotFound | Reason::ConfigNotFound
    ) {
        return failure;
    }
    if failure.message.starts_with(FULL_DISK) {
        return failure;
    }
    let failure = match of_full_disk(&cx.disks, failure) {
        full if full.reason() == Reason::DiskFull => return full,
        failure => failure,
    };
    let texts = [&failure.message, &failure.output_tail];
    let may_be_engine = matches!(
        reason,
        Reason::BuildFailed | Reason::ContainerFailed | Reason::HookFailed | Reason::TimedOut
    );
    if may_be_engine && let Some(problem) = engine_problem(cx, &texts).await {
        return Failure {
            reason: Reason::EngineFailed.into(),
            message: format!("{problem}: {}", failure.message),
            ..failure
        };
    }
    failure
}

/// The failure, of a full disk if one was full.
pub fn of_full_disk(disks: &Disks, failure: Failure) -> Failure {
    let texts = [&failure.message, &failure.output_tail];
    let says_so = failure.reason() == FailureReason::DiskFull
        || texts.iter().any(|text| tells_no_space(text));
    match disks.full(says_so) {
        Some(place) => Failure {
            reason: FailureReason::DiskFull.into(),
            message: format!("{FULL_DISK}{place}: {}", failure.message),
            ..failure
        },
        None => failure,
    }
}

/// Why the engine cannot be used. One that is being stopped cuts its connections first, and answers for a moment longer.
async fn engine_problem(cx: &Context<'_>, texts: &[&String]) -> Option<String> {
    let is_cut = texts.iter().any(|text| contains_any(text, &CUT));
    let looks = if is_cut { CUT_LOOKS } else { 1 };
    for look in 0..looks {
        if look > 0 {
            tokio::time::sleep(LOOK).await;
        }
        let problem = cx.node.engine.check(cx.externals.engine.as_ref()).await;
        if problem.is_some() {
            return problem;
        }
    }
    None
}

fn contains_any(text: &str, words: &[&str]) -> bool {
    let text = text.to_lowercase();
    words.iter().any(|words| text.contains(words))
}

fn tells_no_space(text: &str) -> bool {
    contains_any(text, &NO_SPACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_and_commands_say_that_there_is_no_space() {
        for text in [
            "write /var/lib/docker/x: no space left on device",
            "cp: error writing '/x': No space left on device",
            "Disk quota exceeded",
        ] {
            assert!(tells_no_space(text), "{text}");
        }
        assert!(!tells_no_space("space left: none of your business"));
    }
}
