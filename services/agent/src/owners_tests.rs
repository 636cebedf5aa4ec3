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

fn plane(id: &str, run_seconds: u64) -> ControlPlaneId<'_> {
    ControlPlaneId { id, run_seconds }
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

    async fn registered(&self, plane: ControlPlaneId<'_>, present: &[&str], unknown: &[&str]) {
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
    world.registered(plane("a", 10), &[], &[]).await;
    world.owners.begins(&attempt("ws-1", 1), "a").await;
    world.owners.begins(&attempt("ws-2", 1), "a").await;
    let (both, one) = (["ws-1", "ws-2"], ["ws-2"]);
    world.registered(plane("a", 20), &both, &one).await;
    assert_eq!(world.quarantined(), of("ws-2", Some(7)));
    for day in 1..7 {
        let heard = world.owners.heard(plane("a", 1000 * day), DAY).await;
        assert_eq!(heard, Heard::default());
        assert_eq!(world.quarantined(), of("ws-2", Some(7 - day)));
        world = world.restarted();
        // The time that was counted so far is kept.
        world.registered(plane("a", 1000 * day), &both, &one).await;
    }
    let heard = world.owners.heard(plane("a", 8000), DAY).await;
    assert_eq!(heard.to_remove, ["ws-2".parse().unwrap()]);
    let heard = world.owners.heard(plane("a", 8000), DAY).await;
    assert_eq!(heard, Heard::default(), "once");
    world.owners.removed(&"ws-2".parse().unwrap()).await;
    assert_eq!(world.quarantined(), []);
}

#[tokio::test]
async fn what_another_control_plane_had_prepared_stays_and_is_as_before_when_that_is_back() {
    let world = World::new();
    world.registered(plane("a", 10), &[], &[]).await;
    world.owners.begins(&attempt("ws-1", 3), "a").await;
    let ws = ["ws-1"];
    world.registered(plane("b", 5), &ws, &ws).await;
    for _ in 0..100 {
        assert_eq!(
            world.owners.heard(plane("b", 5), DAY).await,
            Heard::default()
        );
    }
    assert_eq!(world.quarantined(), of("ws-1", None));
    let heard = world.owners.heard(plane("a", 10), DAY).await;
    assert!(heard.is_another, "the node registers again");
    world.registered(plane("a", 11), &ws, &[]).await;
    assert_eq!(world.quarantined(), []);
    assert!(!world.owners.outlasts(&attempt("ws-1", 3)));
    // It begins anew when it is not known again.
    world.registered(plane("a", 12), &ws, &ws).await;
    assert_eq!(world.quarantined(), of("ws-1", Some(7)));
}

#[tokio::test]
async fn what_is_not_known_to_anybody_stays() {
    let world = World::new();
    let ws = ["ws-1"];
    world.registered(plane("a", 10), &ws, &ws).await;
    let heard = world.owners.heard(plane("a", 11), 100 * DAY).await;
    assert_eq!(heard, Heard::default());
    assert_eq!(world.quarantined(), of("ws-1", None));
    // From before workspaces had owners: it belongs to who knows it.
    world.registered(plane("a", 12), &ws, &[]).await;
    world.registered(plane("b", 12), &ws, &ws).await;
    assert_eq!(world.owners.quarantined()[0].control_plane_id, "a");
}

#[tokio::test]
async fn an_older_copy_of_the_database_does_not_take_back_what_it_takes_for_failed() {
    let mut world = World::new();
    world.registered(plane("a", 10), &[], &[]).await;
    world.owners.begins(&attempt("ws-1", 1), "a").await;
    world.owners.begins(&attempt("ws-2", 2), "a").await;
    let ws = ["ws-1", "ws-2"];
    assert!(world.owners.outlasts(&attempt("ws-2", 1)), "it is newer");
    assert!(!world.owners.outlasts(&attempt("ws-2", 2)));
    world.registered(plane("a", 9_000), &ws, &[]).await;
    // Killed a few seconds after it had noted for how long it has run.
    let heard = world.owners.heard(plane("a", 8_990), DAY).await;
    assert!(heard.is_another);
    world.registered(plane("a", 8_990), &ws, &[]).await;
    assert!(!world.owners.outlasts(&attempt("ws-1", 1)));
    // Restored from a backup of an hour before.
    world = world.restarted();
    world.registered(plane("a", 5_400), &ws, &[]).await;
    world = world.restarted();
    assert!(world.owners.outlasts(&attempt("ws-1", 1)));
    // A new attempt is its own again.
    world.owners.begins(&attempt("ws-1", 2), "a").await;
    assert!(!world.owners.outlasts(&attempt("ws-1", 2)));
    assert_eq!(world.owners.newest(&"ws-1".parse().unwrap()), 2);
}

#[tokio::test]
async fn a_file_that_is_lost_or_nonsense_and_a_control_plane_without_an_id_remove_nothing() {
    let mut world = World::new();
    let ws = ["ws-1"];
    for nonsense in ["", "{", "[1]", r#"{"workspaces":1}"#] {
        std::fs::write(world.dir.path().join("owners.json"), nonsense).unwrap();
        world = world.restarted();
        world.registered(plane("", 0), &ws, &ws).await;
        assert_eq!(
            world.owners.heard(plane("", 0), 100 * DAY).await,
            Heard::default()
        );
        world.registered(plane("a", 1), &ws, &ws).await;
        let heard = world.owners.heard(plane("a", 1), 100 * DAY).await;
        assert_eq!(heard, Heard::default(), "{nonsense}");
    }
}
