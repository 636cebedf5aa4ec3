use hearth_api::v1::{AccessCheck, AccessCheckKind as Kind, AccessCheckStatus as Status};
use hearth_layers::{RegistryClient, RegistryError, RegistryLogin};

use super::findings::check;
use crate::credentials::Login;

/// The platform plays no role where no image is asked for.
const ANY_PLATFORM: &str = "linux/amd64";

/// Tries to pull from, push to, and delete from `repository` (`registry/path`). `unwritable` is what there is to say of
/// pushing where it need not be tried.
pub(super) async fn rights(
    repository: &str,
    unwritable: Option<AccessCheck>,
    login: Option<&Login>,
) -> [AccessCheck; 3] {
    let client = RegistryClient::new(login.cloned().map(RegistryLogin::from), ANY_PLATFORM);
    let pull = client.try_pull(repository).await;
    if let Err(error @ RegistryError::Unreachable(_)) = &pull {
        // It would not answer the other questions either, and each of them takes its time.
        let failed = check(Kind::Pull, Status::Failed, format!("{repository}: {error}"));
        let untried = |kind| check(kind, Status::Skipped, "the registry does not answer");
        return [failed, untried(Kind::Push), untried(Kind::Delete)];
    }
    let pull = match pull {
        Ok(()) => check(Kind::Pull, Status::Ok, format!("{repository} is read")),
        Err(error) => check(
            Kind::Pull,
            Status::Failed,
            refused(repository, "read", &error, login),
        ),
    };
    if let Some(push) = unwritable {
        let delete = check(Kind::Delete, Status::Skipped, "nothing can be pushed");
        return [pull, push, delete];
    }
    let push = match client.try_push(repository).await {
        Ok(()) => check(Kind::Push, Status::Ok, format!("{repository} is written")),
        Err(error) => check(
            Kind::Push,
            Status::Failed,
            refused(repository, "written", &error, login),
        ),
    };
    let delete = match client.try_delete(repository).await {
        Ok(()) => check(Kind::Delete, Status::Ok, "old images can be deleted"),
        Err(error) => check(
            Kind::Delete,
            Status::Warning,
            format!("old images stay in the registry until it removes them itself: {error}"),
        ),
    };
    [pull, push, delete]
}

fn refused(repository: &str, what: &str, error: &RegistryError, login: Option<&Login>) -> String {
    let text = format!("{repository} cannot be {what}: {error}");
    match (error, repository.starts_with("ghcr.io/")) {
        // What GHCR is seen to refuse although a token has `packages: write`.
        (RegistryError::Denied(_), true) => format!(
            "{text}; ghcr.io takes tokens of a GitHub App with `packages: write` only for packages that are connected to the repository, and for some organisations not at all: connect the package, or let the cache live in another registry (--cache-registry)"
        ),
        (RegistryError::Denied(_), false) => {
            format!("{text}; the login needs the right to do so")
        }
        (RegistryError::LoginFailed, _) => match login {
            Some(login) => format!(
                "{text}; the login of {} is wrong or has ended",
                login.username
            ),
            None => format!("{text}; configure credentials for it at the control plane"),
        },
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let denied = RegistryError::Denied("no".into());
        let failed = RegistryError::LoginFailed;
        let robot = Login {
            host: "registry.example".to_owned(),
            username: "robot".to_owned(),
            password: "planted".to_owned().into(),
            expires: None,
        };
        let elsewhere = "registry.example/acme/shop";
        for (repository, error, login, hint) in [
            ("ghcr.io/acme/shop", &denied, None, "connect the package"),
            (elsewhere, &denied, None, "needs the right"),
            (elsewhere, &failed, None, "configure credentials"),
            (elsewhere, &failed, Some(&robot), "of robot is wrong"),
        ] {
            let text = refused(repository, "written", error, login);
            assert!(text.starts_with(&format!("{repository} cannot be written: ")));
            assert!(text.contains(hint), "{text}");
        }
    }
}
