//! Of a Docker Compose project: each of the images that it builds, with the name of its service.

use hearth_api::v1::{CacheReport, CacheResult, ServiceReport};
use hearth_domain::text::printable_line;

use super::sentences::{UNUSED, sentence_of};
use crate::store::Lookup;

/// The sentences about each image, in one that begins with the service's name. `asked_for` has those of one.
pub(super) fn asked(
    lookups: &[Lookup],
    report: Option<&CacheReport>,
    asked_for: impl Fn(&Lookup, Option<&CacheReport>, CacheResult) -> Vec<String>,
) -> Vec<String> {
    let told = lookups.iter().map(|lookup| {
        let of = report.and_then(|report| report_of(lookup, report));
        let name = name_of(lookup, of);
        let own = report.map(|report| CacheReport {
            reasons: about(&name, report),
            ..CacheReport::default()
        });
        let result = of.map(ServiceReport::result).unwrap_or_default();
        let mut sentences = asked_for(lookup, own.as_ref(), result);
        if let Some(first) = sentences.first_mut() {
            *first = format!("{name}: {first}");
        }
        sentences
    });
    let mut sentences: Vec<String> = told.flatten().collect();
    sentences.extend(report.into_iter().flat_map(left_to_compose));
    sentences
}

fn report_of<'a>(lookup: &Lookup, report: &'a CacheReport) -> Option<&'a ServiceReport> {
    let is_meant = |of: &&ServiceReport| match &lookup.service {
        Some(service) => of.service == service.as_str(),
        None => of.devcontainer,
    };
    report.services.iter().find(is_meant)
}

fn name_of(lookup: &Lookup, report: Option<&ServiceReport>) -> String {
    match (&lookup.service, report) {
        (Some(service), _) => service.to_string(),
        (None, Some(report)) => printable_line(&report.service),
        (None, None) => "The devcontainer's own service".to_owned(),
    }
}

/// The reasons that begin with the name, without it.
fn about(name: &str, report: &CacheReport) -> Vec<String> {
    let reasons = report.reasons.iter();
    let about = reasons.filter_map(|reason| reason.strip_prefix(name)?.strip_prefix(": "));
    about.map(str::to_owned).collect()
}

/// Why images are built without the cache being asked.
fn left_to_compose(report: &CacheReport) -> impl Iterator<Item = String> {
    let left = report
        .services
        .iter()
        .filter(|of| of.result() == CacheResult::Unspecified || of.key.is_empty());
    left.flat_map(|of| {
        let reasons = about(&of.service, report);
        let told = reasons.iter().find(|reason| !reason.starts_with(UNUSED));
        told.map(|reason| sentence_of(&format!("{}: {reason}", of.service)))
    })
}
