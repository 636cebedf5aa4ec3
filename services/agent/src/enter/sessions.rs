use std::{collections::HashMap, sync::Arc};

use hearth_domain::WorkspaceId;
use parking_lot::Mutex;

use super::error::EnterError;

/// The sessions that are open on the node.
#[derive(Clone, Debug)]
pub struct Sessions {
    max: usize,
    open: Arc<Mutex<HashMap<WorkspaceId, usize>>>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Open {
    of: WorkspaceId,
    sessions: Sessions,
}

impl Sessions {
    pub fn new(max: usize) -> Self {
        Self {
            max,
            open: Arc::default(),
        }
    }

    /// Another one, if there may be. A workspace may have half of them, so that it does not keep others out.
    pub fn open(&self, of: &WorkspaceId) -> Result<Open, EnterError> {
        let mut open = self.open.lock();
        let all: usize = open.values().sum();
        let own = open.get(of).copied().unwrap_or_default();
        for (number, most, place) in [
            (own, self.max.div_ceil(2), "in the workspace"),
            (all, self.max, "on its node"),
        ] {
            if number >= most {
                return Err(EnterError::TooMany {
                    open: number,
                    place,
                });
            }
        }
        *open.entry(of.clone()).or_default() += 1;
        Ok(Open {
            of: of.clone(),
            sessions: self.clone(),
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.sessions.open.lock();
        if let Some(number) = open.get_mut(&self.of) {
            *number -= 1;
            if *number == 0 {
                open.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_gets_half_of_the_sessions_and_one_that_ends_makes_room() {
        let id = |text: &str| text.parse::<WorkspaceId>().unwrap();
        let sessions = Sessions::new(3);
        let first = sessions.open(&id("a")).unwrap();
        let _second = sessions.open(&id("a")).unwrap();
        let refused = sessions.open(&id("a")).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("2 sessions are open in the workspace")
        );
        let _third = sessions.open(&id("b")).unwrap();
        let refused = sessions.open(&id("b")).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("3 sessions are open on its node")
        );
        drop(first);
        sessions.open(&id("b")).unwrap();
        assert_eq!(sessions.open.lock().len(), 2);
    }
}
