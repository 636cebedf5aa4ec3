use std::{sync::Arc, time::Duration};

use hearth_api::v1::CacheResult;
use hearth_domain::{CacheKey, CacheRepository, Digest, GitRef, KeyManifest};

use super::{YEAR, attempt, days, time_passes};
use crate::{
    clock::from_millis,
    store::{
        BuildCache, Decided, Entry, FetchRate, Lookup, Place, Readable, Selection, Store,
        StoreError,
    },
};

pub(in crate::store) async fn the_newest_image_of_a_key_is_the_one_that_is_found(
    store: Arc<dyn Store>,
) {
    let entry = |key: &str, digest: &str| Entry {
        commit: Some("c0".repeat(20).parse().expect("a hash")),
        source: Some("https://github.com/acme/shop".parse().expect("a URL")),
        build_seconds: 1.5,
        created: Some(from_millis(1_000)),
        last_used: Some(from_millis(1_000)),
        git_ref: "main".parse().expect("a ref"),
        ..cached(key, digest, "")
    };
    let at = from_millis(1_000);
    for (key, digest) in [("1", "d1"), ("2", "d2"), ("1", "d3")] {
        let entry = entry(key, digest);
        store.put_cache_entry(&entry, at).await.expect("a write");
    }
    let hit = store
        .cache_hit(&place("r/x", "1"), at)
        .await
        .expect("a read");
    assert_eq!(hit, Some(entry("1", "d3")));
    assert_eq!(
        store
            .cache_hit(&place("r/y", "1"), at)
            .await
            .expect("a read"),
        None
    );
    let found = newest(&store, "", "linux/amd64").await;
    assert_eq!(found.expect("a read"), Some(entry("1", "d3")));
    for (config, platform) in [("gpu", "linux/amd64"), ("", "linux/arm64")] {
        let found = newest(&store, config, platform).await;
        assert_eq!(found.expect("a read"), None);
    }
    let dropped = store
        .drop_cache_entry(&place("r/x", "1"), &Digest::of("d1"))
        .await;
    assert!(!dropped.expect("a write"), "another digest");
    let dropped = store
        .drop_cache_entry(&place("r/x", "1"), &Digest::of("d3"))
        .await;
    assert!(dropped.expect("a write"));
    assert_eq!(
        store
            .cache_hit(&place("r/x", "1"), at)
            .await
            .expect("a read"),
        None
    );
}

async fn newest(
    store: &Arc<dyn Store>,
    config: &str,
    platform: &str,
) -> Result<Option<Entry>, StoreError> {
    let config = (!config.is_empty()).then(|| config.parse().expect("a name"));
    let platform = platform.parse().expect("a platform");
    store
        .newest_cache_entry(&repository("r/x"), config.as_ref(), None, &platform)
        .await
}

fn repository(text: &str) -> CacheRepository {
    text.parse().expect("a repository")
}

/// A key whose hex digits begin with these.
fn key(digits: &str) -> CacheKey {
    format!("k1:{digits:0<64}").parse().expect("a key")
}

fn place(at: &str, digits: &str) -> Place {
    Place {
        repository: repository(at),
        key: key(digits),
    }
}

fn cached(digits: &str, image: &str, config: &str) -> Entry {
    Entry {
        place: place("r/x", digits),
        digest: Digest::of(image),
        manifest: None,
        source: None,
        config: (!config.is_empty()).then(|| config.parse().expect("a name")),
        service: None,
        platform: "linux/amd64".parse().expect("a platform"),
        commit: None,
        git_ref: GitRef::Default,
        writer: "w".into(),
        build_seconds: 0.0,
        bytes: 10,
        signature: None,
        created: None,
        last_used: None,
    }
}

fn keys(entries: &[Entry]) -> Vec<&CacheKey> {
    entries.iter().map(|entry| &entry.place.key).collect()
}

