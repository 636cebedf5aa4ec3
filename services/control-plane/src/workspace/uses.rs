//! Which workspaces somebody is in, and which were used lately. In memory: what ends with the control plane are uses too, and
//! when a workspace was used last is noted in the store ([`Uses::take`]), so that it is not idle for a restart.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use hearth_domain::WorkspaceId;
use parking_lot::Mutex;

/// The uses of all workspaces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uses {
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// How many uses of a workspace go on; at least 1.
    open: HashMap<WorkspaceId, usize>,
    /// What was used since it was noted, and is not any more.
    ended: HashSet<WorkspaceId>,
}

/// The workspace is in use until this is dropped.
#[derive(Debug)]
#[must_use = "the workspace is in use until this is dropped"]
pub(crate) struct Use {
    of: WorkspaceId,
    uses: Uses,
}

impl Uses {
    /// Somebody begins to use a workspace: by a shell, a command, a connection to one of its ports.
    pub(crate) fn begin(&self, id: &WorkspaceId) -> Use {
        *self.known.lock().open.entry(id.clone()).or_default() += 1;
        Use {
            of: id.clone(),
            uses: self.clone(),
        }
    }

    /// Whether somebody is in it now.
    pub(crate) fn goes_on(&self, id: &WorkspaceId) -> bool {
        self.known.lock().open.contains_key(id)
    }

    /// The workspaces that were used since this was asked last, those included that are still in use.
    pub(crate) fn take(&self) -> HashSet<WorkspaceId> {
        let mut known = self.known.lock();
        let mut used = std::mem::take(&mut known.ended);
        used.extend(known.open.keys().cloned());
        used
    }

    /// What [`Self::take`] gave could not be noted: it is given again.
    pub(crate) fn put_back(&self, used: HashSet<WorkspaceId>) {
        self.known.lock().ended.extend(used);
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let mut known = self.uses.known.lock();
        if let Some(open) = known.open.get_mut(&self.of) {
            *open -= 1;
            if *open == 0 {
                known.open.remove(&self.of);
                known.ended.insert(self.of.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> WorkspaceId {
        WorkspaceId::from_number(number)
    }

    #[test]
    fn a_workspace_is_in_use_until_the_last_use_of_it_has_ended() {
        let uses = Uses::default();
        let first = uses.begin(&id(1));
        let second = uses.begin(&id(1));
        drop(first);
        assert!(uses.goes_on(&id(1)));
        assert!(!uses.goes_on(&id(2)));
        drop(second);
        assert!(!uses.goes_on(&id(1)));
    }

    #[test]
    fn what_was_used_is_told_once_and_what_is_in_use_each_time() {
        let uses = Uses::default();
        drop(uses.begin(&id(1)));
        let open = uses.begin(&id(2));
        let both = HashSet::from([id(1), id(2)]);
        assert_eq!(uses.take(), both);
        assert_eq!(uses.take(), HashSet::from([id(2)]));
        drop(open);
        let last = uses.take();
        assert_eq!(last, HashSet::from([id(2)]));
        assert_eq!(uses.take(), HashSet::new());
        uses.put_back(last);
        assert_eq!(uses.take(), HashSet::from([id(2)]));
    }
}
