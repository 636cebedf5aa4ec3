//! How much of a log is kept, and how much of it is read at once.

use hearth_api::v1::Warning;

use super::*;

/// Output of about a thousand bytes.
fn output(number: u64) -> Kind {
    Kind::Log(LogChunk {
        text: format!("{number} {}", "x".repeat(950)),
        ..LogChunk::default()
    })
}

async fn append(store: &dyn Store, first: u64, kinds: impl IntoIterator<Item = Kind>) {
    let attempt = attempt("a", 1);
    let appended = store.append(&attempt, events(first, kinds), now());
    appended.await.expect("an append");
}

fn sequences(page: &Page) -> Vec<u64> {
    page.events.iter().map(|event| event.sequence).collect()
}

pub(in crate::store) async fn of_too_many_events_the_oldest_output_is_dropped(
    store: Arc<dyn Store>,
) {
    create(&*store, "a").await;
    create(&*store, "b").await;
    append(&*store, 1, [change(WorkspaceState::Preparing)]).await;
    append(&*store, 2, lines(20)).await;
    append(&*store, 22, [change(WorkspaceState::Ready)]).await;
    append(&*store, 23, [Kind::Settled(Settled {})]).await;
    let page = page(&*store, "a", 0).await;
    assert_eq!(sequences(&page), [1, 18, 19, 20, 21, 22, 23]);
    assert_eq!(page.oldest, 18);
    let other = store.events(&id("b"), 0, WHOLE).await.expect("a read");
    assert_eq!(other.expect("a workspace").oldest, 1);
}

pub(in crate::store) async fn of_too_many_bytes_the_oldest_output_is_dropped(
    store: Arc<dyn Store>,
) {
    create(&*store, "a").await;
    append(&*store, 1, [change(WorkspaceState::Preparing), output(2)]).await;
    for sequence in 3..30 {
        append(&*store, sequence, [output(sequence)]).await;
        let page = page(&*store, "a", 0).await;
        let bytes: usize = page.events.iter().map(prost::Message::encoded_len).sum();
        assert!(bytes as u64 <= HISTORY.bytes, "{bytes}");
        // It is the newest that stays, and the log has no gap from there on.
        let whole: Vec<u64> = (page.oldest.max(2)..=sequence).collect();
        assert_eq!(sequences(&page)[1..], whole, "{page:?}");
        assert!(whole.len() >= 5 || sequence < 7, "{page:?}");
        assert_eq!(page.events[0].sequence, 1, "states stay");
    }
}

pub(in crate::store) async fn a_log_of_results_alone_is_bounded_too(store: Arc<dyn Store>) {
    create(&*store, "a").await;
    append(&*store, 1, [change(WorkspaceState::Preparing)]).await;
    let warning = || {
        Kind::Warning(Warning {
            message: "x".repeat(1000),
        })
    };
    for sequence in 2..30 {
        append(&*store, sequence, [warning()]).await;
    }
    let page = page(&*store, "a", 0).await;
    assert_eq!(sequences(&page), [24, 25, 26, 27, 28, 29]);
    assert_eq!(page.oldest, 24);
}

pub(in crate::store) async fn a_page_has_so_many_bytes_and_one_event_at_least(
    store: Arc<dyn Store>,
) {
    create(&*store, "a").await;
    append(&*store, 1, (1..=5).map(output)).await;
    for (after, bytes, expected) in [
        (0, 2500, &[1, 2][..]),
        (2, 2500, &[3, 4]),
        (4, 2500, &[5]),
        (1, 1, &[2]),
        (5, 2500, &[]),
    ] {
        let limit = PageLimit { items: 10, bytes };
        let page = store.events(&id("a"), after, limit).await.expect("a read");
        let page = page.expect("a workspace");
        assert_eq!(sequences(&page), expected, "after {after}");
    }
    // The same for lists of workspaces: the one that is too much is the last.
    for name in ["b", "c", "d"] {
        create(&*store, name).await;
    }
    let limit = PageLimit { items: 9, bytes: 1 };
    assert_eq!(store.list(None, limit).await.expect("a read").len(), 1);
    assert_eq!(store.list(None, items(9)).await.expect("a read").len(), 4);
}

pub(in crate::store) async fn old_output_of_what_has_settled_is_dropped_once(
    store: Arc<dyn Store>,
) {
    let kinds = || {
        [
            change(WorkspaceState::Preparing),
            output(2),
            change(WorkspaceState::Ready),
        ]
    };
    for name in ["a", "b"] {
        create(&*store, name).await;
        let attempt = attempt(name, 1);
        let appended = store.append(&attempt, events(1, kinds()), from_millis(5_000));
        appended.await.expect("an append");
    }
    let settled = events(4, [output(4), Kind::Settled(Settled {})]);
    let attempt = attempt("a", 1);
    let settled = store.append(&attempt, settled, from_millis(6_000));
    settled.await.expect("an append");
    for (passed, dropped) in [(0, 0), (2, 0), (2, 1), (9, 0)] {
        time_passes(days(passed)).await;
        let answer = store.drop_output(days(3)).await;
        assert_eq!(answer.expect("a change"), dropped, "{passed} days later");
    }
    let a = page(&*store, "a", 0).await;
    assert_eq!((sequences(&a), a.oldest), (vec![1, 3, 5], 5));
    assert_eq!(page(&*store, "b", 0).await.events.len(), 3);
    // It grows again with another attempt.
    let again = store
        .begin_attempt(&id("a"), None, Rebuilding::default(), from_millis(10_000))
        .await;
    assert!(matches!(again, Ok(Once::New(_))), "{again:?}");
    let a = page(&*store, "a", 5).await;
    assert_eq!((sequences(&a), a.oldest), (vec![6], 5));
}

pub(in crate::store) async fn a_clock_that_jumps_drops_no_output(store: Arc<dyn Store>) {
    for (name, at) in [("a", YEAR), ("b", -YEAR), ("c", 0)] {
        create(&*store, name).await;
        let kinds = [
            change(WorkspaceState::Preparing),
            output(2),
            change(WorkspaceState::Ready),
            Kind::Settled(Settled {}),
        ];
        let attempt = attempt(name, 1);
        let appended = store.append(&attempt, events(1, kinds), from_millis(at));
        appended.await.expect("an append");
        assert_eq!(store.drop_output(days(1)).await.expect("a change"), 0);
    }
    time_passes(days(1)).await;
    assert_eq!(store.drop_output(days(1)).await.expect("a change"), 3);
}