pub(in crate::store) async fn entries_are_listed_newest_first_and_dropped_by_config_and_key(
    store: Arc<dyn Store>,
) {
    for (key, config) in [("aa1", ""), ("ab2", ""), ("aa3", "gpu")] {
        let entry = cached(key, "d", config);
        let put = store.put_cache_entry(&entry, from_millis(1_000)).await;
        put.expect("a write");
    }
    let of = repository("r/x");
    let page = store.cache_entries(None, None, 2).await.expect("a read");
    let entry = |found: &(u64, Option<Entry>)| found.1.clone().expect("an entry");
    assert_eq!(entry(&page[0]).place.key, key("aa3"));
    let mut long = cached("", "d", "");
    long.place.repository = repository("r/z");
    long.place.key = KeyManifest::default().key();
    long.manifest = Some(KeyManifest::default().into());
    let put = store.put_cache_entry(&long, from_millis(1_000)).await;
    put.expect("a write");
    let read = store.cache_entry(&long.place).await.expect("a read");
    assert_eq!(read.expect("an entry").manifest, long.manifest);
    let listed = store
        .cache_entries(Some(&long.place.repository), None, 2)
        .await;
    assert_eq!(
        entry(&listed.expect("a read")[0]).manifest,
        None,
        "lists are short"
    );
    let rest = store.cache_entries(Some(&of), Some(page[1].0), 2).await;
    let rest = rest.expect("a read");
    assert_eq!((rest.len(), entry(&rest[0]).place.key), (1, key("aa1")));
    let other = repository("r/y");
    let other = store.cache_entries(Some(&other), None, 2).await;
    assert_eq!(other.expect("a read"), []);

    let mut selection = Selection {
        repository: &of,
        config: Some(""),
        key: "k1:aa",
    };
    let dropped = store.drop_cache_entries(selection).await.expect("a write");
    assert_eq!(keys(&dropped), [&key("aa1")]);
    assert!(
        store
            .is_cached(&of, &Digest::of("d"))
            .await
            .expect("a read")
    );
    selection.config = None;
    selection.key = "";
    let dropped = store.drop_cache_entries(selection).await.expect("a write");
    assert_eq!(dropped.len(), 2);
    assert!(
        !store
            .is_cached(&of, &Digest::of("d"))
            .await
            .expect("a read")
    );
}

pub(in crate::store) async fn the_newest_build_cache_is_read_until_something_is_removed(
    store: Arc<dyn Store>,
) {
    let build_cache = |digits: &str, config: &str, cache: &str| BuildCache {
        place: place("r/x", digits),
        config: (!config.is_empty()).then(|| config.parse().expect("a name")),
        service: None,
        platform: "linux/amd64".parse().expect("a platform"),
        writer: "w".parse().expect("an id"),
        digest: Digest::of(cache),
    };
    let note = async |cache: &BuildCache, generation, at| {
        let noted = store.put_build_cache(cache, generation, from_millis(at));
        noted.await.expect("a write")
    };
    let newest = async |config: &str| {
        let BuildCache {
            place,
            config,
            platform,
            ..
        } = build_cache("", config, "");
        let at = from_millis(9_000);
        let newest =
            store.newest_build_cache(&place.repository, config.as_ref(), None, &platform, at);
        let Readable { digest, generation } = newest.await.expect("a read");
        (digest, generation)
    };
    let (first, second) = (build_cache("1", "", "c1"), build_cache("2", "", "c2"));
    let gpu = build_cache("1", "gpu", "c3");
    assert_eq!(newest("").await, (None, 0));
    for (cache, at) in [(&first, 1_000), (&second, 2_000), (&gpu, 2_000)] {
        assert!(note(cache, 0, at).await);
    }
    assert_eq!(newest("").await, (Some(second.digest.clone()), 0));
    assert_eq!(newest("gpu").await, (Some(gpu.digest.clone()), 0));
    assert!(note(&first, 0, 3_000).await, "it was written again");
    assert_eq!(newest("").await, (Some(first.digest.clone()), 0));
    let of = async |digits: &str, writer: &str| {
        let found = store.build_cache(&place("r/x", digits), writer).await;
        found.expect("a read")
    };
    assert_eq!(of("2", "w").await, Some(second.digest.clone()));
    assert_eq!(of("2", "another").await, None);
    // The one that builds read stays, however old it is.
    for _ in 0..3 {
        time_passes(days(9)).await;
        assert_eq!(newest("").await, (Some(first.digest.clone()), 0));
        let retired = store.retire_cache_entries(9, days(10)).await;
        retired.expect("a write");
    }
    assert_eq!(of("1", "w").await, Some(first.digest.clone()));
    assert_eq!(of("2", "w").await, None);

    let repository = repository("r/x");
    let selection = Selection {
        repository: &repository,
        config: Some(""),
        key: "k1:ff",
    };
    let dropped = store.drop_cache_entries(selection).await;
    assert_eq!(dropped.expect("a write"), []);
    assert_eq!(newest("").await, (None, 1));
    // What a build began before that has written is not read by others.
    assert!(!note(&second, 0, 4_000).await);
    assert_eq!(newest("").await, (None, 1));
    assert!(note(&second, 1, 4_000).await);
    assert_eq!(newest("").await, (Some(second.digest), 1));
}

