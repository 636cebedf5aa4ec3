use std::{env, fs, path::Path};

use hearth_api::v1::{Failure, ServiceReport};
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
        service: None,
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
        signature: None,
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
        service: None,
        platform: platform(),
        manifest: Some(manifest.clone().into()),
        decided,
        entry,
        rate: Some(5e6),
        finding: String::new(),
    }
}

fn missed(change: impl FnOnce(&mut KeyManifest)) -> Lookup {
    let mut manifest = manifest();
    change(&mut manifest);
    lookup(Decided::Build, Some(entry()), &manifest)
}

fn report(result: CacheResult, skip_reason: CacheSkipReason) -> Workspace {
    Workspace {
        state: WorkspaceState::Ready.into(),
        cache: Some(CacheReport {
            result: result.into(),
            skip_reason: skip_reason.into(),
            steps_total: 12,
            steps_reused: 9,
            image_digest: digest('e'),
            ..CacheReport::default()
        }),
        ..Workspace::default()
    }
}

/// A workspace that did not become what was asked for.
fn spoilt(state: WorkspaceState, message: &str, workspace: Workspace) -> Option<Workspace> {
    Some(Workspace {
        state: state.into(),
        failure: Some(Failure {
            message: message.into(),
            ..Failure::default()
        }),
        ..workspace
    })
}

/// A report with a reason of the agent.
fn because(reason: &str, mut workspace: Workspace) -> Option<Workspace> {
    let report = workspace.cache.get_or_insert_default();
    report.reasons.push(reason.into());
    Some(workspace)
}

/// One case: its name, what was asked, what came of it.
type Case = (&'static str, Option<Lookup>, Option<Workspace>);

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
            "not-signed",
            Some(lookup(Decided::Hit, Some(entry()), &manifest())),
            because(
                "the image for this key is not used: its entry is not signed, and this node uses none that is not",
                report(CacheResult::Miss, CacheSkipReason::Unspecified),
            ),
        ),
        (
            "fetching-is-slower",
            Some(lookup(Decided::Slower, Some(entry()), &manifest())),
            skipped(CacheSkipReason::Slower),
        ),
        ("off", None, skipped(CacheSkipReason::Off)),
        ("lightweight", None, skipped(CacheSkipReason::Lightweight)),
        ("compose", None, skipped(CacheSkipReason::Compose)),
        (
            "image-used-as-it-is",
            None,
            because(
                "the image docker.io/library/debian:12 is used as it is: there is nothing to build",
                report(CacheResult::Skipped, CacheSkipReason::NotEligible),
            ),
        ),
        (
            "no-devcontainer",
            None,
            skipped(CacheSkipReason::NoDevcontainer),
        ),
        (
            "no-key",
            None,
            because(
                "the build argument X cannot be part of a cache key",
                report(CacheResult::Miss, CacheSkipReason::Unspecified),
            ),
        ),
        (
            "local-feature",
            Some({
                let mut before = manifest();
                before.insert(Input::Feature, "./hello", "a");
                let mut lookup = missed(|manifest| {
                    manifest.insert(Input::Feature, "./hello", "b");
                });
                lookup.entry.as_mut().expect("an entry").manifest = Some(before.into());
                lookup
            }),
            built(),
        ),
        (
            "failed-before-the-key",
            None,
            spoilt(
                WorkspaceState::Failed,
                "the repository could not be cloned: not found",
                Workspace::default(),
            ),
        ),
        (
            "fallback",
            Some(missed(|manifest| {
                manifest.insert(Input::File, "package-lock.json", "b");
            })),
            spoilt(
                WorkspaceState::Recovery,
                "the image cannot be built: [2/3] RUN make: exit code 2",
                report(CacheResult::Skipped, CacheSkipReason::Fallback),
            ),
        ),
        (
            "hook-failed",
            Some(lookup(Decided::Hit, Some(entry()), &manifest())),
            spoilt(
                WorkspaceState::Recovery,
                "postCreateCommand failed with exit code 1",
                report(CacheResult::Exact, CacheSkipReason::Unspecified),
            ),
        ),
        ("not-eligible", None, skipped(CacheSkipReason::NotEligible)),
    ]
}

/// `UPDATE_SNAPSHOTS=1` writes the files anew.
#[test]
fn each_case_is_explained_as_it_was_agreed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain");
    let update = env::var_os("UPDATE_SNAPSHOTS").is_some();
    for (name, lookup, report) in cases() {
        let text = explain(lookup.as_slice(), report.as_ref())
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
    assert_eq!(explain(&[], None), None);
}

