//! What a test does to GitHub.

use std::time::Duration;

use super::{
    Fault, GitHub, Hold, Lie, Repositories, Route, Times,
    world::{Installation, Permissions},
};

/// Installations.
impl GitHub {
    /// Installs the App in an account and returns the installation's id.
    pub fn install(
        &self,
        account: &str,
        repositories: Repositories,
        permissions: &[(&str, &str)],
    ) -> u64 {
        self.shared.change(|world| {
            let account = account.to_ascii_lowercase();
            let other = world.installations.values().any(|at| at.account == account);
            assert!(!other, "it is installed there already");
            let id = world.new_id();
            world.installations.insert(
                id,
                Installation {
                    id,
                    account,
                    repositories,
                    permissions: map(permissions),
                    suspended_at: None,
                },
            );
            id
        })
    }

    /// Takes the App away; its tokens end.
    pub fn uninstall(&self, account: &str) {
        let id = self.installation(account);
        self.shared.change(|world| world.installations.remove(&id));
    }

    /// The same installation under another id, as after taking it away and installing it again.
    pub fn reinstall(&self, account: &str) -> u64 {
        let id = self.installation(account);
        self.shared.change(|world| {
            let mut installation = world.installations.remove(&id).expect("it is there");
            installation.id = world.new_id();
            let id = installation.id;
            world.installations.insert(id, installation);
            id
        })
    }

    /// The account's owner suspends the App.
    pub fn suspend(&self, account: &str) {
        self.change_installation(account, |installation, now| {
            installation.suspended_at = Some(now);
        });
    }

    /// The account's owner ends the suspension.
    pub fn unsuspend(&self, account: &str) {
        self.change_installation(account, |installation, _| installation.suspended_at = None);
    }

    /// Gives the installation a permission, or another level of it; `none` takes it away.
    pub fn grant(&self, account: &str, permission: &str, level: &str) {
        self.change_installation(account, |installation, _| {
            if level == "none" {
                installation.permissions.remove(permission);
            } else {
                let level = level.to_owned();
                installation
                    .permissions
                    .insert(permission.to_owned(), level);
            }
        });
    }

    /// Changes which repositories the installation has.
    pub fn select(&self, account: &str, repositories: Repositories) {
        self.change_installation(account, |installation, _| {
            installation.repositories = repositories;
        });
    }

    fn installation(&self, account: &str) -> u64 {
        let account = account.to_ascii_lowercase();
        let world = self.shared.world();
        let found = world
            .installations
            .values()
            .find(|at| at.account == account);
        found.expect("it is installed there").id
    }

    fn change_installation(&self, account: &str, change: impl FnOnce(&mut Installation, i64)) {
        let id = self.installation(account);
        self.shared.change(|world| {
            let now = world.now();
            change(world.installations.get_mut(&id).expect("it is there"), now);
        });
    }
}

/// Time and tokens.
impl GitHub {
    /// Sets its clock so many seconds ahead of this machine's, or behind.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.shared.change(|world| world.clock_offset = seconds);
    }

    /// Lifetime of the installation tokens that are made from now on. One hour at first.
    pub fn token_lifetime(&self, lifetime: Duration) {
        self.shared.change(|world| world.token_lifetime = lifetime);
    }

    /// Lifetime of the registry's tokens that are made from now on; a minute at least. Five minutes at first.
    pub fn registry_token_lifetime(&self, lifetime: Duration) {
        self.shared
            .change(|world| world.registry_token_lifetime = lifetime);
    }

    /// Ends an installation token.
    pub fn revoke(&self, token: &str) {
        let known = self.shared.change(|world| world.tokens.remove(token));
        assert!(known.is_some(), "this token was never made");
    }

    /// Ends all installation tokens.
    pub fn revoke_all(&self) {
        self.shared.change(|world| world.tokens.clear());
    }
}

/// Packages.
impl GitHub {
    /// Makes a package public.
    pub fn publish_package(&self, path: &str) {
        let path = path.to_owned();
        self.shared
            .change(|world| world.public_packages.insert(path));
    }
}

/// Faults.
impl GitHub {
    /// Answers requests of these routes wrongly.
    pub fn fail(&self, routes: &[Route], times: Times, fault: Fault) {
        self.shared
            .change(|world| world.faults.plan(routes, times, fault));
    }

    /// Delays answers of a route.
    pub fn slow(&self, route: Route, delay: Duration) {
        self.shared.change(|world| world.faults.slow(route, delay));
    }

    /// Holds requests of a route up until the returned guard is dropped.
    #[must_use = "requests wait until it is dropped"]
    pub fn hold(&self, route: Route) -> Hold {
        Hold::new(&self.shared, route)
    }

    /// From now on makes tokens that are not what was asked for.
    pub fn lie(&self, lie: Lie) {
        self.shared.change(|world| world.faults.lie = Some(lie));
    }

    /// Refuses pushes of packages that do not exist yet, as an organisation may decide.
    pub fn deny_package_creation(&self) {
        self.shared
            .change(|world| world.faults.no_new_packages = true);
    }

    /// Ends all faults but those of `hold`.
    pub fn heal(&self) {
        self.shared.change(|world| world.faults.heal());
    }
}

fn map(permissions: &[(&str, &str)]) -> Permissions {
    permissions
        .iter()
        .map(|(permission, level)| ((*permission).to_owned(), (*level).to_owned()))
        .collect()
}