/// Asks for the key of an entry as its writer does.
async fn ask_for(store: &Arc<dyn Store>, entry: &Entry) {
    ask_for_at(store, entry, 1_000).await;
}

async fn ask_for_at(store: &Arc<dyn Store>, entry: &Entry, at: i64) {
    let lookup = Lookup {
        attempt: attempt(&entry.writer, 1),
        place: entry.place.clone(),
        git_ref: GitRef::Default,
        config: entry.config.clone(),
        service: entry.service.clone(),
        platform: entry.platform.clone(),
        manifest: None,
        decided: Decided::Build,
        entry: None,
        rate: None,
        finding: String::new(),
    };
    let put = store.put_lookup(&lookup, from_millis(at)).await;
    put.expect("a write");
}

pub(in crate::store) async fn what_was_removed_is_entered_again_only_by_who_asks_afterwards(
    store: Arc<dyn Store>,
) {
    let at = from_millis(1_000);
    let of = repository("r/x");
    let put = async |entry: &Entry| store.put_cache_entry(entry, at).await.expect("a write");
    let found = Entry {
        writer: "registry".into(),
        ..cached("a1", "d", "")
    };
    let other = cached("b2", "d", "");
    let other_config = cached("c3", "d", "gpu");
    for (selected, config, stays) in [
        ("k1:a1", Some(""), &other),
        ("", Some(""), &other_config),
        (
            "",
            None,
            &Entry {
                place: place("r/y", "a1"),
                ..other.clone()
            },
        ),
    ] {
        let built = cached("a1", "d", "");
        ask_for(&store, &built).await;
        assert!(put(&built).await, "a removal before it ends with this");
        let selection = Selection {
            repository: &of,
            config,
            key: selected,
        };
        let dropped = store.drop_cache_entries(selection).await;
        assert!(!dropped.expect("a write").is_empty());
        assert!(!put(&found).await, "it is not adopted");
        assert!(!put(&built).await, "it had asked before");
        assert!(put(stays).await, "{selected:?} {config:?}");
        let found = store.cache_entry(&built.place).await.expect("a read");
        assert_eq!(found, None);
    }
    // A key that has no entry (any more) is removed too where all of it is named, and nothing is by less.
    let gone = Entry {
        place: place("r/q", "a1"),
        ..found.clone()
    };
    let whole = key("a1");
    let of_gone = |key| Selection {
        repository: &gone.place.repository,
        config: Some(""),
        key,
    };
    for (named, is_adopted) in [("k1:a1", true), (whole.as_str(), false)] {
        let dropped = store.drop_cache_entry(&gone.place, &gone.digest).await;
        dropped.expect("a write");
        let dropped = store.drop_cache_entries(of_gone(named)).await;
        assert_eq!(dropped.expect("a write"), []);
        assert_eq!(put(&gone).await, is_adopted, "{named}");
    }
    // What had no entry was removed too.
    let unknown = Entry {
        writer: "registry".into(),
        ..cached("ff", "d", "gpu")
    };
    assert!(!put(&unknown).await);
    let asks = cached("ff", "d", "gpu");
    ask_for(&store, &asks).await;
    assert!(put(&asks).await);
}

async fn retire(store: &Arc<dyn Store>, keep: u32, unused_for: Duration) -> Vec<CacheKey> {
    let retired = store.retire_cache_entries(keep, unused_for).await;
    let mut keys: Vec<_> = keys(&retired.expect("a write"))
        .into_iter()
        .cloned()
        .collect();
    keys.sort_unstable();
    keys
}

async fn find(store: &Arc<dyn Store>, digits: &str, at: i64) -> Entry {
    let place = place("r/x", digits);
    let found = store.cache_hit(&place, from_millis(at)).await;
    found.expect("a read").expect("an entry")
}

async fn enter(store: &Arc<dyn Store>, digits: &str, config: &str, at: i64) {
    let entry = cached(digits, "d", config);
    let put = store.put_cache_entry(&entry, from_millis(at)).await;
    assert!(put.expect("a write"));
}

