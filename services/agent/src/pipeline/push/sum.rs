//! One outcome of several pushes.

use hearth_api::v1::{PushOutcome, PushReport};

use super::plan::report;

/// Most characters of the message.
const MAX_MESSAGE: usize = 2000;

/// The worst outcome first: what a user can do something about, then what was pushed.
const ORDER: [PushOutcome; 13] = [
    PushOutcome::Failed,
    PushOutcome::LoginFailed,
    PushOutcome::Denied,
    PushOutcome::TimedOut,
    PushOutcome::Interrupted,
    PushOutcome::Pushed,
    PushOutcome::SkippedNoKey,
    PushOutcome::SkippedReadOnly,
    PushOutcome::SkippedOff,
    PushOutcome::SkippedFallback,
    PushOutcome::SkippedLightweight,
    PushOutcome::Unchanged,
    PushOutcome::SkippedNotEligible,
];

/// The report of all. The digest is that of the first image with the outcome, and the message names the services.
pub(super) fn of(reports: Vec<(String, PushReport)>) -> PushReport {
    let has = |outcome: &PushOutcome| {
        let mut reports = reports.iter();
        reports.any(|(_, report)| report.outcome() == *outcome)
    };
    let Some(outcome) = ORDER.into_iter().find(has) else {
        return report(PushOutcome::SkippedNotEligible, "nothing is built");
    };
    let those = || {
        let reports = reports.iter();
        reports.filter(|(_, report)| report.outcome() == outcome)
    };
    let messages = those().map(|(service, report)| format!("{service}: {}", report.message));
    let message = messages.collect::<Vec<_>>().join("; ");
    let digest = those().find(|(_, report)| !report.digest.is_empty());
    PushReport {
        digest: digest.map_or_else(String::new, |(_, report)| report.digest.clone()),
        bytes: reports.iter().map(|(_, report)| report.bytes).sum(),
        seconds: reports.iter().map(|(_, report)| report.seconds).sum(),
        ..report(
            outcome,
            hearth_domain::text::shortened(&message, MAX_MESSAGE),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(service: &str, outcome: PushOutcome, digest: &str) -> (String, PushReport) {
        let report = PushReport {
            digest: digest.to_owned(),
            bytes: 2,
            seconds: 1.5,
            ..report(outcome, "m")
        };
        (service.to_owned(), report)
    }

    #[test]
    fn what_went_wrong_is_told_before_what_was_pushed() {
        let unchanged = || one("app", PushOutcome::Unchanged, "a");
        let pushed = || one("api", PushOutcome::Pushed, "b");
        let sum = of(vec![unchanged(), pushed()]);
        assert_eq!(sum.outcome(), PushOutcome::Pushed);
        assert_eq!((sum.digest.as_str(), sum.message.as_str()), ("b", "api: m"));
        assert_eq!((sum.bytes, sum.seconds), (4, 3.0));
        let failed = [
            one("db", PushOutcome::Failed, ""),
            one("web", PushOutcome::Failed, ""),
        ];
        let sum = of(failed.into_iter().chain([pushed()]).collect());
        assert_eq!(sum.outcome(), PushOutcome::Failed);
        assert_eq!(sum.message, "db: m; web: m");
        assert_eq!(of(Vec::new()).outcome(), PushOutcome::SkippedNotEligible);
    }

    #[test]
    fn each_outcome_has_its_place() {
        for number in 1..=13 {
            let outcome = PushOutcome::try_from(number).unwrap();
            assert!(ORDER.contains(&outcome), "{outcome:?}");
        }
        assert!(PushOutcome::try_from(14).is_err());
    }
}
