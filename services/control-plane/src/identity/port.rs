use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use hearth_runtime::{
    Metrics,
    tls::{KeyedCertificate, PolledFiles, ServerTls, read_small},
};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    args::{IdentityArgs, TlsName},
    ca::{Ca, issue_port},
    ca_files::{Authority, CaFiles},
};

/// A certificate of the port is renewed after this time: two thirds of its seven days.
const RENEWED_AFTER: Duration = Duration::from_secs(7 * 24 * 3600 * 2 / 3);
/// When it could not be.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// From when on the log says that the CA is about to expire, with each renewal.
const WARNED_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Keeps the certificate of the port, and the CAs that clients' certificates are verified with.
pub(crate) struct PortCertificate {
    ca: Arc<Ca>,
    from: From,
    tls: ServerTls,
    files: PolledFiles,
}

/// Where the certificate of the port comes from.
enum From {
    /// The operator brings it.
    Files { certificate: PathBuf, key: PathBuf },
    /// The CA issues it for these names.
    Ca(Vec<TlsName>),
}

impl PortCertificate {
    /// Opens the CA that the flags name, and makes TLS for the port that listens on `listen`; `None` without such flags.
    pub(crate) fn open(
        args: &IdentityArgs,
        listen: SocketAddr,
        metrics: &Metrics,
    ) -> anyhow::Result<Option<Self>> {
        let (Some(certificate), Some(key)) = (&args.ca_certificate, &args.ca_key) else {
            return Ok(None);
        };
        let mut paths = vec![certificate.clone(), key.clone()];
        let files = CaFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        };
        let ca = Ca::open(files, args.certificate_minutes.0)
            .context("--ca-certificate (HEARTH_CA_CERTIFICATE), --ca-key (HEARTH_CA_KEY)")?;
        let from = match (&args.tls_certificate, &args.tls_key) {
            (Some(certificate), Some(key)) => {
                paths.extend([certificate.clone(), key.clone()]);
                From::Files {
                    certificate: certificate.clone(),
                    key: key.clone(),
                }
            }
            _ if args.tls_names.is_empty() => From::Ca(names_of(listen)),
            _ => From::Ca(args.tls_names.clone()),
        };
        // Before they are read: what changes from now on is seen.
        let files = PolledFiles::new(paths);
        let own = from.certificate(&ca.authority())?;
        let tls = ServerTls::new(own, &ca.trusted(), metrics)?;
        ca.authority().warn_of_end();
        tracing::info!(
            ca.sha256 = ca.fingerprint(),
            "the port speaks TLS, and nodes join with tokens of this CA"
        );
        Ok(Some(Self {
            ca: Arc::new(ca),
            from,
            tls,
            files,
        }))
    }

    /// The CA.
    pub(crate) fn ca(&self) -> Arc<Ca> {
        self.ca.clone()
    }

    /// TLS of the port.
    pub(crate) fn tls(&self) -> ServerTls {
        self.tls.clone()
    }

    /// Reads the files again when they change, and renews the certificate in time. What cannot be used changes nothing.
    pub(crate) async fn keep(mut self, stop: CancellationToken) {
        let mut renewal = Instant::now() + RENEWED_AFTER;
        let mut warned = String::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.files.changed() => {}
                () = sleep_until(renewal) => {}
            }
            let renewed = self.renew();
            let pause = match &renewed {
                Ok(()) => RENEWED_AFTER,
                Err(_) => AGAIN_AFTER,
            };
            renewal = Instant::now() + pause;
            let why = renewed.map_or_else(|error| format!("{error:#}"), |()| String::new());
            if !why.is_empty() && why != warned {
                tracing::warn!(
                    "the certificates stay as they were: what is in their files now cannot be used: {why}"
                );
            }
            warned = why;
        }
    }

    fn renew(&self) -> anyhow::Result<()> {
        let authority = self.ca.read_again()?;
        let own = self.from.certificate(&authority)?;
        self.tls.exchange(own, &authority.trusted)?;
        authority.warn_of_end();
        // Only when all of it can be used.
        self.ca.take(authority);
        tracing::info!(
            ca.sha256 = self.ca.fingerprint(),
            "the port has a new certificate"
        );
        Ok(())
    }
}

impl Authority {
    fn warn_of_end(&self) {
        let left = self.not_after.duration_since(SystemTime::now());
        let left = left.unwrap_or_default();
        if left < WARNED_BEFORE {
            tracing::warn!(
                days_left = left.as_secs() / (24 * 3600),
                "the CA is about to expire, and all certificates with it; docs/runbook.md says how it is changed (Rotate keys)"
            );
        }
    }
}

impl From {
    fn certificate(&self, authority: &Authority) -> anyhow::Result<KeyedCertificate> {
        match self {
            Self::Ca(names) => issue_port(authority, names),
            Self::Files { certificate, key } => {
                let about = || {
                    format!(
                        "--tls-certificate (HEARTH_TLS_CERTIFICATE) {}, --tls-key (HEARTH_TLS_KEY) {}",
                        certificate.display(),
                        key.display()
                    )
                };
                let read = |path| read_small(path).with_context(about);
                let (chain, private) = (read(certificate)?, read(key)?);
                let own = KeyedCertificate::from_pem(&chain, &private).with_context(about)?;
                let ends = own.not_after();
                ensure!(
                    ends.is_none_or(|end| end > SystemTime::now()),
                    "{}: the certificate has expired",
                    about()
                );
                Ok(own)
            }
        }
    }
}

/// The names by which this machine is reached.
fn names_of(listen: SocketAddr) -> Vec<TlsName> {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().into_owned();
    let address = (!listen.ip().is_unspecified()).then(|| listen.ip().to_string());
    let fixed = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut names: Vec<TlsName> = Vec::new();
    for name in [host].into_iter().chain(fixed).chain(address) {
        // A machine may have a name that nobody can look up.
        if let Ok(name) = name.parse()
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}
