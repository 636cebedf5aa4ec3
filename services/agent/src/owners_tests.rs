use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

struct World {
    dir: tempfile::TempDir,
    owners: Owners,
}

fn attempt(workspace: &str, number: u32) -> AttemptRef {
    AttemptRef {
        workspace: workspace.parse().unwrap(),
        number,
    }
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let owners = Owners::load(dir.path(), WEEK, &Metrics::default());
        Self { dir, owners }
    }

    /// The agent is started again.
    fn restarted(self) -> Self {
        let owners = Owners::load(self.dir.path(), WEEK, &Metrics::default());
        Self { owners, ..self }
    }

    async fn registered(&self, plane: &str, present: &[&str], unknown: &[&str]) {
        let present: Vec<_> = present.iter().map(|id| id.parse().unwrap()).collect();
        let unknown = unknown.iter().map(ToString::to_string).collect();
        let owners = &self.owners;
        owners.registered(plane, &present, &[], &unknown).await;
    }

    /// Each workspace in quarantine, with the days that are left.
    fn quarantined(&self) -> Vec<(String, Option<u64>)> {
        let quarantined = self.owners.quarantined().into_iter();
        let days = |seconds| seconds / DAY.as_secs();
        quarantined
            .map(|one| (one.workspace_id, one.seconds_left.map(days)))
            .collect()
    }
}

fn of(workspace: &str, days_left: Option<u64>) -> Vec<(String, Option<u64>)> {
    vec![(workspace.to_owned(), days_left)]
}

#[tokio::test]
async fn what_its_own_control_plane_does_not_know_waits_and_goes_once_when_its_time_is_up() {
    let mut world = World::new();
    world.registered("a", &[], &[]).await;
    world.owners.begins(&attempt("ws-1", 1), "a").await;
    world.owners.begins(&attempt("ws-2", 1), "a").await;
    let (both, one) = (["ws-1", "ws-2"], ["ws-2"]);
    world.registered("a", &both, &one).await;
    assert_eq!(world.quarantined(), of("ws-2", Some(7)));
    for day in 1..7 {
        let heard = world.owners.heard("a", DAY).await;
        assert_eq!(heard, Heard::default());
        assert_eq!(world.quarantined(), of("ws-2", Some(7 - day)));
        world = world.restarted();
        // The time that was counted so far is kept.
        world.registered("a", &both, &one).await;
    }
    let heard = world.owners.heard("a", DAY).await;
    assert_eq!(heard.to_remove, ["ws-2".parse().unwrap()]);
    let heard = world.owners.heard("a", DAY).await;
    assert_eq!(heard, Heard::default(), "once");
    world.owners.removed(&"ws-2".parse().unwrap()).await;
    assert_eq!(world.quarantined(), []);
}

#[tokio::test]
async fn what_another_control_plane_had_prepared_stays_and_is_as_before_when_that_is_back() {
    let world = World::new();
    world.registered("a", &[], &[]).await;
    world.owners.begins(&attempt("ws-1", 3), "a").await;
    let ws = ["ws-1"];
    world.registered("b", &ws, &ws).await;
    for _ in 0..100 {
        assert_eq!(world.owners.heard("b", DAY).await, Heard::default());
    }
    assert_eq!(world.quarantined(), of("ws-1", None));
    let heard = world.owners.heard("a", DAY).await;
    assert!(heard.is_another, "the node registers again");
    world.registered("a", &ws, &[]).await;
    assert_eq!(world.quarantined(), []);
    assert!(!world.owners.outlasts(&attempt("ws-1", 3)));
    // It begins anew when it is not known again.
    world.registered("a", &ws, &ws).await;
    assert_eq!(world.quarantined(), of("ws-1", Some(7)));
}

#[tokio::test]
async fn what_is_not_known_to_anybody_stays() {
    let world = World::new();
    let ws = ["ws-1"];
    world.registered("a", &ws, &ws).await;
    let heard = world.owners.heard("a", 100 * DAY).await;
    assert_eq!(heard, Heard::default());
    assert_eq!(world.quarantined(), of("ws-1", None));
    // From before workspaces had owners: it belongs to who knows it.
    world.registered("a", &ws, &[]).await;
    world.registered("b", &ws, &ws).await;
    assert_eq!(world.owners.quarantined()[0].control_plane_id, "a");
}

#[tokio::test]
async fn what_the_control_plane_has_confirmed_is_not_taken_back_when_it_takes_it_for_failed() {
    let mut world = World::new();
    let [first, second] = [attempt("ws-1", 1), attempt("ws-2", 2)];
    world.registered("a", &[], &[]).await;
    world.owners.begins(&first, "a").await;
    world.owners.begins(&second, "a").await;
    assert!(world.owners.outlasts(&attempt("ws-2", 1)), "it is newer");
    let others = world.owners.unconfirmed(std::slice::from_ref(&second));
    assert_eq!(others, std::slice::from_ref(&first));
    // Of an earlier attempt nothing counts.
    let earlier = attempt("ws-2", 1);
    world.owners.confirmed(&[first.clone(), earlier]).await;
    world = world.restarted();
    let ws = ["ws-1", "ws-2"];
    world.registered("a", &ws, &[]).await;
    assert!(world.owners.outlasts(&first));
    assert!(!world.owners.outlasts(&second));
    assert_eq!(world.owners.unconfirmed(&[]), [second]);
    // A new attempt is its own again.
    let again = attempt("ws-1", 2);
    world.owners.begins(&again, "a").await;
    assert!(!world.owners.outlasts(&again));
    assert_eq!(world.owners.newest(&again.workspace), 2);
    // Another control plane is not asked.
    world.registered("b", &ws, &ws).await;
    assert_eq!(world.owners.unconfirmed(&[]), []);
}

#[tokio::test]
async fn a_file_that_is_lost_or_nonsense_and_a_control_plane_without_an_id_remove_nothing() {
    let mut world = World::new();
    let ws = ["ws-1"];
    for nonsense in ["", "{", "[1]", r#"{"workspaces":1}"#] {
        std::fs::write(world.dir.path().join("owners.json"), nonsense).unwrap();
        world = world.restarted();
        world.registered("", &ws, &ws).await;
        assert_eq!(world.owners.heard("", 100 * DAY).await, Heard::default());
        world.registered("a", &ws, &ws).await;
        let heard = world.owners.heard("a", 100 * DAY).await;
        assert_eq!(heard, Heard::default(), "{nonsense}");
    }
}
