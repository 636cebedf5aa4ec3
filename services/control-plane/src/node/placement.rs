//! Where a workspace is placed. Pure: the store asks inside the transaction that writes the workspace, so that of many that
//! are placed at once each sees the ones before it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use hearth_domain::WorkspaceId;

use crate::store::Load;

/// The node that has the least to do. Attempts that go on count first; workspaces that have settled need no work and only
/// break ties. Nodes that are equal in both get workspaces by chance, so that none is always the first.
pub(super) fn least_loaded(
    nodes: impl Iterator<Item = String>,
    loads: &[Load],
    workspace: &WorkspaceId,
) -> Option<String> {
    let weight = |node: &String| {
        let load = loads.iter().find(|load| load.node == *node);
        let (unsettled, all) = load.map_or((0, 0), |load| (load.unsettled, load.workspaces));
        let mut chance = DefaultHasher::new();
        (node, workspace.as_str()).hash(&mut chance);
        (unsettled, all, chance.finish())
    };
    nodes.min_by_key(weight)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn place(loads: &[(&str, u64, u64)], number: u64) -> String {
        let known: Vec<Load> = loads
            .iter()
            .map(|&(node, unsettled, workspaces)| Load {
                node: node.to_owned(),
                unsettled,
                workspaces,
            })
            .collect();
        let nodes = ["n1", "n2", "n3"].map(str::to_owned).into_iter();
        let id = WorkspaceId::from_number(number);
        least_loaded(nodes, &known, &id).expect("a node")
    }

    #[test]
    fn work_weighs_more_than_what_is_settled_and_that_more_than_nothing() {
        assert_eq!(place(&[("n1", 1, 1), ("n2", 2, 2), ("n3", 0, 90)], 1), "n3");
        assert_eq!(place(&[("n1", 1, 9), ("n2", 1, 8), ("n3", 2, 2)], 1), "n2");
        assert_eq!(
            place(&[("n1", 0, 1), ("n3", 0, 2)], 1),
            "n2",
            "an empty one"
        );
        assert_eq!(
            place(&[("gone", 0, 0), ("n1", 1, 1), ("n2", 1, 1)], 1),
            "n3"
        );
    }

    #[test]
    fn equal_nodes_share_what_comes_one_after_the_other() {
        let mut chosen = BTreeMap::<String, u32>::new();
        for number in 0..300 {
            *chosen.entry(place(&[], number)).or_default() += 1;
        }
        assert!(
            chosen.len() == 3 && chosen.values().all(|&n| n > 50),
            "{chosen:?}"
        );
    }

    #[test]
    fn without_a_node_there_is_no_place() {
        let id = WorkspaceId::from_number(1);
        assert_eq!(least_loaded(std::iter::empty(), &[], &id), None);
    }
}
