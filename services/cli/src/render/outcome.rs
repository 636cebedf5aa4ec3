//! Sentences about the cache's result and the outcome of the push.

use hearth_api::v1::{CacheReport, CacheResult, PushOutcome, PushReport};
use hearth_domain::text::printable_line;

use super::{
    format::{bytes, seconds},
    names,
};

/// A headline, then one line for each reason.
pub(crate) fn cache(report: &CacheReport) -> Vec<String> {
    let reasons = report.reasons.iter().map(|reason| printable_line(reason));
    let (total, reused) = (report.steps_total, report.steps_reused);
    let took = seconds(report.seconds);
    let headline = match report.result() {
        CacheResult::Exact if report.bytes_fetched == 0 => {
            "exact hit: nothing had to be fetched, nothing was built".to_owned()
        }
        CacheResult::Exact => {
            let near = [
                (report.bytes_from_neighbours, "other nodes"),
                (report.bytes_from_mirror, "a mirror"),
            ];
            let near = near.into_iter().filter(|(count, _)| *count > 0);
            let near = near.map(|(count, whom)| format!(", {} of it from {whom}", bytes(count)));
            format!(
                "exact hit: fetched {} in {took}{}, nothing was built",
                bytes(report.bytes_fetched),
                near.collect::<String>()
            )
        }
        CacheResult::Partial => {
            format!("partial hit: {reused} of {total} steps reused, built in {took}")
        }
        CacheResult::Miss if total == 1 => format!("miss: the only step built in {took}"),
        CacheResult::Miss => format!("miss: all {total} steps built in {took}"),
        CacheResult::Skipped => format!("skipped: {}", names::skip_reason(report.skip_reason)),
        CacheResult::Unspecified => "not known yet".to_owned(),
    };
    [headline].into_iter().chain(reasons).collect()
}

/// The cache's result in a word, for a table.
pub(crate) fn cache_word(report: Option<&CacheReport>) -> String {
    let Some(report) = report else {
        return "-".to_owned();
    };
    match report.result() {
        CacheResult::Exact => "exact".to_owned(),
        CacheResult::Partial => format!("{}/{}", report.steps_reused, report.steps_total),
        CacheResult::Miss => "miss".to_owned(),
        CacheResult::Skipped => "skipped".to_owned(),
        CacheResult::Unspecified => "-".to_owned(),
    }
}

/// The outcome, and the report's message after it.
pub(crate) fn push(report: &PushReport) -> String {
    let headline = match report.outcome() {
        PushOutcome::Pushed => format!(
            "pushed in {}, {} in the registry",
            seconds(report.seconds),
            bytes(report.bytes)
        ),
        PushOutcome::Unspecified => "not known yet".to_owned(),
        PushOutcome::Unchanged
        | PushOutcome::Denied
        | PushOutcome::LoginFailed
        | PushOutcome::TimedOut
        | PushOutcome::Interrupted
        | PushOutcome::Failed
        | PushOutcome::SkippedReadOnly
        | PushOutcome::SkippedFallback
        | PushOutcome::SkippedLightweight
        | PushOutcome::SkippedNotEligible
        | PushOutcome::SkippedOff
        | PushOutcome::SkippedNoKey => names::push_outcome(report.outcome),
    };
    match printable_line(&report.message) {
        message if message.is_empty() => headline,
        message => format!("{headline}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::CacheSkipReason;

    use super::*;

    fn report(result: CacheResult) -> CacheReport {
        CacheReport {
            result: result.into(),
            steps_total: 10,
            steps_reused: 7,
            bytes_fetched: 52_000_000,
            seconds: 3.1,
            ..Default::default()
        }
    }

    #[test]
    fn every_cache_result_has_its_sentence() {
        assert_eq!(
            cache(&report(CacheResult::Exact)),
            ["exact hit: fetched 52 MB in 3.1 s, nothing was built"]
        );
        assert_eq!(
            cache(&CacheReport {
                bytes_fetched: 0,
                ..report(CacheResult::Exact)
            }),
            ["exact hit: nothing had to be fetched, nothing was built"]
        );
        assert_eq!(
            cache(&CacheReport {
                bytes_from_neighbours: 40_000_000,
                bytes_from_mirror: 12_000_000,
                ..report(CacheResult::Exact)
            }),
            [
                "exact hit: fetched 52 MB in 3.1 s, 40 MB of it from other nodes, 12 MB of it from a mirror, nothing was built"
            ]
        );
        assert_eq!(
            cache(&CacheReport {
                reasons: vec!["`Dockerfile` changed".into()],
                ..report(CacheResult::Partial)
            }),
            [
                "partial hit: 7 of 10 steps reused, built in 3.1 s",
                "`Dockerfile` changed"
            ]
        );
        assert_eq!(
            cache(&CacheReport {
                reasons: vec!["first \u{1b}[1mbuild".into(), "second".into()],
                ..report(CacheResult::Miss)
            }),
            ["miss: all 10 steps built in 3.1 s", "first build", "second"]
        );
        assert_eq!(
            cache(&CacheReport {
                steps_total: 1,
                ..report(CacheResult::Miss)
            }),
            ["miss: the only step built in 3.1 s"]
        );
        assert_eq!(
            cache(&CacheReport {
                skip_reason: CacheSkipReason::Lightweight.into(),
                ..report(CacheResult::Skipped)
            }),
            ["skipped: lightweight"]
        );
    }

    #[test]
    fn a_push_says_its_outcome_and_what_to_do() {
        assert_eq!(
            push(&PushReport {
                outcome: PushOutcome::Pushed.into(),
                bytes: 1_200_000_000,
                seconds: 61.0,
                ..Default::default()
            }),
            "pushed in 61.0 s, 1.2 GB in the registry"
        );
        assert_eq!(
            push(&PushReport {
                outcome: PushOutcome::Denied.into(),
                message: "grant packages:write\n".into(),
                ..Default::default()
            }),
            "denied: grant packages:write"
        );
    }
}
