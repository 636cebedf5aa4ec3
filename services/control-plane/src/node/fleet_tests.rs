use super::*;
use crate::clock::now;

const LEASE: Duration = Duration::from_secs(30);

fn node(name: &str, boot_id: &str) -> StoredNode {
    StoredNode {
        name: name.into(),
        platform: "linux/amd64".parse().expect("a platform"),
        info: NodeInfo {
            boot_id: boot_id.into(),
            ..NodeInfo::default()
        },
        heartbeat: now(),
        has_left: false,
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_is_lost_when_its_lease_ends_and_a_heartbeat_brings_it_back() {
    let fleet = Fleet::new(LEASE, Vec::new());
    fleet.register(node("n1", "a"));
    tokio::time::advance(LEASE - Duration::from_secs(1)).await;
    assert_eq!(fleet.get("n1").expect("node").standing, Standing::Online);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(fleet.get("n1").expect("node").standing, Standing::Lost);
    let before = fleet
        .heartbeat("n1", "a", 7, String::new(), None, now())
        .expect("it is known");
    assert_eq!(before.standing, Standing::Lost, "it was");
    let node = fleet.get("n1").expect("node");
    assert_eq!(
        (node.standing, node.info.disk_free_bytes),
        (Standing::Online, 7)
    );
}

#[tokio::test]
async fn a_heartbeat_with_another_boot_id_is_not_known() {
    let fleet = Fleet::new(LEASE, Vec::new());
    assert!(
        fleet
            .heartbeat("n1", "a", 0, String::new(), None, now())
            .is_none()
    );
    fleet.register(node("n1", "a"));
    assert!(
        fleet
            .heartbeat("n1", "b", 0, String::new(), None, now())
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn heartbeats_hold_a_lease_and_another_boot_id_ends_it() {
    let fleet = Fleet::new(LEASE, Vec::new());
    fleet.register(node("n1", "a"));
    let gone = fleet.gone("n1", &["a"]);
    tokio::pin!(gone);
    for _ in 0..3 {
        let almost = tokio::time::timeout(LEASE * 2 / 3, &mut gone).await;
        assert!(almost.is_err(), "the lease was renewed in time");
        fleet.heartbeat("n1", "a", 0, String::new(), None, now());
    }
    fleet.register(node("n1", "b"));
    assert_eq!(gone.await, Gone::Restarted("b".into()));
    assert_eq!(fleet.gone("n1", &["b"]).await, Gone::Lost);
    assert_eq!(fleet.gone("n2", &[]).await, Gone::Lost);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_left_gets_nothing_and_may_end_what_it_has_within_its_lease() {
    let fleet = Fleet::new(LEASE, Vec::new());
    fleet.register(node("n1", "a"));
    let id = WorkspaceId::from_number(1);
    assert_eq!(fleet.place(&id, &[], &[]).as_deref(), Some("n1"));
    assert!(!fleet.leave("n1", "b") && !fleet.leave("n2", "a"));
    assert!(fleet.leave("n1", "a"));
    assert_eq!(fleet.get("n1").expect("node").standing, Standing::Left);
    assert_eq!(fleet.place(&id, &[], &[]), None);
    assert!(
        fleet
            .heartbeat("n1", "a", 0, String::new(), None, now())
            .is_none(),
        "a late one"
    );
    let began = Instant::now();
    assert_eq!(fleet.gone("n1", &["a"]).await, Gone::Lost);
    assert_eq!(began.elapsed(), LEASE);
    fleet.register(node("n1", "b"));
    assert_eq!(fleet.place(&id, &[], &[]).as_deref(), Some("n1"));
    assert_eq!(fleet.place(&id, &[], &["n1".to_owned()]), None);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_nodes_that_have_spoken_are_chosen_first() {
    let mut left = node("n3", "c");
    left.has_left = true;
    let fleet = Fleet::new(LEASE, vec![node("n1", "a"), node("n2", "b"), left]);
    let busy = [Load {
        node: "n2".into(),
        unsettled: 9,
        workspaces: 9,
    }];
    let id = WorkspaceId::from_number(1);
    assert_eq!(fleet.place(&id, &busy, &[]).as_deref(), Some("n1"));
    fleet.heartbeat("n2", "b", 0, String::new(), None, now());
    assert_eq!(fleet.place(&id, &busy, &[]).as_deref(), Some("n2"));
}

#[tokio::test(start_paused = true)]
async fn a_workspace_can_be_used_while_its_node_is_there_and_its_container_runs() {
    let fleet = Fleet::new(LEASE, Vec::new());
    assert_eq!(fleet.unusable("n1", "w", "c"), Some(Unusable::NodeRemoved));
    fleet.register(node("n1", "a"));
    assert_eq!(fleet.unusable("n1", "w", "c"), None, "nothing is known yet");
    let report = |running: &[&str], preparing: &[&str]| {
        let texts = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        let containers = NodeContainers {
            running_container_ids: texts(running),
            preparing_workspace_ids: texts(preparing),
        };
        fleet.heartbeat("n1", "a", 0, String::new(), Some(containers), now());
    };
    let gone = Some(Unusable::ContainerGone);
    report(&["c", "d"], &[]);
    assert_eq!(fleet.unusable("n1", "w", "c"), None);
    assert_eq!(fleet.unusable("n1", "w", "other"), gone);
    assert_eq!(fleet.unusable("n1", "w", ""), None, "it never said which");
    report(&["d"], &["w"]);
    assert_eq!(fleet.unusable("n1", "w", "c"), None, "it may be replaced");
    report(&[], &[]);
    assert_eq!(fleet.unusable("n1", "w", "c"), gone);
    fleet.heartbeat("n1", "a", 0, String::new(), None, now());
    assert_eq!(
        fleet.unusable("n1", "w", "c"),
        gone,
        "the engine did not say"
    );
    fleet.prepares("n1", &"w".parse().expect("an id"));
    assert_eq!(fleet.unusable("n1", "w", "c2"), None, "a new attempt");
    report(&["d"], &[]);
    assert_eq!(
        fleet.unusable("n1", "w", "c2"),
        None,
        "this list may have been made before"
    );
    report(&["c2"], &[]);
    assert_eq!(fleet.unusable("n1", "w", "c2"), None);
    report(&[], &[]);
    assert_eq!(fleet.unusable("n1", "w", "c2"), gone);
    tokio::time::advance(LEASE).await;
    assert_eq!(fleet.unusable("n1", "w", "c"), Some(Unusable::NodeLost));
    fleet.leave("n1", "a");
    assert_eq!(fleet.unusable("n1", "w", "c"), Some(Unusable::NodeLeft));
}

#[tokio::test(start_paused = true)]
async fn a_restart_gives_every_node_a_full_lease() {
    let mut known = node("n1", "a");
    known.heartbeat = crate::clock::from_millis(0);
    let fleet = Fleet::new(LEASE, vec![known]);
    let standing = || fleet.get("n1").expect("node").standing;
    assert_eq!(standing(), Standing::Expected);
    tokio::time::advance(LEASE - Duration::from_millis(1)).await;
    assert_eq!(standing(), Standing::Expected);
    fleet.heartbeat("n1", "a", 0, String::new(), None, now());
    assert_eq!(standing(), Standing::Online);
    tokio::time::advance(LEASE).await;
    assert_eq!(standing(), Standing::Lost);
}

#[test]
fn a_node_whose_engine_does_not_answer_gets_nothing_and_its_workspaces_are_lost_meanwhile() {
    let fleet = Fleet::new(LEASE, Vec::new());
    fleet.register(node("n1", "a"));
    let (id, beat) = ("ws-1".parse().expect("an id"), |problem: &str| {
        fleet.heartbeat("n1", "a", 0, problem.to_owned(), None, now())
    });
    assert_eq!(fleet.place(&id, &[], &[]).as_deref(), Some("n1"));
    beat("the engine does not answer").expect("it is known");
    assert_eq!(fleet.place(&id, &[], &[]), None);
    let seen = fleet.get("n1").expect("node");
    assert_eq!(seen.standing, Standing::Unavailable);
    assert_eq!(seen.info.problem, "the engine does not answer");
    let unusable = fleet.unusable("n1", "ws-1", "c");
    assert_eq!(unusable, Some(Unusable::NodeUnavailable));
    beat("").expect("it is known");
    assert_eq!(fleet.get("n1").expect("node").standing, Standing::Online);
    assert_eq!(fleet.unusable("n1", "ws-1", "c"), None);
}
