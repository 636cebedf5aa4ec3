//! Names of containers, networks, volumes and images, which are the engine's and so the whole node's.

use hearth_domain::WorkspaceId;

use crate::external::engine::volume_name;

/// The names of one workspace. What it calls `shop` is `hearth-ID.shop` on the engine; no id has a dot, and no name of
/// Compose's project `hearth-ID` has one in that place.
#[derive(Clone, Debug)]
pub struct Names {
    own: String,
    prefix: String,
}

impl Names {
    pub fn of(workspace: &WorkspaceId) -> Self {
        let own = volume_name(workspace);
        Self {
            prefix: format!("{own}."),
            own,
        }
    }

    /// The workspace's volume, which is Compose's project as well.
    pub fn volume(&self) -> &str {
        &self.own
    }

    /// The name on the engine. Names that begin with the project's are unique already.
    pub fn on_engine(&self, name: &str) -> String {
        if self.is_own(name) {
            name.to_owned()
        } else {
            format!("{}{name}", self.prefix)
        }
    }

    /// The name that the workspace gave, of one on the engine.
    pub fn as_asked<'a>(&self, name: &'a str) -> &'a str {
        name.strip_prefix(&self.prefix).unwrap_or(name)
    }

    /// Whether a name on the engine is one of this workspace.
    pub fn is_own(&self, name: &str) -> bool {
        let rest = name.strip_prefix(&self.own);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '_', '-']))
    }

    /// Whether an image's `repository` or `repository:tag` is one of this workspace: those that Compose gives to what it
    /// builds, and those that the devcontainer CLI gives to what it builds for Compose.
    pub fn is_own_image(&self, image: &str) -> bool {
        let image = image.strip_prefix("docker.io/library/").unwrap_or(image);
        let repository = image.split([':', '@']).next().unwrap_or_default();
        !image.contains('/') && self.is_own(repository)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_workspaces_own_and_come_back_as_they_were_given() {
        let names = Names::of(&"ws-1".parse().unwrap());
        for (asked, on_engine) in [
            ("shop", "hearth-ws-1.shop"),
            ("hearth-ws-2", "hearth-ws-1.hearth-ws-2"),
            ("hearth-ws-11_data", "hearth-ws-1.hearth-ws-11_data"),
            ("hearth-ws-1", "hearth-ws-1"),
            ("hearth-ws-1_data", "hearth-ws-1_data"),
            ("hearth-ws-1-app-1", "hearth-ws-1-app-1"),
        ] {
            assert_eq!(names.on_engine(asked), on_engine);
            assert_eq!(names.as_asked(on_engine), asked);
            assert!(names.is_own(on_engine));
        }
        for (image, own) in [
            ("hearth-ws-1-app", true),
            ("hearth-ws-1_app:latest", true),
            ("docker.io/library/hearth-ws-1-app:1", true),
            ("hearth-ws-2-app", false),
            ("debian:12", false),
            ("hearth-ws-1/app", false),
            ("hearth-ws-1:5000/app", false),
            ("hearth-cache:aa", false),
        ] {
            assert_eq!(names.is_own_image(image), own, "{image}");
        }
    }
}
