//! Tables of workspaces and nodes, and the table that all others use.

use console::{Alignment, measure_text_width, pad_str};
use hearth_api::v1::{Node, NodeInfo, Workspace, WorkspaceState};
use hearth_domain::text::printable_line;
use prost_types::Timestamp;

use super::{
    format::{age, bytes, cut_middle},
    names, outcome,
};

/// Columns of a terminal or a window that nobody has widened much.
const COLUMNS: usize = 100;
/// A cell that is cut keeps as many columns.
const LEAST: usize = 12;
const GAP: &str = "  ";

/// How much room a table may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Long cells are cut until it fits [`COLUMNS`].
    Fitted,
    /// As much as it needs, with all columns.
    Wide,
}

/// `hearth ls`
pub(crate) fn workspaces(workspaces: &[Workspace], room: Room, now: &Timestamp) -> String {
    let cells = |workspace: &Workspace| {
        let spec = workspace.spec.clone().unwrap_or_default();
        [
            workspace.id.clone(),
            state(workspace),
            workspace.node.clone(),
            spec.repository,
            outcome::cache_word(workspace.cache.as_ref()),
            age(workspace.create_time.as_ref(), now),
        ]
    };
    let head = ["ID", "STATE", "NODE", "REPOSITORY", "CACHE", "AGE"];
    if room == Room::Fitted {
        return fitted(head, workspaces.iter().map(cells), &[2, 3], room);
    }
    let rows = workspaces.iter().map(|workspace| {
        let [id, state, node, repository, cache, age] = cells(workspace);
        let (owner, labels) = (workspace.owner.clone(), labels(workspace));
        [id, state, node, repository, cache, age, owner, labels]
    });
    let [id, state, node, repository, cache, age] = head;
    let head = [id, state, node, repository, cache, age, "OWNER", "LABELS"];
    fitted(head, rows, &[], room)
}

/// `team=web,ticket=7`
pub(super) fn labels(workspace: &Workspace) -> String {
    let labels = workspace.labels.iter();
    let labels = labels.map(|(key, value)| format!("{key}={value}"));
    labels.collect::<Vec<_>>().join(",")
}

/// The state; of STOPPED with its cause, and of LOST with its reason, which says whether node or container is to be looked
/// after.
fn state(workspace: &Workspace) -> String {
    let state = names::state(workspace.state);
    if workspace.state() == WorkspaceState::Stopped {
        return format!("{state} ({})", names::stop_cause(workspace.stop_cause));
    }
    match &workspace.failure {
        Some(failure) if workspace.state() == WorkspaceState::Lost => {
            let reason = names::failure_reason(failure.reason);
            format!("{state} ({})", reason.to_lowercase().replace('_', " "))
        }
        _ => state,
    }
}

/// `hearth nodes`
pub(crate) fn nodes(nodes: &[Node], room: Room, now: &Timestamp) -> String {
    let rows = nodes.iter().map(|node| {
        let NodeInfo {
            platform,
            engine,
            image_store,
            disk_free_bytes,
            ..
        } = node.info.clone().unwrap_or_default();
        [
            node.name.clone(),
            names::node_state(node.state),
            platform,
            engine,
            names::image_store(image_store),
            bytes(disk_free_bytes),
            node.workspaces.to_string(),
            age(node.heartbeat_time.as_ref(), now),
        ]
    });
    let head = [
        "NAME",
        "STATE",
        "PLATFORM",
        "ENGINE",
        "STORE",
        "DISK FREE",
        "WORKSPACES",
        "SEEN",
    ];
    let mut text = fitted(head, rows, &[0, 3], room);
    for node in nodes {
        let problem = node.info.as_ref().map(|info| printable_line(&info.problem));
        if let Some(problem) = problem.filter(|problem| !problem.is_empty()) {
            text.push_str(&format!("{}: {problem}\n", printable_line(&node.name)));
        }
        if !node.quarantined.is_empty() {
            text.push_str(&quarantined(node));
        }
    }
    text
}

