use hearth_domain::Login;
use std::future::Future;

use hearth_layers::{RegistryError, TransferError};

use super::logins::Logins;

/// Whether it was the login that the registry did not accept.
pub trait LoginRefused {
    /// Whether another login may help.
    fn is_login_refused(&self) -> bool;
}

impl LoginRefused for TransferError {
    fn is_login_refused(&self) -> bool {
        matches!(self, Self::Denied(_) | Self::LoginFailed(_))
    }
}

impl LoginRefused for RegistryError {
    fn is_login_refused(&self) -> bool {
        matches!(self, Self::Denied(_) | Self::LoginFailed)
    }
}

/// Asks a registry, or transfers an image between engine and registry. If the registry does not accept the login and there is another one,
/// tries again once: the first may have expired during the transfer, or have been revoked.
pub async fn with_login<T, E, F>(
    logins: &Logins,
    image: &str,
    transfer: impl Fn(Option<Login>) -> F,
) -> Result<T, E>
where
    E: LoginRefused,
    F: Future<Output = Result<T, E>>,
{
    let login = logins.for_image(image).await;
    let done = transfer(login.clone()).await;
    let is_refused = matches!(&done, Err(error) if error.is_login_refused());
    let Some(refused) = login.filter(|_| is_refused) else {
        return done;
    };
    let other = logins.registry_instead_of(&refused.password).await;
    match other.filter(|login| login.host == refused.host) {
        Some(login) => transfer(Some(login)).await,
        None => done,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parking_lot::Mutex;
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::{
        credentials::fake::{Answer, FakeCredentials, attempt, logins},
        external::control_plane::LoginPurpose,
    };

    const IMAGE: &str = "registry.example/a/b:1";

    /// Transfers with logins that come in this order, to a registry that accepts the password `good`; returns the end
    /// and the passwords that were tried.
    async fn transfer(
        image: &str,
        answers: impl IntoIterator<Item = Answer>,
        refuse: fn(String) -> TransferError,
    ) -> (Result<(), TransferError>, Vec<String>) {
        let credentials = FakeCredentials::answering(answers);
        let logins = Logins::new(credentials, attempt(), LoginPurpose::Attempt, |_| {});
        let tried = Mutex::new(Vec::new());
        let done = with_login(&logins, image, |login| {
            let password = login.map_or_else(String::new, |login| {
                login.password.expose_secret().to_owned()
            });
            let accepted = password == "good";
            tried.lock().push(password);
            async move {
                // A large image takes its time.
                tokio::time::advance(Duration::from_secs(90)).await;
                accepted
                    .then_some(())
                    .ok_or_else(|| refuse("no".to_owned()))
            }
        })
        .await;
        (done, tried.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_ended_on_the_way_or_was_revoked_is_replaced_once() {
        for (refuse, life) in [
            (TransferError::LoginFailed as fn(String) -> _, Some(60)),
            (TransferError::Denied, Some(3600)),
            (TransferError::Denied, None),
        ] {
            let answers = [logins("old", life), logins("good", None)];
            let (done, tried) = transfer(IMAGE, answers, refuse).await;
            assert_eq!((done, tried), (Ok(()), vec!["old".into(), "good".into()]));
            let answers = [logins("old", life), logins("bad", None)];
            let (done, tried) = transfer(IMAGE, answers, refuse).await;
            assert_eq!(tried, ["old", "bad"], "and not a third time");
            assert_eq!(done, Err(refuse("no".to_owned())));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_tried_again_without_another_login_or_for_another_reason() {
        let same = [logins("old", None), logins("old", None)];
        let (_, tried) = transfer(IMAGE, same, TransferError::Denied).await;
        assert_eq!(tried, ["old"]);
        let (_, tried) = transfer(IMAGE, [logins("old", None)], TransferError::Failed).await;
        assert_eq!(tried, ["old"]);
        let elsewhere = "other.example/a/b:1";
        let (_, tried) = transfer(elsewhere, [logins("old", None)], TransferError::Denied).await;
        assert_eq!(
            tried,
            [""],
            "another registry gets no login, and refuses none"
        );
    }
}
