use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use hearth_api::v1::{
    EnrolRequest, NodeCertificate, agent_registry_service_client::AgentRegistryServiceClient,
};
use hearth_domain::{Name, text::innermost_cause};
use hearth_runtime::tls::{Authorities, ClientTls, ServerTrust, read_small, refused_server};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use secrecy::ExposeSecret as _;
use tonic::{
    Status,
    transport::{Endpoint, Uri},
};

use super::{
    args::JoinArgs,
    files::{Held, IdentityFiles},
    join_token::JoinToken,
};
use crate::external::control_plane::patient;

/// What a node joins with.
#[derive(Clone, Debug)]
pub(super) struct Joining {
    pub(super) node: Name,
    pub(super) args: JoinArgs,
    pub(super) files: IdentityFiles,
    pub(super) key: Arc<KeyPair>,
    pub(super) endpoint: Endpoint,
}

impl Joining {
    /// The control plane at `url`, for this node. Makes its key where there is none yet.
    pub(super) fn new(
        node: &Name,
        args: &JoinArgs,
        state_dir: &Path,
        url: &Uri,
    ) -> anyhow::Result<Self> {
        let files = IdentityFiles::open(state_dir)
            .with_context(|| format!("--state-dir (HEARTH_STATE_DIR): {}", state_dir.display()))?;
        let key = files
            .key()
            .with_context(|| format!("the node's key in {}", files.folder().display()))?;
        Ok(Self {
            node: node.clone(),
            args: args.clone(),
            files,
            key: Arc::new(key),
            endpoint: patient(ClientTls::endpoint(url)),
        })
    }

    /// The certificate that the node has, if it can be used.
    pub(super) fn held(&self) -> Option<Held> {
        self.files
            .held(&self.key, &self.node)
            .unwrap_or_else(|error| {
                tracing::warn!("the node joins again: {error:#}");
                None
            })
    }

    /// Whether there is something to join with.
    pub(super) fn may_enrol(&self) -> bool {
        self.args.join_token_file.is_some() || self.args.join_service_account_token.is_some()
    }

    /// Asks for the first certificate. Nothing is sent before the server has proved to be of the CA that was named.
    pub(super) async fn enrol(&self) -> anyhow::Result<(Held, Duration)> {
        let mut request = EnrolRequest {
            node: self.node.to_string(),
            certificate_request: self.certificate_request()?,
            ..EnrolRequest::default()
        };
        let known = self.known_authorities()?;
        let trust = match (
            &self.args.join_token_file,
            &self.args.join_service_account_token,
        ) {
            (Some(file), _) => {
                let about = || {
                    format!(
                        "--join-token-file (HEARTH_JOIN_TOKEN_FILE): {}",
                        file.display()
                    )
                };
                let token: JoinToken = read_small(file)
                    .with_context(about)?
                    .parse()
                    .with_context(about)?;
                request.join_token = token.secret.expose_secret().to_owned();
                known.unwrap_or(ServerTrust::Pinned(token.ca_sha256))
            }
            (None, Some(file)) => {
                let token = read_small(file).with_context(|| {
                    format!(
                        "--join-service-account-token (HEARTH_JOIN_SERVICE_ACCOUNT_TOKEN): {}",
                        file.display()
                    )
                })?;
                request.service_account_token = token.trim().to_owned();
                known.context("--control-plane-ca (HEARTH_CONTROL_PLANE_CA) is not given")?
            }
            (None, None) => bail!(
                "the node has nothing to join with: give it a join token (`hearth token create`) by --join-token-file (HEARTH_JOIN_TOKEN_FILE)"
            ),
        };
        let channel = ClientTls::new(&trust, None)?.channel(&self.endpoint);
        let mut client = AgentRegistryServiceClient::new(channel);
        let answer = client
            .enrol(request)
            .await
            .map_err(|status| said(&status))?;
        self.take(answer.into_inner().certificate)
    }

    /// Reads a certificate that was issued, and keeps it.
    pub(super) fn take(
        &self,
        certificate: Option<NodeCertificate>,
    ) -> anyhow::Result<(Held, Duration)> {
        let certificate =
            certificate.context("the control plane answered without a certificate")?;
        let NodeCertificate {
            chain,
            authorities,
            expire_time: _,
            valid_seconds,
        } = certificate;
        let held = Held::read(&chain, &authorities, &self.key, &self.node)?;
        if let Err(error) = self.files.keep(&chain, &authorities) {
            // The node goes on with it: one that waited for the disk would be out when the present one expires.
            tracing::warn!(
                folder = %self.files.folder().display(),
                "the node's certificate cannot be kept on the disk, so an agent that is started again may have to join again; the next one is tried anew: {error}"
            );
        }
        Ok((held, Duration::from_secs(valid_seconds.into())))
    }

    /// A request for a certificate of the node's key.
    pub(super) fn certificate_request(&self) -> anyhow::Result<Vec<u8>> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&*self.key)?;
        Ok(request.der().to_vec())
    }

    /// The CAs that the operator has named, if any.
    pub(super) fn known_authorities(&self) -> anyhow::Result<Option<ServerTrust>> {
        let Some(file) = &self.args.control_plane_ca else {
            return Ok(None);
        };
        let about = || {
            format!(
                "--control-plane-ca (HEARTH_CONTROL_PLANE_CA): {}",
                file.display()
            )
        };
        let text = read_small(file).with_context(about)?;
        let authorities = Authorities::from_pem(&text).with_context(about)?;
        Ok(Some(ServerTrust::Authorities(authorities)))
    }
}

/// What a call failed with: the server's own words, or why it was not reached.
pub(super) fn said(status: &Status) -> anyhow::Error {
    match std::error::Error::source(status) {
        Some(_) => {
            let why = refused_server(status).unwrap_or_else(|| innermost_cause(status));
            anyhow::anyhow!("{why}")
        }
        None => anyhow::anyhow!("{}", status.message()),
    }
}