/// The workspaces of a node that the control plane does not know, and what becomes of them.
fn quarantined(node: &Node) -> String {
    const SHOWN: usize = 5;
    let ids = |foreign: bool| {
        let those = node.quarantined.iter();
        let those: Vec<_> = those
            .filter(|one| one.seconds_left.is_none() == foreign)
            .map(|one| match one.seconds_left {
                None => one.workspace_id.clone(),
                Some(left) => format!("{} (for {})", one.workspace_id, days_or_hours(left)),
            })
            .collect();
        let more = those.len().saturating_sub(SHOWN);
        let mut text = those[..those.len() - more].join(", ");
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
        text
    };
    let mut text = format!(
        "{}: {} in quarantine, not known to this control plane:",
        node.name,
        node.quarantined.len()
    );
    for (what, ids) in [
        ("kept", ids(false)),
        ("of another control plane, kept", ids(true)),
    ] {
        if !ids.is_empty() {
            text.push_str(&format!(" {what}: {ids}."));
        }
    }
    text.push_str(&format!(
        " Remove them with: hearth nodes discard {} ID",
        node.name
    ));
    printable_line(&text) + "\n"
}

fn days_or_hours(seconds: u64) -> String {
    match seconds / 86_400 {
        0 => format!("{} h", seconds / 3600),
        days => format!("{days} d"),
    }
}

/// A table with its cells as they are.
pub(crate) fn table<const N: usize>(
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    fitted(head, rows, &[], Room::Wide)
}

/// A table whose columns `cuttable` may be cut in their middle, the widest first, so that it has room.
///
/// Columns are as wide as their widest cell on a terminal, where a character may take two places or none.
pub(super) fn fitted<const N: usize>(
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    cuttable: &[usize],
    room: Room,
) -> String {
    // With an empty cell the columns after it would be hard to tell apart.
    let clean = rows.map(|row| {
        row.map(|cell| match printable_line(&cell) {
            cell if cell.is_empty() => "-".to_owned(),
            cell => cell,
        })
    });
    let rows: Vec<[String; N]> = [head.map(str::to_owned)].into_iter().chain(clean).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(measure_text_width(cell));
        }
    }
    if room == Room::Fitted {
        fit(&mut widths, cuttable);
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths);
        let padded: Vec<_> = cells
            .map(|(cell, width)| {
                let cell = cut_middle(cell, width);
                pad_str(&cell, width, Alignment::Left, None).into_owned()
            })
            .collect();
        text.push_str(padded.join(GAP).trim_end());
        text.push('\n');
    }
    text
}

