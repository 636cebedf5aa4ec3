//! How far the nodes are while the CA of a fleet is changed.

use hearth_api::v1::{ListNodesResponse, Node, NodeState, NodeTrust};
use hearth_domain::text::printable_line;

/// Names that are shown of nodes which are not so far.
const SHOWN: usize = 5;
/// Digits that tell two CAs apart for people.
const DIGITS: usize = 12;

/// Which nodes know each CA and have certificates of it. Nothing while there is one and all of them do, or none.
///
/// Nodes that are not there do not count: they join again.
pub(crate) fn authorities(listed: &ListNodesResponse) -> String {
    let there = |node: &&Node| {
        matches!(
            node.state(),
            NodeState::Online | NodeState::Unavailable | NodeState::Expected
        )
    };
    let nodes: Vec<&Node> = listed.nodes.iter().filter(there).collect();
    let lines = listed
        .authorities_sha256
        .iter()
        .enumerate()
        .map(|(at, ca)| {
            let of = |has: fn(&NodeTrust, &str) -> bool| {
                let has = |node: &&&Node| node.trust.as_ref().is_some_and(|trust| has(trust, ca));
                let (with, without): (Vec<&&Node>, Vec<_>) = nodes.iter().partition(has);
                (with.len(), without)
            };
            let (knowing, unaware) =
                of(|trust, ca| trust.authorities_sha256.iter().any(|one| one == ca));
            let (holding, others) = of(|trust, ca| trust.issuer_sha256 == ca);
            let is_done =
                listed.authorities_sha256.len() == 1 && unaware.is_empty() && others.is_empty();
            let ca = ca.get(..DIGITS).unwrap_or(ca);
            let what = match at {
                0 => "issues",
                _ => "is trusted",
            };
            match is_done {
                true => String::new(),
                false => format!(
                    "CA {ca} {what}: known to {}, issued the certificates of {}",
                    out_of(knowing, &unaware),
                    out_of(holding, &others)
                ),
            }
        });
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    lines
        .into_iter()
        .map(|line| printable_line(&line) + "\n")
        .collect()
}

/// `2 of 3 nodes (not node-3)`
fn out_of(with: usize, without: &[&&Node]) -> String {
    let all = with + without.len();
    if without.is_empty() {
        return format!("all {all} nodes");
    }
    let names = without.iter().map(|node| node.name.as_str());
    let mut names = names.take(SHOWN).collect::<Vec<_>>().join(", ");
    if without.len() > SHOWN {
        names.push_str(&format!(" and {} more", without.len() - SHOWN));
    }
    format!("{with} of {all} nodes (not {names})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, state: NodeState, issuer: &str, known: &[&str]) -> Node {
        Node {
            name: name.into(),
            state: state.into(),
            trust: (!issuer.is_empty()).then(|| NodeTrust {
                issuer_sha256: issuer.into(),
                authorities_sha256: known.iter().map(|one| (*one).to_owned()).collect(),
                expire_time: None,
            }),
            ..Node::default()
        }
    }

    #[test]
    fn it_says_which_nodes_are_not_so_far() {
        let (old, new) = ("aa".repeat(32), "bb".repeat(32));
        let (online, lost) = (NodeState::Online, NodeState::Lost);
        let listed = |authorities: &[&str], nodes: Vec<Node>| authorities_of(authorities, nodes);
        let done = vec![node("n1", online, &old, &[&old])];
        assert_eq!(listed(&[&old], done.clone()), "");
        assert_eq!(listed(&[], done), "");
        let second = vec![
            node("n1", online, &old, &[&old, &new]),
            node("n2", online, &old, &[&old]),
            node("n3", online, "", &[]),
            node("n4", lost, &old, &[&old]),
        ];
        assert_eq!(
            listed(&[&old, &new], second),
            "\
CA aaaaaaaaaaaa issues: known to 2 of 3 nodes (not n3), issued the certificates of 2 of 3 nodes (not n3)
CA bbbbbbbbbbbb is trusted: known to 1 of 3 nodes (not n2, n3), issued the certificates of 0 of 3 nodes (not n1, n2, n3)
"
        );
        // Removed too early: those who do not know the new one are cut off.
        let left = vec![node("n1", online, &old, &[&old, &new])];
        assert_eq!(
            listed(&[&new], left),
            "CA bbbbbbbbbbbb issues: known to all 1 nodes, issued the certificates of 0 of 1 nodes (not n1)\n"
        );
        let many = (1..=7).map(|number| node(&format!("n{number}"), online, "", &[]));
        let text = listed(&[&new], many.collect());
        assert!(
            text.contains("0 of 7 nodes (not n1, n2, n3, n4, n5 and 2 more)"),
            "{text}"
        );
    }

    fn authorities_of(known: &[&str], nodes: Vec<Node>) -> String {
        authorities(&ListNodesResponse {
            nodes,
            authorities_sha256: known.iter().map(|one| (*one).to_owned()).collect(),
            ..ListNodesResponse::default()
        })
    }
}
