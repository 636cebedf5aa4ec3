use hearth_api::v1::{
    AccessCheckStatus, CacheEntry, CacheStats, EntryCheck, EntryCheckKind, ExplainRefRequest,
    ExplainWorkspaceRequest, Explanation, GetPublicKeyResponse, GetStatsResponse,
    InvalidateEntryRequest, InvalidateEntryResponse, ListEntriesRequest, ListEntriesResponse,
    VerifiedEntry, VerifyCacheRequest, VerifyCacheResponse,
};

use crate::support::{Answer, Call, ControlPlane, hearth, run};

const REPOSITORY: &str = "https://github.com/acme/shop";

fn entry() -> CacheEntry {
    CacheEntry {
        repository: "ghcr.io/acme/shop".into(),
        source: REPOSITORY.into(),
        key: "k1:0123456789abcdef0123456789abcdef".into(),
        digest: "sha256:abc".into(),
        platform: "linux/amd64".into(),
        r#ref: "ma\u{1b}[7min".into(),
        commit: "0123456789abcdef".into(),
        bytes: 52_000_000,
        build_seconds: 12.5,
        ..CacheEntry::default()
    }
}

#[tokio::test]
async fn ls_lists_all_pages_as_a_table_or_as_json() {
    let pages = || {
        ["next", ""].map(|token| {
            Answer::Entries(ListEntriesResponse {
                entries: vec![entry()],
                next_page_token: token.into(),
            })
        })
    };
    let asked = ["", "next"].map(|token| {
        Call::Entries(ListEntriesRequest {
            repository: REPOSITORY.into(),
            page_size: 1000,
            page_token: token.into(),
        })
    });
    let plane = ControlPlane::start(pages()).await;
    let text = run(plane.hearth(&["cache", "ls", REPOSITORY])).await;
    assert_eq!(text.code, Some(0));
    let lines: Vec<_> = text.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("REPOSITORY "), "{lines:?}");
    assert_eq!(
        lines[1],
        "https://github.com/acme/shop  -       0123456789ab  main  52 MB  12.5 s  -    -"
    );
    assert_eq!(plane.calls(), asked);

    let plane = ControlPlane::start(pages()).await;
    let wide = run(plane.hearth(&["cache", "ls", "--wide"])).await;
    let place = "0123456789ab  linux/amd64  ghcr.io/acme/shop\n";
    assert!(wide.stdout.ends_with(place), "{}", wide.stdout);

    let plane = ControlPlane::start(pages()).await;
    let json = run(plane.hearth(&["cache", "ls", REPOSITORY, "--output", "json"])).await;
    for line in json.stdout.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(entry["digest"], "sha256:abc");
    }
    assert_eq!(plane.calls(), asked);
}