/// Narrows the widest column of those that may be cut, again and again.
fn fit(widths: &mut [usize], cuttable: &[usize]) {
    let gaps = GAP.len() * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > COLUMNS {
        let widest = cuttable.iter().max_by_key(|column| widths[**column]);
        match widest.map(|column| &mut widths[*column]) {
            Some(width) if *width > LEAST => *width -= 1,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::{
        CacheReport, CacheResult, Failure, FailureReason, ImageStore, NodeState,
        QuarantinedWorkspace, WorkspaceSpec,
    };

    use super::*;

    const NOW: Timestamp = Timestamp {
        seconds: 1000,
        nanos: 0,
    };

    #[test]
    fn workspaces_are_a_table_without_escape_sequences() {
        let workspace = |id: &str, repository: &str, cache| Workspace {
            id: id.into(),
            node: "node-1".into(),
            state: WorkspaceState::Ready.into(),
            spec: Some(WorkspaceSpec {
                repository: repository.into(),
                ..Default::default()
            }),
            cache,
            create_time: Some(Timestamp {
                seconds: 880,
                nanos: 0,
            }),
            ..Default::default()
        };
        let cache = CacheReport {
            result: CacheResult::Partial.into(),
            steps_total: 10,
            steps_reused: 7,
            ..Default::default()
        };
        let rows = [
            workspace(
                "w-long-name",
                "https://git.example/\u{1b}[31ma\nb",
                Some(cache),
            ),
            workspace("w", "", None),
        ];
        assert_eq!(
            workspaces(&rows, Room::Fitted, &NOW),
            "\
ID           STATE  NODE    REPOSITORY               CACHE  AGE
w-long-name  READY  node-1  https://git.example/a b  7/10   2m
w            READY  node-1  -                        -      2m
"
        );
    }

    #[test]
    fn long_names_lose_their_middle_until_a_table_fits_and_ids_stay() {
        let name = "https://git.example/a-team-with-a-long-name/and-its-service-with-a-longer-name";
        let workspace = Workspace {
            id: "ws-8df505e0b1e7".into(),
            node: "node-".repeat(12),
            state: WorkspaceState::Recovery.into(),
            spec: Some(WorkspaceSpec {
                repository: name.into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let fitted = workspaces(std::slice::from_ref(&workspace), Room::Fitted, &NOW);
        for line in fitted.lines() {
            assert!(measure_text_width(line) <= COLUMNS, "{fitted}");
        }
        assert!(
            fitted.contains("ws-8df505e0b1e7  RECOVERY  node-"),
            "{fitted}"
        );
        assert!(fitted.contains("longer-name"), "{fitted}");
        assert!(workspaces(&[workspace], Room::Wide, &NOW).contains(name));
    }

    #[test]
    fn a_lost_workspace_says_what_was_lost() {
        let failed = |state: WorkspaceState| Workspace {
            state: state.into(),
            failure: Some(Failure {
                reason: FailureReason::ContainerGone.into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let cells = [WorkspaceState::Lost, WorkspaceState::Failed].map(|of| state(&failed(of)));
        assert_eq!(cells, ["LOST (container gone)", "FAILED"]);
    }

    #[test]
    fn columns_line_up_on_a_terminal_whatever_characters_their_cells_have() {
        let cells = ["ascii", "日本語", "cafe\u{301}", "👩‍💻", "\u{200b}a"];
        let text = table(
            ["A", "B"],
            cells
                .into_iter()
                .map(|cell| [cell.to_owned(), "x".to_owned()]),
        );
        for line in text.lines() {
            let (first, _) = line.split_at(line.len() - 1);
            assert_eq!(
                measure_text_width(first),
                "日本語".len() * 2 / 3 + 2,
                "{text}"
            );
        }
    }

    #[test]
    fn nodes_are_a_table_even_before_their_agents_said_anything() {
        let rows = [
            Node {
                name: "node-1".into(),
                state: NodeState::Online.into(),
                info: Some(NodeInfo {
                    platform: "linux/amd64".into(),
                    engine: "Docker 26.1.5".into(),
                    image_store: ImageStore::Containerd.into(),
                    disk_free_bytes: 52_000_000_000,
                    ..Default::default()
                }),
                workspaces: 2,
                heartbeat_time: Some(NOW),
                quarantined: vec![
                    QuarantinedWorkspace {
                        workspace_id: "ws-1".into(),
                        control_plane_id: "a".into(),
                        seconds_left: Some(6 * 86_400 + 7),
                    },
                    QuarantinedWorkspace {
                        workspace_id: "ws-\u{1b}[7m2".into(),
                        control_plane_id: "b".into(),
                        seconds_left: None,
                    },
                ],
                trust: None,
            },
            Node::default(),
        ];
        assert_eq!(
            nodes(&rows, Room::Fitted, &NOW),
            "\
NAME    STATE        PLATFORM     ENGINE         STORE        DISK FREE  WORKSPACES  SEEN
node-1  ONLINE       linux/amd64  Docker 26.1.5  containerd   52 GB      2           0s
-       UNSPECIFIED  -            -              unspecified  0 B        0           -
node-1: 2 in quarantine, not known to this control plane: kept: ws-1 (for 6 d). of another control plane, kept: \
ws-2. Remove them with: hearth nodes discard node-1 ID
"
        );
    }
}
