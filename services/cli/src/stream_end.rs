use hearth_api::v1::{Event, PipelineStep, WatchUntil, Workspace, WorkspaceState, event::Kind};

/// Tells a stream that ended where it was asked to from one that broke off, by the newest snapshot and the events since.
#[derive(Debug, Default)]
pub(crate) struct StreamEnd {
    ready: bool,
    hooks: bool,
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
            Some(Kind::StateChanged(change)) => {
                self.enter(change.state());
                self.hooks = self.ready && !change.hooks_follow;
            }
            Some(Kind::StepFinished(step)) if step.step() == PipelineStep::Hooks => {
                self.hooks |= step.succeeded;
            }
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
                | WorkspaceState::Stopped
                | WorkspaceState::Lost
        );
        // Of READY it is not known before the next event: a stream that ends with it is believed.
        self.hooks = self.ready;
        // What becomes of a workspace after its attempt does not unsettle that.
        self.settled &= self.ready;
        self.deleting = state == WorkspaceState::Deleting;
    }

    /// Whether a stream that was opened with `until` is complete.
    pub(crate) fn is_reached(&self, until: WatchUntil) -> bool {
        let reached = match until {
            WatchUntil::Ready => self.ready,
            WatchUntil::Hooks => self.hooks,
            WatchUntil::Settled | WatchUntil::Unspecified => self.settled,
            WatchUntil::Deleted => return self.deleting,
        };
        reached || self.settled || self.deleting
    }
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::{Settled, StateChanged, StepFinished};

    use super::*;

    #[test]
    fn hooks_have_ended_with_the_state_or_after_it() {
        let enter = |state: WorkspaceState, hooks_follow| {
            Kind::StateChanged(StateChanged {
                state: state.into(),
                hooks_follow,
                ..Default::default()
            })
        };
        let ended = |succeeded| {
            Kind::StepFinished(StepFinished {
                step: PipelineStep::Hooks.into(),
                succeeded,
                ..Default::default()
            })
        };
        let ready = |hooks_follow| enter(WorkspaceState::Ready, hooks_follow);
        let recovery = enter(WorkspaceState::Recovery, false);
        for (kinds, reached) in [
            (vec![ready(false)], true),
            (vec![ready(true)], false),
            (vec![ready(true), ended(true)], true),
            (vec![ready(true), ended(false)], false),
            (vec![ready(true), ended(false), recovery], true),
        ] {
            let mut end = StreamEnd::default();
            for kind in &kinds {
                end.event(&Event {
                    kind: Some(kind.clone()),
                    ..Default::default()
                });
            }
            assert_eq!(end.is_reached(WatchUntil::Hooks), reached, "{kinds:?}");
        }
    }

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