pub(in crate::store) async fn what_is_not_used_or_too_much_is_retired(store: Arc<dyn Store>) {
    enter(&store, "5", "gpu", 0).await;
    for digits in ["1", "2", "3", "4"] {
        time_passes(days(1)).await;
        enter(&store, digits, "", 0).await;
    }
    assert_eq!(retire(&store, 4, days(9)).await, []);
    assert_eq!(retire(&store, 2, days(9)).await, [key("1"), key("2")]);
    assert_eq!(retire(&store, 2, days(9)).await, []);
    time_passes(days(6)).await;
    assert_eq!(retire(&store, 2, days(9)).await, [key("5")]);
    find(&store, "3", 0).await;
    time_passes(days(4)).await;
    assert_eq!(retire(&store, 2, days(9)).await, [key("4")]);
}

pub(in crate::store) async fn what_is_in_daily_use_never_goes_for_what_was_built_later(
    store: Arc<dyn Store>,
) {
    enter(&store, "a", "", 0).await;
    enter(&store, "b", "", 0).await;
    for built in 10..40 {
        // Found once a day, while images are built that nobody asks for again.
        find(&store, "a", 0).await;
        find(&store, "b", 0).await;
        time_passes(days(1)).await;
        enter(&store, &built.to_string(), "", 0).await;
        retire(&store, 2, days(9)).await;
    }
    for digits in ["a", "b", "39"] {
        find(&store, digits, 0).await;
    }
    let of = repository("r/x");
    let left = store.cache_entries(Some(&of), None, 9).await;
    assert_eq!(left.expect("a read").len(), 3, "the rest is too much");
    // It is not used any more.
    time_passes(days(4)).await;
    enter(&store, "50", "", 0).await;
    enter(&store, "51", "", 0).await;
    assert_eq!(
        retire(&store, 2, days(9)).await,
        [key("39"), key("a"), key("b")]
    );
}

pub(in crate::store) async fn a_clock_that_jumps_retires_nothing(store: Arc<dyn Store>) {
    for jump in [YEAR, -YEAR, 50 * YEAR, -50 * YEAR, 0] {
        let attempt = ["a", "b"].map(|writer| Entry {
            writer: format!("{writer}{}", jump + 100 * YEAR),
            ..cached("1", "d", "")
        });
        for entry in &attempt {
            ask_for_at(&store, entry, jump).await;
        }
        enter(&store, "1", "", jump).await;
        let cache = BuildCache {
            place: place("r/x", "1"),
            config: None,
            service: None,
            platform: "linux/amd64".parse().expect("a platform"),
            writer: "w".parse().expect("an id"),
            digest: Digest::of("c"),
        };
        let put = store.put_build_cache(&cache, 0, from_millis(jump)).await;
        assert!(put.expect("a write"));
        for at in [YEAR, -YEAR, 0] {
            find(&store, "1", jump + at).await;
            assert_eq!(retire(&store, 9, days(1)).await, []);
        }
        for entry in &attempt {
            let told = store.lookups(&super::attempt(&entry.writer, 1)).await;
            assert_eq!(told.expect("a read").len(), 1, "after {jump}");
        }
        let cached = store.build_cache(&cache.place, "w").await;
        assert!(cached.expect("a read").is_some(), "after {jump}");
        // The last one that was written is the newest, whatever the clock said.
        enter(&store, "2", "", -YEAR).await;
        let newest = newest(&store, "", "linux/amd64").await.expect("a read");
        assert_eq!(newest.expect("an entry").place.key, key("2"));
    }
    time_passes(days(2)).await;
    assert_eq!(retire(&store, 9, days(1)).await, [key("1"), key("2")]);
}

pub(in crate::store) async fn a_use_is_noted_once_an_hour(store: Arc<dyn Store>) {
    enter(&store, "1", "", 1_000).await;
    let used = async |at| {
        find(&store, "1", at).await;
        let entry = store.cache_entry(&place("r/x", "1")).await;
        entry.expect("a read").expect("an entry").last_used
    };
    let at = |millis| Some(from_millis(millis));
    assert_eq!(used(2_000).await, at(2_000), "the first one at once");
    assert_eq!(used(3_000).await, at(2_000));
    time_passes(Duration::from_secs(3599)).await;
    assert_eq!(used(4_000).await, at(2_000));
    time_passes(Duration::from_secs(2)).await;
    assert_eq!(used(5_000).await, at(5_000));
    assert_eq!(used(6_000).await, at(5_000));
}

