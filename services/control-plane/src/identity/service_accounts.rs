//! Pods of a Kubernetes cluster prove who they are by tokens of their service accounts, which the API server judges.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use hearth_domain::Name;
use hearth_runtime::tls::read_small;
use reqwest::{Certificate, Client, header::CONTENT_TYPE, redirect::Policy};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::{args::ServiceAccount, error::IdentityError};

/// Whom the tokens have to be meant for, so that nobody who got one for another service joins with it.
const AUDIENCE: &str = "hearth";
/// Where a pod has its own token, and the certificate of the API server's CA.
const FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const LIMIT: Duration = Duration::from_secs(10);
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// The service accounts whose pods may join.
#[derive(Clone, Debug)]
pub(crate) struct ServiceAccounts {
    allowed: Vec<ServiceAccount>,
    api: String,
    folder: PathBuf,
}

#[derive(Deserialize)]
struct Review {
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    authenticated: bool,
    #[serde(default)]
    user: User,
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(default)]
    error: String,
}

#[derive(Default, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
    #[serde(default)]
    extra: HashMap<String, Vec<String>>,
}

/// What a node is named like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamedBy {
    /// The machine that its pod runs on, which nobody else can be.
    Machine,
    /// Its pod: one in another namespace, or a machine, can have the same name.
    Pod,
}

impl ServiceAccounts {
    /// These, of the cluster that the control plane runs in; `None` when there are none.
    pub(crate) fn of_cluster(allowed: &[ServiceAccount]) -> anyhow::Result<Option<Self>> {
        if allowed.is_empty() {
            return Ok(None);
        }
        let variable = |name: &str| {
            std::env::var(name).with_context(|| {
                format!("--kubernetes-nodes (HEARTH_KUBERNETES_NODES): the control plane does not run in a cluster: {name} is not set")
            })
        };
        let host = variable("KUBERNETES_SERVICE_HOST")?;
        let port = variable("KUBERNETES_SERVICE_PORT")?;
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host,
        };
        Ok(Some(Self {
            allowed: allowed.to_vec(),
            api: format!("https://{host}:{port}"),
            folder: FOLDER.into(),
        }))
    }

    /// Lets a node join whose pod has this token.
    pub(super) async fn check(
        &self,
        token: &SecretString,
        node: &Name,
    ) -> Result<NamedBy, IdentityError> {
        let status = self.review(token).await.map_err(|error| {
            tracing::error!("the Kubernetes API server does not judge a token: {error:#}");
            IdentityError::NoApiServer
        })?;
        self.judge(&status, node)
            .map_err(|why| IdentityError::Refused(format!("the service account token {why}")))
    }

    fn judge(&self, status: &Status, node: &Name) -> Result<NamedBy, String> {
        if !status.authenticated {
            tracing::info!(
                error = status.error,
                "the Kubernetes API server refused a token"
            );
            return Err("is not valid for the Kubernetes API server".to_owned());
        }
        if !status.audiences.iter().any(|audience| audience == AUDIENCE) {
            return Err(format!("is not for the audience {AUDIENCE}"));
        }
        let username = &status.user.username;
        let allowed = self
            .allowed
            .iter()
            .any(|account| account.to_string() == *username);
        if !allowed {
            return Err(format!(
                "is of {username:?}, which --kubernetes-nodes (HEARTH_KUBERNETES_NODES) of the control plane does not name"
            ));
        }
        let is_in = |claim: &str| {
            let names = status.user.extra.get(claim).into_iter().flatten();
            names.into_iter().any(|name| name == node.as_str())
        };
        match () {
            () if is_in(NODE_NAME) => Ok(NamedBy::Machine),
            () if is_in(POD_NAME) => Ok(NamedBy::Pod),
            () => Err(format!(
                "is of another node: {node} is neither the name of its pod nor of the machine that runs it"
            )),
        }
    }

    /// Asks the API server about a token. What proves the control plane is read anew: it expires.
    async fn review(&self, token: &SecretString) -> anyhow::Result<Status> {
        let file = |name: &str| {
            let path = self.folder.join(name);
            read_small(&path).with_context(|| path.display().to_string())
        };
        let (own, ca) = (SecretString::from(file("token")?), file("ca.crt")?);
        let client = Client::builder()
            .tls_certs_only(Certificate::from_pem_bundle(ca.as_bytes())?)
            .redirect(Policy::none())
            .no_proxy()
            .timeout(LIMIT)
            .build()?;
        let question = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": { "token": token.expose_secret(), "audiences": [AUDIENCE] },
        });
        let mut answer = client
            .post(format!("{}{PATH}", self.api))
            .bearer_auth(own.expose_secret().trim())
            .header(CONTENT_TYPE, "application/json")
            .body(question.to_string())
            .send()
            .await?;
        let status = answer.status();
        ensure!(
            status.is_success(),
            "it answers {status}; the control plane's service account has to be allowed to create tokenreviews (the ClusterRole system:auth-delegator)"
        );
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await? {
            body.extend_from_slice(&piece);
            ensure!(body.len() <= MAX_ANSWER_BYTES, "its answer is too long");
        }
        let review: Review =
            serde_json::from_slice(&body).context("its answer is no TokenReview")?;
        Ok(review.status)
    }
}

#[cfg(test)]
#[path = "service_accounts_tests.rs"]
mod tests;
