//! Entries and explanations of the cache can be asked for; who writes to it is a matter of policy.

use hearth_api::v1::{
    CacheAccess, CacheEntry, CacheReport, CacheResult, ExplainRefRequest, ExplainWorkspaceRequest,
    GetStatsRequest, InputKind, InvalidateEntryRequest, ListEntriesRequest,
    PrepareWorkspaceRequest, event::Kind, resolve_cache_response::Decision,
};
use hearth_domain::KeyManifest;
use hearth_tests::images::Image;
use tonic::{Code, Status};

use crate::support::{
    cache::{self, repository},
    events::{line, preparing},
    plane::{Plane, shop},
    refusals::{fields, reason},
    soon,
    start::with_agent,
};

const URL: &str = "https://github.com/acme/shop";

fn manifest(dockerfile: &str) -> KeyManifest {
    cache::manifest("Dockerfile", dockerfile)
}

fn at(git_ref: &str) -> PrepareWorkspaceRequest {
    let mut request = shop();
    request.spec.as_mut().expect("a spec").r#ref = git_ref.into();
    request
}

fn image(manifest: &KeyManifest) -> Image {
    Image::of_key("an image", 100_000_000, &manifest.key())
}

async fn commit(plane: &Plane, id: &str, manifest: &KeyManifest) -> Result<(), Status> {
    let entry = CacheEntry {
        build_seconds: 10.0,
        // Only the control plane says these.
        r#ref: "forged".into(),
        writer: "forged".into(),
        ..cache::entry_of(manifest, &image(manifest))
    };
    cache::commit(plane, id, 1, entry).await
}

async fn resolve(plane: &Plane, id: &str, manifest: &KeyManifest) -> Decision {
    cache::resolve(plane, id, &repository(), manifest).await
}

#[tokio::test]
async fn only_refs_of_the_policy_write_and_forks_never_do() {
    let (plane, agent) = with_agent(&["--cache-writers=main,release/*"]).await;
    for (git_ref, access) in [
        ("main", CacheAccess::ReadWrite),
        ("release/1", CacheAccess::ReadWrite),
        ("feature", CacheAccess::ReadOnly),
        ("refs/pull/7/head", CacheAccess::ReadOnly),
        ("refs/merge-requests/7/head", CacheAccess::ReadOnly),
    ] {
        let id = plane.prepare(at(git_ref)).await.id().to_owned();
        let target = agent.started(&id, 1).await.cache.expect("a target");
        assert_eq!(target.access(), access, "{git_ref}");
        let committed = commit(&plane, &id, &manifest(git_ref)).await;
        match access {
            CacheAccess::ReadWrite => committed.expect("a commit"),
            _ => {
                let status = committed.expect_err("a refusal");
                assert_eq!(status.code(), Code::PermissionDenied);
                assert_eq!(reason(&status), "CACHE_READ_ONLY");
            }
        }
    }
}

