use std::time::Duration;

use backon::{BackoffBuilder as _, ConstantBuilder};
use hearth_api::v1::{
    NodeTrust, RenewCertificateRequest, agent_registry_service_client::AgentRegistryServiceClient,
};
use hearth_runtime::tls::{ClientTls, PolledFiles, ServerTrust};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::{
    files::Held,
    joining::{Joining, said},
};
use crate::external::control_plane::{ControlPlaneClient, Retries, sent};

/// Longest pause between two tries to renew, which jitter makes twice as long at most.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// A certificate that was there at the start is renewed so soon: how much of its life is over only a good clock knows.
const AT_START: Duration = Duration::from_secs(2);
/// Shortest time between two renewals.
const SHORTEST: Duration = Duration::from_secs(1);
/// What TLS says where a server refuses a certificate that has expired by its clock.
const EXPIRED: &str = "CertificateExpired";

/// Keeps a node's certificate valid, and its connections on the newest.
#[derive(Debug)]
pub(super) struct Keeper {
    joining: Joining,
    tls: ClientTls,
    control_plane: ControlPlaneClient,
    held: Held,
    /// How long after the start it is renewed.
    renewal: Duration,
}

impl Keeper {
    /// Connects with a certificate that is valid for so long, if that is known.
    pub(super) fn start(
        joining: Joining,
        held: Held,
        life: Option<Duration>,
    ) -> anyhow::Result<Self> {
        let trust = trust(&joining, &held)?;
        let tls = ClientTls::new(&trust, Some(&held.own))?;
        let control_plane = ControlPlaneClient::over(tls.channel(&joining.endpoint));
        control_plane.trusts(told(&trust, &held));
        let renewal = life.map_or_else(|| jittered(AT_START), renewed_after);
        Ok(Self {
            joining,
            tls,
            control_plane,
            held,
            renewal,
        })
    }

    /// The way to the control plane, always by the newest certificate.
    pub(super) fn control_plane(&self) -> ControlPlaneClient {
        self.control_plane.clone()
    }

    /// Renews the certificate when two thirds of its life are over, again and again, until `stop`.
    pub(super) async fn keep(mut self, stop: CancellationToken) {
        let named = self.joining.args.control_plane_ca.iter().cloned().collect();
        let mut files = PolledFiles::new(named);
        let mut renewal = Instant::now() + self.renewal;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = files.changed() => self.trust_again(),
                _ = async {
                    sleep_until(renewal).await;
                    self.renew().await
                } => renewal = Instant::now() + self.renewal,
            }
        }
    }

    /// Renews the certificate, and returns how long the new one is valid. Tries until it works.
    async fn renew(&mut self) -> Duration {
        let mut retries = Retries::up_to(RETRY_MAX);
        loop {
            match self.renew_once().await {
                Ok(life) => {
                    tracing::info!(
                        life_seconds = life.as_secs(),
                        "the node's certificate was renewed"
                    );
                    return life;
                }
                Err(error) => {
                    let why = format!("{error:#}");
                    if retries.is_news(&why) {
                        tracing::warn!(
                            expired = self.has_expired(),
                            "the node's certificate is not renewed, trying again: {why}"
                        );
                    }
                }
            }
            retries.pause().await;
        }
    }

    /// Asks for the next certificate by the present one, whatever the clock of this machine says of it, and joins again when
    /// that has expired. Returns how long the new one is valid.
    pub(super) async fn renew_once(&mut self) -> anyhow::Result<Duration> {
        let request = RenewCertificateRequest {
            certificate_request: self.joining.certificate_request()?,
        };
        let call = async || {
            let mut client = AgentRegistryServiceClient::new(self.control_plane.channel());
            client.renew_certificate(request.clone()).await
        };
        let (held, life) = match sent(call).await {
            Ok(answer) => self.joining.take(answer.into_inner().certificate)?,
            Err(status) => {
                let why = said(&status);
                let is_over = self.has_expired()
                    || status.code() == Code::Unauthenticated
                    || why.to_string().contains(EXPIRED);
                match (is_over, self.joining.may_enrol()) {
                    (false, _) => return Err(why),
                    (true, true) => self.joining.enrol().await?,
                    (true, false) => {
                        return Err(why.context(
                            "the node's certificate has expired, and there is nothing to join with: give it a join token (`hearth token create`) by --join-token-file (HEARTH_JOIN_TOKEN_FILE)",
                        ));
                    }
                }
            }
        };
        let trust = trust(&self.joining, &held)?;
        self.tls.exchange(&trust, Some(&held.own))?;
        self.control_plane.trusts(told(&trust, &held));
        // Calls that are under way end on the connection on which they began.
        let channel = self.tls.channel(&self.joining.endpoint);
        self.control_plane.exchange(channel);
        self.held = held;
        self.renewal = renewed_after(life);
        Ok(life)
    }

    /// Whether the certificate has expired, by the clock of this machine.
    pub(super) fn has_expired(&self) -> bool {
        self.held.has_expired()
    }

    /// Trusts what the operator's file names now.
    fn trust_again(&self) {
        let trusted = trust(&self.joining, &self.held).and_then(|trust| {
            self.tls.exchange(&trust, Some(&self.held.own))?;
            self.control_plane.trusts(told(&trust, &self.held));
            Ok(())
        });
        match trusted {
            Ok(()) => tracing::info!("the CAs of the control plane were read again"),
            Err(error) => {
                tracing::warn!("the CAs of the control plane stay as they were: {error:#}")
            }
        }
    }
}

/// Whom the node takes for the control plane: what its operator has named, else the CAs that it told with the certificate.
fn trust(joining: &Joining, held: &Held) -> anyhow::Result<ServerTrust> {
    let known = joining.known_authorities()?;
    Ok(known.unwrap_or_else(|| ServerTrust::Issuers(held.authorities.clone())))
}

/// What the control plane is told of it.
fn told(trust: &ServerTrust, held: &Held) -> NodeTrust {
    let authorities = match trust {
        ServerTrust::Authorities(known) | ServerTrust::Issuers(known) => known.fingerprints(),
        ServerTrust::Pinned(sha256) => vec![sha256.clone()],
    };
    NodeTrust {
        issuer_sha256: held.own.issuer_fingerprint().unwrap_or_default(),
        authorities_sha256: authorities,
        expire_time: Some(held.not_after.into()),
    }
}

/// Two thirds of a certificate's life, or up to a twelfth of it less: nodes that joined at once renew one after the other.
fn renewed_after(life: Duration) -> Duration {
    // That of a CA which is about to expire gets shorter each time.
    (life / 2 + jittered(life / 12)).max(SHORTEST)
}

/// Once to twice this time.
fn jittered(time: Duration) -> Duration {
    let pause = ConstantBuilder::new().with_delay(time).with_jitter();
    pause.build().next().unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_when_up_to_two_thirds_of_its_life_are_over() {
        let life = Duration::from_secs(3600);
        let times: Vec<_> = (0..100).map(|_| renewed_after(life)).collect();
        assert!(
            times
                .iter()
                .all(|time| (life * 7 / 12..=life * 2 / 3).contains(time))
        );
        assert!(times.iter().any(|time| time != &times[0]), "{times:?}");
    }
}
