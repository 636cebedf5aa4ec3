use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use clap::Args;

/// The flags about TLS, and about who nodes are.
#[derive(Args, Clone, Debug)]
pub struct IdentityArgs {
    /// File with the certificate of the CA that nodes and clients get theirs from (PEM). With it the port speaks TLS, nodes have
    /// to join, and --listen may be any address. Both files are made when they do not exist. Of several CAs in the file the
    /// first issues, and all are trusted: docs/runbook.md says how a CA is changed. Read again when it changes
    #[arg(
        long,
        env = "HEARTH_CA_CERTIFICATE",
        value_name = "FILE",
        requires = "ca_key",
        conflicts_with = "insecure_loopback"
    )]
    pub ca_certificate: Option<PathBuf>,
    /// File with the key of the first CA in --ca-certificate (PEM)
    #[arg(
        long,
        env = "HEARTH_CA_KEY",
        value_name = "FILE",
        requires = "ca_certificate"
    )]
    pub ca_key: Option<PathBuf>,
    /// File with the port's certificate and those that lead to its CA (PEM), where another CA than --ca-certificate has issued
    /// it: agents then need --control-plane-ca. Read again when it changes [default: the CA issues one]
    #[arg(
        long,
        env = "HEARTH_TLS_CERTIFICATE",
        value_name = "FILE",
        requires = "tls_key",
        requires = "ca_certificate",
        conflicts_with = "tls_names"
    )]
    pub tls_certificate: Option<PathBuf>,
    /// File with the key of --tls-certificate (PEM)
    #[arg(
        long,
        env = "HEARTH_TLS_KEY",
        value_name = "FILE",
        requires = "tls_certificate"
    )]
    pub tls_key: Option<PathBuf>,
    /// Names and addresses by which agents and clients reach the port, for the certificate that the CA issues for it
    /// [default: the host's name, localhost, the addresses of loopback, and that of --listen]
    #[arg(
        long,
        env = "HEARTH_TLS_NAMES",
        value_name = "NAME[,NAME…]",
        value_delimiter = ',',
        requires = "ca_certificate"
    )]
    pub tls_names: Vec<TlsName>,
    /// Minutes for which certificates of nodes and clients are valid; nodes renew theirs when two thirds are over;
    /// 1 to 43200
    #[arg(
        long,
        env = "HEARTH_CERTIFICATE_MINUTES",
        value_name = "MINUTES",
        default_value = "60"
    )]
    pub certificate_minutes: CertificateLife,
    /// Kubernetes service accounts whose pods may join as nodes, without join tokens; the control plane then has to run in
    /// the cluster, and to be allowed to create tokenreviews
    #[arg(
        long,
        env = "HEARTH_KUBERNETES_NODES",
        value_name = "NAMESPACE/SERVICEACCOUNT[,…]",
        value_delimiter = ',',
        requires = "ca_certificate"
    )]
    pub kubernetes_nodes: Vec<ServiceAccount>,
}

/// A name or an address that a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsName(String);

/// The text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be names of hosts or IP addresses, without ports")]
pub struct TlsNameError;

impl TlsName {
    /// The text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TlsName {
    type Err = TlsNameError;

    fn from_str(text: &str) -> Result<Self, TlsNameError> {
        let good = |byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-');
        let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(good);
        let is_host = text.len() <= 253 && text.split('.').all(label);
        let is_address = text.parse::<std::net::IpAddr>().is_ok();
        match is_host || is_address {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err(TlsNameError),
        }
    }
}

/// How long a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateLife(pub Duration);

/// The text is no such time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a number of minutes from 1 to 43200 (30 days)")]
pub struct CertificateLifeError;

impl FromStr for CertificateLife {
    type Err = CertificateLifeError;

    fn from_str(text: &str) -> Result<Self, CertificateLifeError> {
        let minutes = text
            .parse()
            .ok()
            .filter(|minutes| (1..=43_200).contains(minutes));
        let minutes: u64 = minutes.ok_or(CertificateLifeError)?;
        Ok(Self(Duration::from_secs(minutes * 60)))
    }
}

/// A service account of a Kubernetes cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    namespace: String,
    name: String,
}

/// The text is not a service account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be NAMESPACE/SERVICEACCOUNT")]
pub struct ServiceAccountError;

impl FromStr for ServiceAccount {
    type Err = ServiceAccountError;

    fn from_str(text: &str) -> Result<Self, ServiceAccountError> {
        let good = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
        let is_name = |text: &str| !text.is_empty() && text.bytes().all(good);
        let parts = text.split_once('/');
        let (namespace, name) = parts
            .filter(|(namespace, name)| is_name(namespace) && is_name(name))
            .ok_or(ServiceAccountError)?;
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// The name of its user, as the API server says it.
impl fmt::Display for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, name } = self;
        write!(f, "system:serviceaccount:{namespace}:{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_they_are_to_be() {
        for good in ["plane", "plane.example", "10.0.0.7", "::1", "HOST-1"] {
            assert!(good.parse::<TlsName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "plane:7400",
            "https://plane",
            "*.example",
            "a b",
            "a..b",
            "[::1]",
        ] {
            assert!(bad.parse::<TlsName>().is_err(), "{bad}");
        }
        let account: ServiceAccount = "hearth/agent".parse().expect("an account");
        assert_eq!(account.to_string(), "system:serviceaccount:hearth:agent");
        for bad in ["", "hearth", "/agent", "hearth/", "a/b/c", "a:b/c"] {
            assert!(bad.parse::<ServiceAccount>().is_err(), "{bad}");
        }
        let life: CertificateLife = "60".parse().expect("a time");
        assert_eq!(life.0, Duration::from_secs(3600));
        for bad in ["0", "43201", "-5", "1h", ""] {
            assert!(bad.parse::<CertificateLife>().is_err(), "{bad}");
        }
    }
}
