use hearth_api::v1::{Event, WatchUntil, Workspace, WorkspaceState, event::Kind};

/// Tells a stream that ended where it was asked to from one that broke off, by the newest snapshot and the events since.
#[derive(Debug, Default)]
pub(crate) struct StreamEnd {
    ready: bool,
    settled: bool,
    deleting: bool,
}

impl StreamEnd {
    pub(crate) fn snapshot(&mut self, workspace: &Workspace) {
        self.enter(workspace.state());
        self.settled = workspace.settled;
    }

    pub(crate) fn event(&mut self, event: &Event) {
        match &event.kind {
            Some(Kind::StateChanged(change)) => self.enter(change.state()),
            Some(Kind::Settled(_)) => self.settled = true,
            _ => {}
        }
    }

    fn enter(&mut self, state: WorkspaceState) {
        self.ready = matches!(
            state,
            WorkspaceState::Ready
                | WorkspaceState::Recovery
                | WorkspaceState::Failed
                | WorkspaceState::Lost
        );
        self.settled = false;
        self.deleting = state == WorkspaceState::Deleting;
    }

    /// Whether a stream that was opened with `until` is complete.
    pub(crate) fn is_reached(&self, until: WatchUntil) -> bool {
        let reached = match until {
            WatchUntil::Ready => self.ready,
            WatchUntil::Settled | WatchUntil::Unspecified => self.settled,
        };
        reached || self.settled || self.deleting
    }
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::{Settled, StateChanged};

    use super::*;

    #[test]
    fn a_stream_may_end_where_it_was_asked_to_or_with_the_workspace() {
        let enter = |state: WorkspaceState| {
            Kind::StateChanged(StateChanged {
                state: state.into(),
                ..Default::default()
            })
        };
        let (ready, settled) = (WatchUntil::Ready, WatchUntil::Settled);
        let mut end = StreamEnd::default();
        for (kind, at_ready, at_settled) in [
            (enter(WorkspaceState::Preparing), false, false),
            (enter(WorkspaceState::Ready), true, false),
            (Kind::Settled(Settled {}), true, true),
            // A new attempt begins.
            (enter(WorkspaceState::Pending), false, false),
            (enter(WorkspaceState::Failed), true, false),
            // Only a snapshot says so: it was READY.
            (enter(WorkspaceState::Lost), true, false),
            (enter(WorkspaceState::Deleting), true, true),
        ] {
            end.event(&Event {
                kind: Some(kind.clone()),
                ..Default::default()
            });
            let reached = (end.is_reached(ready), end.is_reached(settled));
            assert_eq!(reached, (at_ready, at_settled), "{kind:?}");
        }
    }
}