pub(in crate::store) async fn lookups_rates_and_results_are_remembered(store: Arc<dyn Store>) {
    let mut lookup = Lookup {
        attempt: attempt("w", 1),
        place: place("r/x", "1"),
        git_ref: "main".parse().expect("a ref"),
        config: None,
        service: None,
        platform: "linux/amd64".parse().expect("a platform"),
        manifest: Some(KeyManifest::default().into()),
        decided: Decided::Build,
        entry: Some(cached("0", "d", "")),
        rate: Some(2.5),
        finding: String::new(),
    };
    let at = from_millis(1_000);
    store.put_lookup(&lookup, at).await.expect("a write");
    lookup.decided = Decided::Slower;
    store.put_lookup(&lookup, at).await.expect("a write");
    let read = async |number| store.lookups(&attempt("w", number)).await.expect("a read");
    assert_eq!(read(1).await, [lookup.clone()], "the last answer counts");
    assert_eq!(read(2).await, []);
    let api = Lookup {
        service: Some("api".parse().expect("a name")),
        place: place("r/x", "2"),
        ..lookup.clone()
    };
    store.put_lookup(&api, at).await.expect("a write");
    assert_eq!(
        read(1).await,
        [lookup.clone(), api.clone()],
        "of each service"
    );
    let of = repository("r/x");
    let newest = store.newest_lookups(&of, &lookup.git_ref, None).await;
    assert_eq!(newest.expect("a read"), [lookup.clone(), api.clone()]);
    let noted = store
        .put_finding(&lookup.attempt, &lookup.place.key, "found")
        .await;
    noted.expect("a write");
    lookup.finding = "found".to_owned();
    assert_eq!(read(1).await, [lookup, api]);

    assert_eq!(store.fetch_rate("n").await.expect("a read"), None);
    let mut rate = FetchRate {
        bytes_per_second: 130.5,
        passed_over: 3,
        tried: true,
        age: Duration::from_secs(10),
    };
    store.put_fetch_rate("n", rate).await.expect("a write");
    let known = async || {
        store
            .fetch_rate("n")
            .await
            .expect("a read")
            .expect("a rate")
    };
    let age = known().await.age;
    assert!((rate.age..days(1)).contains(&age), "{age:?}");
    time_passes(days(1)).await;
    let again = known().await;
    assert!(again.age >= days(1), "{again:?}");
    rate.age = again.age;
    assert_eq!(again, rate);

    let entry = Entry {
        source: Some("https://github.com/acme/shop".parse().expect("a URL")),
        ..cached("1", "d", "")
    };
    let put = store.put_cache_entry(&entry, at).await;
    put.expect("a write");
    for (repository, result, saved) in [
        (Some(&of), CacheResult::Exact, 7.5),
        (Some(&of), CacheResult::Miss, 0.0),
        (None, CacheResult::Skipped, 0.0),
    ] {
        let counted = store.count_cache_result(repository, result, saved).await;
        counted.expect("a write");
    }
    let stats = store.cache_stats().await.expect("a read");
    let x = &stats[0];
    assert_eq!((x.repository.as_str(), x.exact, x.misses), ("r/x", 1, 1));
    assert_eq!(x.source, "https://github.com/acme/shop");
    assert_eq!((x.entries, x.bytes, x.saved_seconds), (1, 10, 7.5));
    assert_eq!((stats[1].repository.as_str(), stats[1].skipped), ("", 1));
}

pub(in crate::store) async fn each_service_of_a_configuration_has_a_newest_image_of_its_own(
    store: Arc<dyn Store>,
) {
    let of_service = |digits: &str, service: &str| Entry {
        service: (!service.is_empty()).then(|| service.parse().expect("a name")),
        ..cached(digits, digits, "")
    };
    for entry in [
        of_service("1", ""),
        of_service("2", "api"),
        of_service("3", "api"),
        of_service("4", "db"),
    ] {
        ask_for(&store, &entry).await;
        let put = store.put_cache_entry(&entry, from_millis(1_000)).await;
        assert!(put.expect("a write"));
    }
    let newest_of_all = newest(&store, "", "linux/amd64").await.expect("a read");
    assert_eq!(newest_of_all.expect("an entry").place.key, key("1"));
    let platform = "linux/amd64".parse().expect("a platform");
    let repository = repository("r/x");
    let found = store.newest_of_services(&repository, None, &platform, 10);
    let found = found.await.expect("a read");
    let found: Vec<_> = found.iter().map(|entry| entry.place.key.clone()).collect();
    assert_eq!(found, [key("4"), key("3")]);
    let limited = store.newest_of_services(&repository, None, &platform, 1);
    assert_eq!(limited.await.expect("a read").len(), 1);
    // Each service keeps as many as a configuration without services.
    assert_eq!(retire(&store, 1, days(9)).await, [key("2")]);
}
