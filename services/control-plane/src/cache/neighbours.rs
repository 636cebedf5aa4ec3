//! Which nodes have an image or fetch it, so that others need not read it from the registry.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
};

use hearth_domain::{CacheRepository, Digest, NodeAddress};
use parking_lot::Mutex;
use secrecy::SecretString;

/// Nodes that are told to one that asks: the first is asked for everything, the others where that one fails.
const TOLD: usize = 3;
/// Nodes that are told the same one first, before another's turn comes.
const CHILDREN: u32 = 3;
/// Nodes that are remembered for an image; the oldest goes first.
const NODES: usize = 256;
/// Images that are remembered; the one that nobody has asked for for the longest time goes first.
const IMAGES: usize = 512;

/// Where a node offers the layers of one image.
#[derive(Clone)]
pub(crate) struct Offer {
    pub(crate) address: NodeAddress,
    pub(crate) token: SecretString,
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Offer({})", self.address)
    }
}

/// A node, as it was registered when it began to fetch. An agent that started again offers nothing of before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fetching {
    pub(crate) node: String,
    pub(crate) boot_id: String,
}

/// The offers of all nodes, in memory: they are worth nothing once an agent or the control plane has started again.
#[derive(Debug, Default)]
pub(crate) struct Neighbours(Mutex<Images>);

#[derive(Debug, Default)]
struct Images {
    offers: HashMap<(CacheRepository, Digest), Image>,
    /// Counts the questions.
    now: u64,
}

#[derive(Debug, Default)]
struct Image {
    /// In the order in which they began to fetch. Each is only told those before it, so that they make a tree.
    nodes: VecDeque<Holder>,
    asked: u64,
}

#[derive(Debug)]
struct Holder {
    from: Fetching,
    offer: Offer,
    children: u32,
}

impl Neighbours {
    /// Whom a node asks that begins to fetch an image; afterwards others are told what it offers. `is_there`: whether a node
    /// can still be asked.
    pub(crate) fn join(
        &self,
        repository: &CacheRepository,
        digest: &Digest,
        from: Fetching,
        offer: Option<Offer>,
        is_there: impl Fn(&Fetching) -> bool,
    ) -> Vec<Offer> {
        let mut images = self.0.lock();
        images.now += 1;
        let now = images.now;
        let place = (repository.clone(), digest.clone());
        if !images.offers.contains_key(&place) {
            if offer.is_none() {
                return Vec::new();
            }
            images.make_room();
        }
        let image = images.offers.entry(place).or_default();
        image.asked = now;
        // What this node offered before has ended with the fetch that it begins now.
        image
            .nodes
            .retain(|holder| holder.from.node != from.node && is_there(&holder.from));
        let mut order: Vec<usize> = (0..image.nodes.len()).collect();
        order.sort_by_key(|number| image.nodes[*number].children / CHILDREN);
        order.truncate(TOLD);
        if let Some(first) = order.first() {
            image.nodes[*first].children += 1;
        }
        let told = order
            .iter()
            .map(|number| image.nodes[*number].offer.clone());
        let told = told.collect();
        if let Some(offer) = offer {
            image.nodes.push_back(Holder {
                from,
                offer,
                children: 0,
            });
        }
        if image.nodes.len() > NODES {
            image.nodes.pop_front();
        }
        told
    }
}

impl Images {
    fn make_room(&mut self) {
        if self.offers.len() < IMAGES {
            return;
        }
        let oldest = self.offers.iter().min_by_key(|(_, image)| image.asked);
        if let Some(place) = oldest.map(|(place, _)| place.clone()) {
            self.offers.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn fetching(node: usize) -> Fetching {
        Fetching {
            node: format!("node-{node}"),
            boot_id: "boot".to_owned(),
        }
    }

    fn offer(node: usize) -> Option<Offer> {
        Some(Offer {
            address: format!("node-{node}:1").parse().unwrap(),
            token: "planted-token".to_owned().into(),
        })
    }

    fn join(neighbours: &Neighbours, node: usize, gone: &[usize]) -> Vec<usize> {
        join_image(neighbours, "image", node, offer(node), gone)
    }

    fn join_image(
        neighbours: &Neighbours,
        image: &str,
        node: usize,
        offer: Option<Offer>,
        gone: &[usize],
    ) -> Vec<usize> {
        let repository = "localhost:5000/a/b".parse().unwrap();
        let is_there = |from: &Fetching| !gone.iter().any(|node| *from == fetching(*node));
        let digest = Digest::of(image);
        let told = neighbours.join(&repository, &digest, fetching(node), offer, is_there);
        assert!(!format!("{told:?} {neighbours:?}").contains("planted"));
        let number = |offer: Offer| {
            let address = offer.address.to_string();
            let node = address.strip_prefix("node-").unwrap();
            node.strip_suffix(":1").unwrap().parse().unwrap()
        };
        told.into_iter().map(number).collect()
    }

    #[test]
    fn fifty_nodes_make_a_tree_in_which_each_serves_few_others_and_none_waits_for_itself() {
        let neighbours = Neighbours::default();
        assert!(join(&neighbours, 0, &[]).is_empty());
        let mut children: BTreeMap<usize, u32> = BTreeMap::new();
        let mut depths = vec![0];
        for node in 1..50 {
            let told = join(&neighbours, node, &[]);
            assert_eq!(told.len(), TOLD.min(node));
            assert!(told.iter().all(|other| *other < node), "{told:?}");
            *children.entry(told[0]).or_default() += 1;
            depths.push(depths[told[0]] + 1);
        }
        assert!(children.values().all(|count| *count <= CHILDREN));
        assert!(depths.iter().all(|depth| *depth <= 4), "{depths:?}");
    }

    #[test]
    fn nodes_that_are_gone_offer_nothing_and_one_that_fetches_again_is_the_last() {
        let neighbours = Neighbours::default();
        for node in 0..3 {
            join(&neighbours, node, &[]);
        }
        assert_eq!(join(&neighbours, 3, &[0]), [1, 2]);
        // It fetches again: those that it serves are not told to it before they are there themselves.
        assert_eq!(join(&neighbours, 1, &[]), [2, 3]);
        assert_eq!(join(&neighbours, 4, &[]), [2, 3, 1]);
        assert!(join(&neighbours, 5, &[1, 2, 3, 4]).is_empty());
    }

    #[test]
    fn a_node_that_offers_nothing_asks_and_is_not_told_to_others() {
        let neighbours = Neighbours::default();
        assert!(join_image(&neighbours, "image", 0, None, &[]).is_empty());
        join(&neighbours, 1, &[]);
        assert_eq!(join_image(&neighbours, "image", 2, None, &[]), [1]);
        assert_eq!(join(&neighbours, 3, &[]), [1]);
        assert!(join_image(&neighbours, "another", 4, None, &[]).is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let neighbours = Neighbours::default();
        for image in 0..IMAGES + 5 {
            join_image(&neighbours, &format!("{image}"), 0, offer(0), &[]);
            // It is asked for again and again, and stays.
            join_image(&neighbours, "0", 1, offer(1), &[]);
        }
        assert_eq!(neighbours.0.lock().offers.len(), IMAGES);
        assert_eq!(join_image(&neighbours, "0", 2, None, &[]), [1, 0]);
        for node in 0..NODES + 5 {
            join(&neighbours, node, &[]);
        }
        let images = neighbours.0.lock();
        let most = images.offers.values().map(|image| image.nodes.len()).max();
        assert_eq!(most, Some(NODES));
    }
}