#[test]
fn an_attempt_that_goes_on_is_not_explained_before_its_key_is_known() {
    let preparing = Workspace {
        state: WorkspaceState::Preparing.into(),
        ..Workspace::default()
    };
    assert_eq!(explain(&[], Some(&preparing)), None);
}

#[test]
fn a_key_stands_beside_its_own_image_and_not_the_one_it_is_compared_with() {
    let lookup = missed(|manifest| manifest.insert(Input::File, "a", "1"));
    let image = |workspace: Option<&Workspace>| {
        let explanation = explain(std::slice::from_ref(&lookup), workspace).expect("one");
        let entry = explanation.entry.expect("an entry");
        assert_ne!(
            (&explanation.key, &explanation.image_digest),
            (&entry.key, &entry.digest)
        );
        explanation.image_digest
    };
    let mut built = report(CacheResult::Miss, CacheSkipReason::Unspecified);
    assert_eq!(image(Some(&built)), digest('e'));
    built.push.get_or_insert_default().digest = digest('f');
    assert_eq!(image(Some(&built)), digest('f'));
    assert_eq!(image(None), "");
    let hit = explain(
        &[self::lookup(Decided::Hit, Some(entry()), &manifest())],
        None,
    );
    assert_eq!(
        hit.expect("one").image_digest,
        Digest::of("image").to_string()
    );
}

#[test]
fn changes_carry_both_values() {
    let lookup = missed(|manifest| manifest.insert(Input::BuildArg, "VARIANT", "3.13"));
    let changes = explain(std::slice::from_ref(&lookup), None)
        .expect("one")
        .changes;
    assert_eq!(
        changes,
        [InputChange {
            kind: InputKind::BuildArg.into(),
            name: "VARIANT".into(),
            before: "3.12".into(),
            after: "3.13".into(),
            service: String::new(),
        }]
    );
}

#[test]
fn what_follows_from_a_change_is_told_behind_it() {
    let lookup = missed(|manifest| {
        manifest.insert(Input::BuildArg, "VARIANT", "3.13");
        manifest.insert(Input::Dockerfile, ".devcontainer/Dockerfile", "b");
        manifest.insert(Input::File, "tools/install.sh", "b");
    });
    assert_eq!(
        reasons(&lookup)[1..],
        [
            "The build argument VARIANT was 3.12 and is 3.13.",
            "Other inputs follow from that: .devcontainer/Dockerfile, tools/install.sh.",
        ]
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

#[test]
fn of_a_compose_project_each_image_is_told_by_its_service() {
    let own = lookup(Decided::Hit, Some(entry()), &manifest());
    let api = Lookup {
        service: Some("api".parse().expect("a name")),
        ..missed(|manifest| manifest.insert(Input::File, "api/main", "b"))
    };
    let of = |service: &str, devcontainer, result: CacheResult| ServiceReport {
        service: service.to_owned(),
        devcontainer,
        result: result.into(),
        key: "k2:1".to_owned(),
        ..ServiceReport::default()
    };
    let report = CacheReport {
        result: CacheResult::Partial.into(),
        steps_total: 4,
        steps_reused: 1,
        reasons: vec!["web: its build context is at a URL".to_owned()],
        services: vec![
            of("app", true, CacheResult::Exact),
            of("api", false, CacheResult::Partial),
            ServiceReport {
                service: "web".to_owned(),
                ..ServiceReport::default()
            },
        ],
        ..CacheReport::default()
    };
    let workspace = Workspace {
        cache: Some(report),
        ..Workspace::default()
    };
    let told = explain(&[own, api], Some(&workspace)).expect("one");
    for part in [
        "app: The cache has an image that was made from exactly these inputs",
        "So the image was fetched, and nothing was built. api: The inputs differ",
        "The build sees the file api/main, which it did not see before. So a new image was built.",
        "web: its build context is at a URL.",
        "The build took 1 of its 4 steps from earlier builds.",
    ] {
        assert!(told.text.contains(part), "{part}: {}", told.text);
    }
    assert_eq!(told.key, place(&manifest()).key.to_string());
    let services: Vec<_> = told.changes.iter().map(|change| &*change.service).collect();
    assert_eq!(services, ["api"]);
}