#[tokio::test]
async fn an_image_is_built_where_fetching_it_is_known_to_take_longer() {
    let (plane, agent) = with_agent(&[]).await;
    let mut follower = plane.prepare(at("main")).await;
    let id = follower.id().to_owned();
    commit(&plane, &id, &manifest("a")).await.expect("a commit");
    let target = |request: hearth_api::v1::AgentServicePrepareWorkspaceRequest| {
        request.cache.expect("a target")
    };
    let before = plane.prepare(at("main")).await.id().to_owned();
    let newest = target(agent.started(&before, 1).await).newest_digest;
    assert_eq!(newest, image(&manifest("a")).digest().to_string());
    let decision = resolve(&plane, &before, &manifest("a")).await;
    assert!(matches!(decision, Decision::Hit(_)), "{decision:?}");

    // 100 MB at 5 MB/s take 20 s; the build took 10 s.
    let report = CacheReport {
        result: CacheResult::Exact.into(),
        bytes_fetched: 50_000_000,
        seconds: 10.0,
        ..CacheReport::default()
    };
    agent.started(&id, 1).await;
    agent.say(&id, 1, [preparing(), Kind::Cache(report)]);
    follower.until(|kind| matches!(kind, Kind::Cache(_))).await;
    // The log has the report before the cache has learnt from it; what is counted last says that it has.
    let mut shows = plane.cache_service().await;
    let learnt = async {
        loop {
            let stats = shows.get_stats(GetStatsRequest {}).await;
            let total = stats.expect("numbers").into_inner().total;
            if total.unwrap_or_default().exact > 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    soon("what the report teaches", learnt).await;
    let slow = plane.prepare(at("main")).await.id().to_owned();
    match resolve(&plane, &slow, &manifest("a")).await {
        Decision::Build(build) => {
            assert!(build.fetch_is_slower);
            let text = build.reasons.join(" ");
            assert!(text.contains("20 s") && text.contains("10 s"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(target(agent.started(&slow, 1).await).newest_digest, "");
}

#[tokio::test]
async fn entries_are_listed_explained_counted_and_dropped() {
    let (plane, agent) = with_agent(&[]).await;
    let mut shows = plane.cache_service().await;
    let mut follower = plane.prepare(at("main")).await;
    let id = follower.id().to_owned();

    let request = |id: &str| ExplainWorkspaceRequest {
        workspace_id: id.to_owned(),
    };
    let early = shows.explain_workspace(request(&id)).await;
    let early = early.expect_err("a refusal");
    assert_eq!(
        (early.code(), reason(&early).as_str()),
        (Code::FailedPrecondition, "CACHE_KEY_UNKNOWN")
    );
    let unknown = shows.explain_workspace(request("none")).await;
    assert_eq!(unknown.expect_err("a refusal").code(), Code::NotFound);

    commit(&plane, &id, &manifest("a")).await.expect("a commit");
    let decision = resolve(&plane, &id, &manifest("b")).await;
    assert!(matches!(decision, Decision::Build(_)), "{decision:?}");
    commit(&plane, &id, &manifest("b")).await.expect("a commit");

    // What was compared then counts, and not what there is now.
    let explained = shows.explain_workspace(request(&id)).await;
    let explained = explained.expect("an answer").into_inner().explanation;
    let explained = explained.expect("an explanation");
    assert!(
        explained
            .text
            .contains("The Dockerfile Dockerfile changed."),
        "{explained:?}"
    );
    assert_eq!(explained.changes[0].kind(), InputKind::Dockerfile);
    assert_eq!(explained.key, manifest("b").key().to_string());

    let at_ref = |git_ref: &str| ExplainRefRequest {
        repository: URL.into(),
        r#ref: git_ref.into(),
        config: String::new(),
    };
    let now = shows.explain_ref(at_ref("main")).await;
    let now = now.expect("an answer").into_inner().explanation;
    let now = now.expect("an explanation").text;
    assert!(now.contains("exactly these inputs"), "{now}");
    let never = shows.explain_ref(at_ref("other")).await;
    assert_eq!(reason(&never.expect_err("a refusal")), "REF_UNKNOWN");

    let report = CacheReport {
        result: CacheResult::Miss.into(),
        ..CacheReport::default()
    };
    agent.started(&id, 1).await;
    agent.say(&id, 1, [preparing(), Kind::Cache(report)]);
    follower.until(|kind| matches!(kind, Kind::Cache(_))).await;
    // The number is written after the event: the next event of the log tells that it is there.
    agent.say(&id, 1, [line("after")]);
    follower.take(1).await;
    let stats = shows.get_stats(GetStatsRequest {}).await;
    let stats = stats.expect("an answer").into_inner();
    assert_eq!(stats.repositories[0].repository, repository());
    assert_eq!(
        (stats.repositories[0].misses, stats.repositories[0].entries),
        (1, 2)
    );
    assert_eq!(stats.total.expect("a total").bytes, 200_000_000);

    let list = |page_token: String| ListEntriesRequest {
        repository: URL.into(),
        page_size: 1,
        page_token,
    };
    let first = shows.list_entries(list(String::new())).await;
    let first = first.expect("a page").into_inner();
    assert_eq!(first.entries[0].key, manifest("b").key().to_string());
    assert_eq!(
        (first.entries[0].r#ref.as_str(), &first.entries[0].writer),
        ("main", &id)
    );
    let second = shows.list_entries(list(first.next_page_token)).await;
    let second = second.expect("a page").into_inner();
    assert_eq!(second.entries[0].key, manifest("a").key().to_string());
    assert_eq!(second.next_page_token, "");

    let drop = |key: String| InvalidateEntryRequest {
        repository: URL.into(),
        config: "*".into(),
        key,
    };
    let short = manifest("a").key().short()[..8].to_owned();
    let dropped = shows.invalidate_entry(drop(short.clone())).await;
    let dropped = dropped.expect("an answer").into_inner();
    assert_eq!(dropped.entries.len(), 1);
    let nothing = shows.invalidate_entry(drop(short)).await;
    assert_eq!(
        reason(&nothing.expect_err("a refusal")),
        "CACHE_ENTRY_UNKNOWN"
    );
}

#[tokio::test]
async fn malformed_fields_of_questions_about_the_cache_are_named() {
    let plane = Plane::fresh(&[]).await;
    let mut shows = plane.cache_service().await;
    let list = ListEntriesRequest {
        repository: "shop".into(),
        page_size: 1001,
        page_token: "x".into(),
    };
    let drop = InvalidateEntryRequest {
        repository: URL.into(),
        config: "../a".into(),
        key: "1234567".into(),
    };
    let explain = ExplainRefRequest {
        repository: URL.into(),
        r#ref: "--x".into(),
        config: String::new(),
    };
    let faults = [
        shows.list_entries(list).await.expect_err("a refusal"),
        shows.invalidate_entry(drop).await.expect_err("a refusal"),
        shows.explain_ref(explain).await.expect_err("a refusal"),
    ]
    .map(|status| {
        assert_eq!(status.code(), Code::InvalidArgument);
        fields(&status)
    });
    assert_eq!(faults[0], ["page_token", "repository"]);
    assert_eq!(faults[1], ["config", "key"]);
    assert_eq!(faults[2], ["ref"]);
}
