use std::collections::BTreeSet;

use hearth_api::v1::{ListWorkspacesRequest, Workspace, WorkspaceState};
use hearth_domain::{Labels, Repository};
use hearth_runtime::FieldFaults;

/// Which workspaces a list is to have.
#[derive(Debug, Default)]
pub(super) struct Selection {
    states: BTreeSet<i32>,
    node: String,
    repository: Option<Repository>,
    owner: String,
    labels: Labels,
}

impl Selection {
    /// Reads the filters of a request. `None` when a fault was added.
    pub(super) fn read(request: &ListWorkspacesRequest, faults: &mut FieldFaults) -> Option<Self> {
        let labels = faults.check("labels", Labels::new(request.labels.clone()));
        let repository = faults.check_optional("repository", &request.repository);
        let known =
            |state: &i32| WorkspaceState::try_from(*state).is_ok_and(|state| state as i32 > 0);
        if !request.states.iter().all(known) {
            faults.add("states", "must be values of WorkspaceState");
            return None;
        }
        Some(Self {
            states: request.states.iter().copied().collect(),
            node: request.node.clone(),
            repository: repository?,
            owner: request.owner.clone(),
            labels: labels?,
        })
    }

    /// Whether a workspace, as it is shown, is one of them.
    pub(super) fn has(&self, workspace: &Workspace) -> bool {
        let is = |wanted: &str, value: &str| wanted.is_empty() || wanted == value;
        (self.states.is_empty() || self.states.contains(&workspace.state))
            && is(&self.node, &workspace.node)
            && is(&self.owner, &workspace.owner)
            && self.labels.are_among(&workspace.labels)
            && self.repository.as_ref().is_none_or(|wanted| {
                let spec = workspace.spec.as_ref();
                let url = spec.map_or("", |spec| &spec.repository);
                // By whichever of its URLs it was asked for.
                url.parse::<Repository>()
                    .is_ok_and(|repository| repository.to_string() == wanted.to_string())
            })
    }
}

#[cfg(test)]
mod tests {
    use hearth_api::v1::WorkspaceSpec;

    use super::*;

    fn workspace() -> Workspace {
        Workspace {
            state: WorkspaceState::Stopped.into(),
            node: "n1".into(),
            owner: "ann".into(),
            labels: [("team".to_owned(), "web".to_owned())].into(),
            spec: Some(WorkspaceSpec {
                repository: "git@github.com:acme/shop.git".into(),
                ..WorkspaceSpec::default()
            }),
            ..Workspace::default()
        }
    }

    fn finds(request: ListWorkspacesRequest) -> bool {
        let mut faults = FieldFaults::default();
        let selection = Selection::read(&request, &mut faults);
        let selection = faults.complete(selection).expect("good filters");
        selection.has(&workspace())
    }

    #[test]
    fn a_workspace_is_found_by_all_that_is_asked_for_at_once() {
        let none = ListWorkspacesRequest::default;
        let label = |value: &str| [("team".to_owned(), value.to_owned())].into();
        let states = |state: WorkspaceState| vec![state.into(), WorkspaceState::Failed.into()];
        let all = ListWorkspacesRequest {
            states: states(WorkspaceState::Stopped),
            node: "n1".into(),
            repository: "https://github.com/acme/shop".into(),
            owner: "ann".into(),
            labels: label("web"),
            ..none()
        };
        assert!(finds(none()));
        assert!(finds(all.clone()));
        for other in [
            ListWorkspacesRequest {
                states: states(WorkspaceState::Ready),
                ..all.clone()
            },
            ListWorkspacesRequest {
                node: "n".into(),
                ..all.clone()
            },
            ListWorkspacesRequest {
                repository: "https://github.com/acme/shop2".into(),
                ..all.clone()
            },
            ListWorkspacesRequest {
                owner: "an".into(),
                ..all.clone()
            },
            ListWorkspacesRequest {
                labels: label("db"),
                ..all.clone()
            },
        ] {
            assert!(!finds(other.clone()), "{other:?}");
        }
    }

    #[test]
    fn filters_that_find_nothing_by_mistake_are_refused() {
        for bad in [
            ListWorkspacesRequest {
                states: vec![99],
                ..ListWorkspacesRequest::default()
            },
            ListWorkspacesRequest {
                repository: "shop".into(),
                ..ListWorkspacesRequest::default()
            },
            ListWorkspacesRequest {
                labels: [("a b".to_owned(), String::new())].into(),
                ..ListWorkspacesRequest::default()
            },
        ] {
            let mut faults = FieldFaults::default();
            let selection = Selection::read(&bad, &mut faults);
            assert!(faults.complete(selection).is_err(), "{bad:?}");
        }
    }
}
