use std::{env, fs, path::Path};

use hearth_domain::{AttemptRef, Digest, KeyManifest, Platform};

use super::*;
use crate::store::Place;

fn digest(letter: char) -> String {
    format!("sha256:{}", letter.to_string().repeat(64))
}

fn manifest() -> KeyManifest {
    let mut manifest = KeyManifest::default();
    manifest.insert(Input::Dockerfile, ".devcontainer/Dockerfile", "a");
    manifest.insert(Input::BaseImage, "docker.io/library/node:22", digest('a'));
    manifest.insert(
        Input::Feature,
        "ghcr.io/devcontainers/features/go:1",
        digest('b'),
    );
    manifest.insert(Input::BuildArg, "VARIANT", "3.12");
    manifest.insert(Input::File, "package-lock.json", "a");
    manifest.insert(Input::Platform, "platform", "linux/amd64");
    manifest.insert(Input::Tool, "devcontainer", "0.80.0");
    manifest
}

fn entry() -> Entry {
    Entry {
        place: place(&manifest()),
        digest: Digest::of("image"),
        manifest: Some(manifest().into()),
        source: None,
        config: None,
        platform: platform(),
        commit: Some(
            "0123456789abcdef0123456789abcdef01234567"
                .parse()
                .expect("a hash"),
        ),
        git_ref: "main".parse().expect("a ref"),
        writer: "w".into(),
        bytes: 900_000_000,
        build_seconds: 40.0,
        created: None,
        last_used: None,
    }
}

fn place(manifest: &KeyManifest) -> Place {
    Place {
        repository: "ghcr.io/acme/shop".parse().expect("a repository"),
        key: manifest.key(),
    }
}

fn platform() -> Platform {
    "linux/amd64".parse().expect("a platform")
}

fn lookup(decided: Decided, entry: Option<Entry>, manifest: &KeyManifest) -> Lookup {
    Lookup {
        attempt: AttemptRef {
            workspace: "w".parse().expect("an id"),
            number: 1,
        },
        place: place(manifest),
        git_ref: "main".parse().expect("a ref"),
        config: None,
        platform: platform(),
        manifest: Some(manifest.clone().into()),
        decided,
        entry,
        rate: Some(5e6),
    }
}

fn missed(change: impl FnOnce(&mut KeyManifest)) -> Lookup {
    let mut manifest = manifest();
    change(&mut manifest);
    lookup(Decided::Build, Some(entry()), &manifest)
}

fn report(result: CacheResult, skip_reason: CacheSkipReason) -> CacheReport {
    CacheReport {
        result: result.into(),
        skip_reason: skip_reason.into(),
        steps_total: 12,
        steps_reused: 9,
        ..CacheReport::default()
    }
}

/// One case: its name, what was asked, what came of it.
type Case = (&'static str, Option<Lookup>, Option<CacheReport>);

fn cases() -> Vec<Case> {
    let built = || Some(report(CacheResult::Miss, CacheSkipReason::Unspecified));
    let skipped = |reason| Some(report(CacheResult::Skipped, reason));
    vec![
        (
            "hit",
            Some(lookup(Decided::Hit, Some(entry()), &manifest())),
            Some(report(CacheResult::Exact, CacheSkipReason::Unspecified)),
        ),
        (
            "nothing-yet",
            Some(lookup(Decided::Build, None, &manifest())),
            built(),
        ),
        (
            "file-and-dockerfile",
            Some(missed(|manifest| {
                manifest.insert(Input::Dockerfile, ".devcontainer/Dockerfile", "b");
                manifest.insert(Input::File, "package-lock.json", "b");
                manifest.insert(Input::File, "tools/install.sh", "c");
            })),
            Some(report(CacheResult::Partial, CacheSkipReason::Unspecified)),
        ),
        (
            "base-image",
            Some(missed(|manifest| {
                manifest.insert(Input::BaseImage, "docker.io/library/node:22", digest('c'));
            })),
            built(),
        ),
        (
            "feature",
            Some(missed(|manifest| {
                let go = "ghcr.io/devcontainers/features/go:1";
                manifest.insert(Input::Feature, go, digest('d'));
            })),
            built(),
        ),
        (
            "build-argument",
            Some(missed(|manifest| {
                manifest.insert(Input::BuildArg, "VARIANT", "3.13");
            })),
            built(),
        ),
        (
            "tool-and-platform",
            Some(missed(|manifest| {
                manifest.insert(Input::Tool, "devcontainer", "0.81.0");
                manifest.insert(Input::Platform, "platform", "linux/arm64");
            })),
            built(),
        ),
        (
            "registry-lost-the-image",
            Some(lookup(Decided::Hit, Some(entry()), &manifest())),
            built(),
        ),
        (
            "fetching-is-slower",
            Some(lookup(Decided::Slower, Some(entry()), &manifest())),
            skipped(CacheSkipReason::Slower),
        ),
        ("off", None, skipped(CacheSkipReason::Off)),
        ("lightweight", None, skipped(CacheSkipReason::Lightweight)),
        ("compose", None, skipped(CacheSkipReason::Compose)),
        ("not-eligible", None, skipped(CacheSkipReason::NotEligible)),
    ]
}

/// `UPDATE_SNAPSHOTS=1` writes the files anew.
#[test]
fn each_case_is_explained_as_it_was_agreed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain");
    let update = env::var_os("UPDATE_SNAPSHOTS").is_some();
    for (name, lookup, report) in cases() {
        let text = explain(lookup.as_ref(), report.as_ref())
            .expect("an explanation")
            .text;
        let path = folder.join(format!("{name}.txt"));
        if update {
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(&path, format!("{text}\n")).expect("a file");
        }
        let agreed = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(agreed.trim_end(), text, "{name}");
    }
}

#[test]
fn nothing_is_explained_before_the_key_is_known() {
    assert_eq!(explain(None, None), None);
}

#[test]
fn changes_carry_both_values() {
    let lookup = missed(|manifest| manifest.insert(Input::BuildArg, "VARIANT", "3.13"));
    let changes = explain(Some(&lookup), None).expect("one").changes;
    assert_eq!(
        changes,
        [InputChange {
            kind: InputKind::BuildArg.into(),
            name: "VARIANT".into(),
            before: "3.12".into(),
            after: "3.13".into(),
        }]
    );
}

#[test]
fn many_changes_are_counted() {
    let lookup = missed(|manifest| {
        for number in 0..9 {
            manifest.insert(Input::File, format!("f{number}"), "1");
        }
    });
    let reasons = reasons(&lookup);
    assert_eq!(reasons.len(), 1 + MAX_CHANGES + 1);
    assert_eq!(reasons.last().map(String::as_str), Some("And 4 more."));
}

#[test]
fn without_a_manifest_it_is_only_said_that_something_differs() {
    let mut lookup = missed(|_| {});
    lookup.manifest = None;
    let reasons = reasons(&lookup);
    assert_eq!(reasons.len(), 1);
    assert!(reasons[0].starts_with("There is no image for exactly these inputs"));
}
