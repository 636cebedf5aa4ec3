//! One result of the cache for all images of a project.

use hearth_api::v1::{CacheReport, CacheResult, CacheSkipReason, ServiceReport};

use crate::pipeline::image::skipped;

/// What became of the image of a service.
pub struct Outcome {
    /// The service.
    pub service: String,
    /// It is the devcontainer's own.
    pub is_own: bool,
    /// What is known of its image; `None`: Compose builds it.
    pub report: Option<CacheReport>,
    /// Why.
    pub reasons: Vec<String>,
}

/// The report of all, which took so long; `bytes` were fetched of images that are only named.
pub fn sum(mut outcomes: Vec<Outcome>, bytes: u64, seconds: f64) -> CacheReport {
    outcomes.sort_by_key(|outcome| (!outcome.is_own, outcome.service.clone()));
    let reports = || outcomes.iter().map(|outcome| outcome.report.as_ref());
    let reasons = outcomes.iter().flat_map(|outcome| {
        let of = outcome.report.iter().flat_map(|report| &report.reasons);
        let all = of.chain(&outcome.reasons);
        all.map(|reason| format!("{}: {reason}", outcome.service))
    });
    let reasons: Vec<String> = reasons.collect();
    let services = outcomes.iter().map(|outcome| {
        let report = outcome.report.clone().unwrap_or_default();
        ServiceReport {
            service: outcome.service.clone(),
            devcontainer: outcome.is_own,
            result: report.result,
            key: report.key,
            image_digest: report.image_digest,
        }
    });
    let services: Vec<ServiceReport> = services.collect();
    let own = outcomes.iter().find(|outcome| outcome.is_own);
    let own = own.and_then(|own| own.report.clone()).unwrap_or_default();
    let total = |number: fn(&CacheReport) -> u64| reports().flatten().map(number).sum::<u64>();
    let steps = |number: fn(&CacheReport) -> u32| reports().flatten().map(number).sum::<u32>();
    let result = result(&reports().collect::<Vec<_>>());
    let report = CacheReport {
        reasons,
        steps_total: steps(|report| report.steps_total),
        steps_reused: steps(|report| report.steps_reused),
        bytes_fetched: total(|report| report.bytes_fetched) + bytes,
        bytes_from_neighbours: total(|report| report.bytes_from_neighbours),
        bytes_from_mirror: total(|report| report.bytes_from_mirror),
        seconds,
        key: own.key,
        image_digest: own.image_digest,
        services,
        ..CacheReport::default()
    };
    match result {
        Ok(result) => CacheReport {
            result: result.into(),
            ..report
        },
        Err(reason) => CacheReport {
            reasons: match outcomes.is_empty() {
                true => vec!["the project builds no image".to_owned()],
                false => report.reasons,
            },
            result: skipped(reason).result,
            skip_reason: reason.into(),
            ..report
        },
    }
}

/// The result of all, or why the cache was used for none.
fn result(reports: &[Option<&CacheReport>]) -> Result<CacheResult, CacheSkipReason> {
    let known: Vec<&CacheReport> = reports.iter().copied().flatten().collect();
    if reports.is_empty() {
        return Err(CacheSkipReason::NotEligible);
    }
    let is = |result| move |report: &&CacheReport| report.result() == result;
    if let Some(first) = known.first()
        && known.len() == reports.len()
    {
        let reason = first.skip_reason();
        let is_skipped = |report: &&CacheReport| {
            report.result() == CacheResult::Skipped && report.skip_reason() == reason
        };
        if known.iter().all(is_skipped) {
            return Err(reason);
        }
        if known.iter().all(is(CacheResult::Exact)) {
            return Ok(CacheResult::Exact);
        }
    }
    let helped = known
        .iter()
        .any(|report| report.result() == CacheResult::Exact || report.steps_reused > 0);
    Ok(match helped {
        true => CacheResult::Partial,
        false => CacheResult::Miss,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(service: &str, result: CacheResult, steps: (u32, u32)) -> Outcome {
        Outcome {
            service: service.to_owned(),
            is_own: service == "app",
            report: Some(CacheReport {
                result: result.into(),
                steps_reused: steps.0,
                steps_total: steps.1,
                bytes_fetched: 1,
                key: format!("key of {service}"),
                reasons: vec!["why".to_owned()],
                ..CacheReport::default()
            }),
            reasons: Vec::new(),
        }
    }

    fn of(outcomes: Vec<Outcome>) -> CacheReport {
        sum(outcomes, 10, 2.5)
    }

    #[test]
    fn a_hit_is_exact_only_if_nothing_was_built() {
        use CacheResult::{Exact, Miss, Partial};
        let exact = |name| outcome(name, Exact, (0, 0));
        assert_eq!(of(vec![exact("api"), exact("app")]).result(), Exact);
        let one_built = of(vec![exact("app"), outcome("api", Miss, (0, 3))]);
        assert_eq!(one_built.result(), Partial);
        let steps = (one_built.steps_reused, one_built.steps_total);
        assert_eq!((steps, one_built.bytes_fetched), ((0, 3), 12));
        let built = of(vec![
            outcome("app", Partial, (2, 5)),
            outcome("api", Miss, (0, 3)),
        ]);
        assert_eq!(
            (built.result(), built.steps_reused, built.steps_total),
            (Partial, 2, 8)
        );
        let nothing = vec![outcome("app", Miss, (0, 5)), outcome("api", Miss, (0, 3))];
        assert_eq!(of(nothing).result(), Miss);
        let by_compose = Outcome {
            report: None,
            reasons: vec!["it is elsewhere".to_owned()],
            ..exact("web")
        };
        let sum = of(vec![exact("app"), by_compose]);
        assert_eq!(sum.result(), Partial);
        assert_eq!(sum.reasons, ["app: why", "web: it is elsewhere"]);
        assert_eq!(sum.services[1].result(), CacheResult::Unspecified);
    }

    #[test]
    fn the_devcontainers_own_image_is_first_and_is_the_one_that_runs() {
        let sum = of(vec![
            outcome("api", CacheResult::Exact, (0, 0)),
            outcome("app", CacheResult::Exact, (0, 0)),
        ]);
        assert_eq!(sum.key, "key of app");
        let names: Vec<_> = sum.services.iter().map(|of| &*of.service).collect();
        assert_eq!(names, ["app", "api"]);
        assert!(sum.services[0].devcontainer && !sum.services[1].devcontainer);
    }

    #[test]
    fn a_cache_that_is_used_for_none_is_skipped_for_their_reason() {
        let mut one = outcome("app", CacheResult::Skipped, (0, 3));
        if let Some(report) = &mut one.report {
            report.skip_reason = CacheSkipReason::Off.into();
        }
        assert_eq!(of(vec![one]).skip_reason(), CacheSkipReason::Off);
        let none = of(Vec::new());
        assert_eq!(none.skip_reason(), CacheSkipReason::NotEligible);
        assert_eq!(none.reasons, ["the project builds no image"]);
    }
}
