//! Checked entries of the cache as text.

use hearth_api::v1::{AccessCheckStatus, EntryCheck, EntryCheckKind, VerifiedEntry};
use hearth_domain::text::printable_line;

use super::{
    cache::config_of,
    cache::key_digits,
    names,
    table::{Room, fitted},
};

/// What is checked of each entry, in the order of the columns.
const CHECKS: [EntryCheckKind; 6] = [
    EntryCheckKind::Image,
    EntryCheckKind::Annotations,
    EntryCheckKind::Platform,
    EntryCheckKind::Signature,
    EntryCheckKind::Cosign,
    EntryCheckKind::Attestation,
];

/// Whether a check of the entry has failed.
pub(crate) fn is_wrong(entry: &VerifiedEntry) -> bool {
    let mut checks = entry.checks.iter();
    checks.any(|check| check.status() == AccessCheckStatus::Failed)
}

/// `hearth cache verify`
pub(crate) fn entries(entries: &[VerifiedEntry]) -> String {
    let rows = entries.iter().map(|verified| {
        let [image, annotations, platform, signature, cosign, attestation] =
            CHECKS.map(|kind| status(verified, kind));
        let config = verified.entry.as_ref().map(config_of);
        [
            key(verified),
            config.unwrap_or_default(),
            image,
            annotations,
            platform,
            signature,
            cosign,
            attestation,
        ]
    });
    let head = [
        "KEY",
        "CONFIG",
        "IMAGE",
        "ANNOTATIONS",
        "PLATFORM",
        "SIGNATURE",
        "COSIGN",
        "ATTESTATION",
    ];
    let mut text = fitted(head, rows, &[1], Room::Fitted);
    for entry in entries {
        let telling = entry.checks.iter().filter(|check| !is_ok(check));
        for check in telling {
            text.push_str(&format!(
                "{} {}: {}\n",
                key(entry),
                names::entry_check(check.kind),
                printable_line(&check.message)
            ));
        }
    }
    let wrong = entries.iter().filter(|entry| is_wrong(entry)).count();
    text.push_str(&match (entries.len(), wrong) {
        (0, _) => "\nNothing is in the cache for this repository.\n".to_owned(),
        (all, 0) => format!("\nNothing is wrong; entries checked: {all}.\n"),
        (all, wrong) => format!("\nSomething is wrong with {wrong} of {all}.\n"),
    });
    text
}

fn is_ok(check: &EntryCheck) -> bool {
    check.status() == AccessCheckStatus::Ok
}

fn key(verified: &VerifiedEntry) -> String {
    let entry = verified.entry.as_ref();
    entry.map_or_else(String::new, |entry| key_digits(&entry.key))
}

fn status(verified: &VerifiedEntry, kind: EntryCheckKind) -> String {
    let check = verified.checks.iter().find(|check| check.kind() == kind);
    check.map_or_else(String::new, |check| names::access_status(check.status))
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::CacheEntry;

    use super::*;

    #[test]
    fn entries_have_a_line_each_and_what_is_wrong_is_said() {
        let check = |kind: EntryCheckKind, status: AccessCheckStatus, message: &str| EntryCheck {
            kind: kind.into(),
            status: status.into(),
            message: message.to_owned(),
        };
        let verified = |key: &str, of_cosign: EntryCheck| VerifiedEntry {
            entry: Some(CacheEntry {
                key: format!("k1:{}", key.repeat(64)),
                config: "gpu".to_owned(),
                ..CacheEntry::default()
            }),
            checks: CHECKS
                .map(|kind| match kind {
                    EntryCheckKind::Cosign => of_cosign.clone(),
                    kind => check(kind, AccessCheckStatus::Ok, "x"),
                })
                .into(),
        };
        let good = verified(
            "a",
            check(EntryCheckKind::Cosign, AccessCheckStatus::Ok, "x"),
        );
        let bad = check(
            EntryCheckKind::Cosign,
            AccessCheckStatus::Failed,
            "it is\ngone",
        );
        let bad = verified("b", bad);
        assert!(is_wrong(&bad) && !is_wrong(&good));
        assert_eq!(
            entries(&[good.clone(), bad]),
            "\
KEY           CONFIG  IMAGE  ANNOTATIONS  PLATFORM  SIGNATURE  COSIGN  ATTESTATION
aaaaaaaaaaaa  gpu     OK     OK           OK        OK         OK      OK
bbbbbbbbbbbb  gpu     OK     OK           OK        OK         FAILED  OK
bbbbbbbbbbbb cosign: it is gone

Something is wrong with 1 of 2.
"
        );
        assert!(entries(&[good]).ends_with("\nNothing is wrong; entries checked: 1.\n"));
        assert!(entries(&[]).ends_with("Nothing is in the cache for this repository.\n"));
    }
}
