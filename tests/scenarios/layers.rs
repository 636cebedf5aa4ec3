//! Which way images come to a node.

use hearth_api::v1::{
    CacheResult, InvalidateEntryRequest, PushOutcome, WorkspaceState,
    cache_service_client::CacheServiceClient, event::Kind,
};
use hearth_tests::{Lab, Vm, app, client::Story};

/// How often images came to a node, by each way.
fn ways(lab: &Lab, node: usize) -> Vec<String> {
    counted(lab, node, "hearth_agent_fetches_total")
}

/// How often a node pushed images, by each way.
fn pushes(lab: &Lab, node: usize) -> Vec<String> {
    counted(lab, node, "hearth_agent_push_ways_total")
}

fn counted(lab: &Lab, node: usize, metric: &str) -> Vec<String> {
    let metrics = lab.agents[node - 1].metrics();
    let lines = metrics.lines().filter_map(|line| line.strip_prefix(metric));
    lines.map(str::to_owned).collect()
}

fn warnings(story: &Story) -> Vec<String> {
    let warning = |kind: &Kind| match kind {
        Kind::Warning(warning) => Some(warning.message.clone()),
        _ => None,
    };
    story.kinds().filter_map(warning).collect()
}

#[tokio::test]
async fn a_hit_is_fetched_by_the_agent_and_what_is_built_on_it_is_pushed() {
    let lab = Lab::new(3).await;
    let repo = app::repo(&lab, "app");
    let cold = lab.client.prepare("node-1", &repo.url).await;
    cold.assert_push(PushOutcome::Pushed);
    assert_eq!(pushes(&lab, 1), [r#"{way="DIRECT"} 1"#]);
    // The node that pushed it has an image of its own with another manifest, and all its layers.
    let own = lab.client.prepare("node-1", &repo.url).await;
    own.assert_result(CacheResult::Exact);
    assert_eq!(own.workspace.cache.as_ref().unwrap().bytes_fetched, 0);
    let hit = lab.client.prepare("node-2", &repo.url).await;
    hit.assert_result(CacheResult::Exact);
    assert_eq!(ways(&lab, 2), [r#"{way="DIRECT"} 1"#]);
    assert_eq!(warnings(&hit), Vec::<String>::new());

    repo.commit(&[("app/main", "second\n")]);
    let partial = lab.client.prepare("node-2", &repo.url).await;
    partial.assert_state(WorkspaceState::Ready);
    partial.assert_result(CacheResult::Partial);
    partial.assert_push(PushOutcome::Pushed);
    assert_eq!(pushes(&lab, 2), [r#"{way="DIRECT"} 1"#]);
    let again = lab.client.prepare("node-3", &repo.url).await;
    again.assert_result(CacheResult::Exact);
    assert_eq!(ways(&lab, 3), [r#"{way="DIRECT"} 1"#]);
    let id = &again.workspace.container_id;
    assert_eq!(lab.vms[2].cat(id, "/opt/built"), "second");
}

#[tokio::test]
async fn where_the_agent_cannot_fetch_an_image_the_engine_pulls_it() {
    let mut lab = Lab::new(1).await;
    let classic = Vm::start_classic(lab.folder("classic"));
    lab.add_node_on(classic, &[]).await;
    lab.add_node(&["--containerd", "off"]).await;
    // The containerd of another engine: the image arrives, and this engine does not see it.
    let other = lab.vms[0].containerd();
    lab.add_node(&["--containerd", &other]).await;
    let repo = app::repo(&lab, "app");
    // The containerd of another engine does not have the image, nor does the registry have one for the key yet.
    let built = lab.client.prepare("node-4", &repo.url).await;
    built.assert_push(PushOutcome::Pushed);
    let message = built.workspace.push.unwrap().message;
    assert!(message.contains("the engine pushed it"), "{message}");
    assert_eq!(pushes(&lab, 4), [r#"{way="FALLBACK"} 1"#]);
    repo.commit(&[("app/main", "second\n")]);
    lab.client
        .prepare("node-1", &repo.url)
        .await
        .assert_push(PushOutcome::Pushed);
    for (node, way) in [(2, "ENGINE"), (3, "ENGINE"), (4, "FALLBACK")] {
        let hit = lab.client.prepare(&format!("node-{node}"), &repo.url).await;
        hit.assert_result(CacheResult::Exact);
        hit.assert_state(WorkspaceState::Ready);
        assert_eq!(ways(&lab, node), [format!(r#"{{way="{way}"}} 1"#)]);
        let warned = warnings(&hit).join("\n");
        assert_eq!(
            warned.contains("does not see the image"),
            node == 4,
            "{warned}"
        );
    }
}

#[tokio::test]
async fn a_frame_index_is_in_the_registry_as_long_as_its_image() {
    let lab = Lab::new(1).await;
    let repo = app::repo(&lab, "app");
    let built = lab.client.prepare("node-1", &repo.url).await;
    built.assert_push(PushOutcome::Pushed);
    let indexes = async || {
        let tags = lab.registry.tags(&lab.cache_path(&repo.url)).await;
        tags.iter().filter(|tag| tag.ends_with("-frames")).count()
    };
    assert_eq!(indexes().await, 1);
    repo.commit(&[("app/main", "second\n")]);
    let edited = lab.client.prepare("node-1", &repo.url).await;
    edited.assert_push(PushOutcome::Pushed);
    assert_eq!(indexes().await, 2);
    let url = lab.control_plane.url();
    let mut service = CacheServiceClient::connect(url).await.unwrap();
    for (key, left) in [(built.cache().key, 1), (edited.cache().key, 0)] {
        let request = InvalidateEntryRequest {
            repository: repo.url.clone(),
            key,
            ..InvalidateEntryRequest::default()
        };
        let dropped = service.invalidate_entry(request).await.unwrap();
        assert_eq!(dropped.into_inner().warnings, Vec::<String>::new());
        assert_eq!(indexes().await, left);
    }
}

/// Bytes of layers that a node fetched, by `source`, or served.
fn bytes(lab: &Lab, node: usize, of: &str) -> u64 {
    let metrics = lab.agents[node - 1].metrics();
    let counted = metrics.lines().find_map(|line| line.strip_prefix(of));
    counted.map_or(0, |count| count.trim().parse().unwrap())
}

#[tokio::test]
async fn a_node_gets_the_layers_of_a_hit_from_its_neighbour_and_from_the_registry_once_that_is_gone()
 {
    let mut lab = Lab::new(1).await;
    for _ in 2..=4 {
        lab.add_node(&["--neighbours-listen", "127.0.0.1:0"]).await;
    }
    let repo = app::repo(&lab, "app");
    let cold = lab.client.prepare("node-1", &repo.url).await;
    cold.assert_push(PushOutcome::Pushed);
    const FROM_REGISTRY: &str = r#"hearth_agent_fetched_bytes_total{source="registry"}"#;
    const FROM_NEIGHBOUR: &str = r#"hearth_agent_fetched_bytes_total{source="neighbour"}"#;
    for (node, is_near) in [(2, false), (3, true), (4, false)] {
        if node == 4 {
            // An agent that is killed says nothing; the control plane still takes them for neighbours.
            lab.agents[1].kill();
            lab.agents[2].kill();
        }
        let hit = lab.client.prepare(&format!("node-{node}"), &repo.url).await;
        hit.assert_state(WorkspaceState::Ready);
        hit.assert_result(CacheResult::Exact);
        assert_eq!(ways(&lab, node), [r#"{way="DIRECT"} 1"#]);
        let report = hit.workspace.cache.as_ref().unwrap();
        let near = if is_near { report.bytes_fetched } else { 0 };
        assert!(report.bytes_fetched > 0);
        assert_eq!(report.bytes_from_neighbours, near, "{report:?}");
        assert_eq!(bytes(&lab, node, FROM_NEIGHBOUR), near);
        assert_eq!(
            bytes(&lab, node, FROM_REGISTRY),
            report.bytes_fetched - near
        );
        if is_near {
            assert_eq!(bytes(&lab, 2, "hearth_agent_served_bytes_total"), near);
        }
        assert_eq!(warnings(&hit), Vec::<String>::new());
    }
}