#[tokio::test]
async fn explain_asks_about_a_workspace_or_about_a_repository() {
    let answer = || {
        Answer::Explained(Box::new(Explanation {
            text: "The file a changed.".into(),
            key: "k1:12".into(),
            image_digest: "sha256:def".into(),
            entry: Some(entry()),
            ..Explanation::default()
        }))
    };
    let plane = ControlPlane::start([answer(), answer()]).await;
    let text = run(plane.hearth(&["cache", "explain", "shop-1"])).await;
    assert_eq!(
        text.stdout,
        "\
The file a changed.
key: k1:12
image: sha256:def
compared with: k1:0123456789abcdef0123456789abcdef, image sha256:abc
"
    );
    let arguments = [
        "cache", "explain", REPOSITORY, "--ref", "main", "--config", "gpu", "--output", "json",
    ];
    let json = run(plane.hearth(&arguments)).await;
    assert!(
        json.stdout.contains(r#""text":"The file a changed.""#),
        "{}",
        json.stdout
    );
    assert_eq!(
        plane.calls(),
        [
            Call::ExplainWorkspace(ExplainWorkspaceRequest {
                workspace_id: "shop-1".into(),
            }),
            Call::ExplainRef(ExplainRefRequest {
                repository: REPOSITORY.into(),
                r#ref: "main".into(),
                config: "gpu".into(),
            }),
        ]
    );
}

#[tokio::test]
async fn rm_lists_removed_entries_and_warns_of_what_stays_in_the_registry() {
    let answer = || {
        Answer::Invalidated(InvalidateEntryResponse {
            entries: vec![entry()],
            warnings: vec!["It stays in the registry.".into()],
        })
    };
    let plane = ControlPlane::start([answer(), answer()]).await;
    let text = run(plane.hearth(&["cache", "rm", REPOSITORY, "--all-configs"])).await;
    assert_eq!(text.code, Some(0));
    assert!(text.stdout.contains("0123456789ab"), "{}", text.stdout);
    assert!(
        text.stderr.contains("It stays in the registry."),
        "{}",
        text.stderr
    );
    let arguments = [
        "cache", "rm", REPOSITORY, "--config", "gpu", "--key", "01234567", "--output", "json",
    ];
    run(plane.hearth(&arguments)).await;
    let asked = [("*", ""), ("gpu", "01234567")].map(|(config, key)| {
        Call::Invalidate(InvalidateEntryRequest {
            repository: REPOSITORY.into(),
            config: config.into(),
            key: key.into(),
        })
    });
    assert_eq!(plane.calls(), asked);
}

#[tokio::test]
async fn stats_show_each_repository_and_all_of_them() {
    let stats = CacheStats {
        repository: "ghcr.io/acme/shop".into(),
        source: REPOSITORY.into(),
        exact: 7,
        partial: 2,
        misses: 1,
        entries: 3,
        bytes: 52_000_000,
        saved_seconds: 125.0,
        ..CacheStats::default()
    };
    let answer = || {
        Answer::Stats(Box::new(GetStatsResponse {
            total: Some(CacheStats {
                repository: String::new(),
                skipped: 4,
                ..stats.clone()
            }),
            repositories: vec![stats.clone()],
        }))
    };
    let plane = ControlPlane::start([answer(), answer()]).await;
    let text = run(plane.hearth(&["cache", "stats"])).await;
    assert_eq!(
        text.stdout,
        "\
REPOSITORY                    HITS  EXACT    PARTIAL  MISS     SKIPPED  IMAGES  SIZE   SAVED
https://github.com/acme/shop  90%   7 (70%)  2 (20%)  1 (10%)  0        3       52 MB  2 min 05 s
all                           90%   7 (70%)  2 (20%)  1 (10%)  4        3       52 MB  2 min 05 s
"
    );
    let json = run(plane.hearth(&["cache", "stats", "--output", "json"])).await;
    assert!(json.stdout.starts_with(r#"{"total":{"#), "{}", json.stdout);
    assert_eq!(plane.calls(), [Call::Stats, Call::Stats]);
}

#[tokio::test]
async fn what_belongs_to_a_repository_is_refused_for_a_workspace() {
    for wrong in [
        &["cache", "explain", "shop-1", "--ref", "main"][..],
        &["cache", "rm"],
        &["cache", "rm", REPOSITORY, "--config", "a", "--all-configs"],
        &["cache"],
    ] {
        let plane = ControlPlane::start([]).await;
        let ended = run(plane.hearth(wrong)).await;
        assert_eq!(ended.code, Some(64), "{wrong:?}: {}", ended.stderr);
        assert_eq!(run(hearth("http://127.0.0.1:1", wrong)).await.stdout, "");
    }
}

#[tokio::test]
async fn verify_asks_for_all_pages_and_what_is_wrong_is_the_exit_code() {
    let page = |status: AccessCheckStatus, token: &str| {
        Answer::Verified(VerifyCacheResponse {
            entries: vec![VerifiedEntry {
                entry: Some(entry()),
                checks: vec![EntryCheck {
                    kind: EntryCheckKind::Image.into(),
                    status: status.into(),
                    message: "the registry does not have it".into(),
                }],
            }],
            next_page_token: token.into(),
        })
    };
    // The entry that is wrong is on the first page.
    let pages = || {
        [
            page(AccessCheckStatus::Failed, "next"),
            page(AccessCheckStatus::Ok, ""),
        ]
    };
    let asked = |repair| {
        ["", "next"].map(|token| {
            Call::Verify(VerifyCacheRequest {
                repository: REPOSITORY.into(),
                page_size: 0,
                page_token: token.into(),
                repair,
            })
        })
    };
    let plane = ControlPlane::start(pages()).await;
    let text = run(plane.hearth(&["cache", "verify", REPOSITORY])).await;
    assert_eq!(text.code, Some(4), "{}", text.stdout);
    assert!(
        text.stdout
            .contains("0123456789ab image: the registry does not have it\n")
    );
    assert!(
        text.stdout.ends_with("Something is wrong with 1 of 2.\n"),
        "{}",
        text.stdout
    );
    assert_eq!(plane.calls(), asked(false));

    let plane = ControlPlane::start(pages()).await;
    let command = [
        "cache", "verify", REPOSITORY, "--repair", "--output", "json",
    ];
    let json = run(plane.hearth(&command)).await;
    assert_eq!(json.code, Some(4));
    assert_eq!(json.stdout.lines().count(), 2);
    let first: serde_json::Value =
        serde_json::from_str(json.stdout.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["checks"][0]["kind"], "ENTRY_CHECK_KIND_IMAGE");
    assert_eq!(plane.calls(), asked(true));

    let plane = ControlPlane::start([page(AccessCheckStatus::Warning, "")]).await;
    let warned = run(plane.hearth(&["cache", "verify", REPOSITORY])).await;
    assert_eq!(warned.code, Some(0), "{}", warned.stdout);
}

#[tokio::test]
async fn the_public_key_is_printed_as_cosign_reads_it_and_where_there_is_none_that_is_an_error() {
    let key = "-----BEGIN PUBLIC KEY-----\nabc=\n-----END PUBLIC KEY-----\n";
    let answer = |key: &str| {
        Answer::PublicKey(GetPublicKeyResponse {
            public_key: key.into(),
        })
    };
    let plane = ControlPlane::start([answer(key), answer("")]).await;
    let printed = run(plane.hearth(&["cache", "public-key"])).await;
    assert_eq!((printed.code, printed.stdout.as_str()), (Some(0), key));
    let none = run(plane.hearth(&["cache", "public-key"])).await;
    assert_eq!(none.code, Some(1));
    assert!(none.stderr.contains("--signing-key"), "{}", none.stderr);
}
