use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use clap::{
    CommandFactory as _, FromArgMatches as _, Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};
use hearth_domain::CacheRegistry;
use hearth_runtime::{LimitArgs, ListenArgs, ListenError, LogArgs, without_empty_variables};

use crate::{
    cache::CacheWriters,
    credentials::{CredentialArgs, SourceSettings, sources},
    identity::IdentityArgs,
    workspace::{DefaultImages, HostAccessRules, LifetimeArgs},
};

/// The hearth control plane: takes requests for workspaces and has the nodes' agents prepare them
#[derive(Clone, Debug, Parser)]
#[command(name = "hearth-control-plane", version)]
pub struct Config {
    /// Address for clients and agents; without --ca-certificate one of loopback
    #[arg(
        long,
        env = "HEARTH_LISTEN",
        default_value = "127.0.0.1:7400",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,
    /// Address for health and metrics
    #[arg(
        long,
        env = "HEARTH_ADMIN_LISTEN",
        default_value = "127.0.0.1:7401",
        value_name = "ADDRESS"
    )]
    pub admin_listen: SocketAddr,
    /// Where state is stored; the file and its folder are created on first start, and one control plane at a time can use it
    #[arg(
        long,
        env = "HEARTH_DATABASE",
        default_value = "sqlite://hearth.db",
        value_name = "sqlite://PATH"
    )]
    pub database: Database,
    /// Registry for caches, with an optional prefix for their paths
    #[arg(
        long,
        env = "HEARTH_CACHE_REGISTRY",
        default_value = "ghcr.io",
        value_name = "HOST[:PORT][/PREFIX]"
    )]
    pub cache_registry: CacheRegistry,
    /// File with the key that entries of the cache are signed with (P-256, PKCS #8, PEM); made when it does not exist, with
    /// FILE.pub beside it. Without it nothing is signed, and an image that only the registry knows of is never used
    #[arg(long, env = "HEARTH_SIGNING_KEY", value_name = "FILE")]
    pub signing_key: Option<PathBuf>,
    /// File with the public keys (PEM, one after the other) of earlier signing keys, whose signatures count besides those of
    /// --signing-key. See docs/signatures.md for how a key is changed
    #[arg(
        long,
        env = "HEARTH_EARLIER_PUBLIC_KEYS",
        value_name = "FILE",
        requires = "signing_key"
    )]
    pub earlier_public_keys: Option<PathBuf>,
    /// File with the keys that secrets are encrypted with (`hearth secret`); made when it does not exist, with the mode 0600. Each
    /// line is a key of 64 hex digits: the first encrypts, the others are earlier ones. Without it there are no secrets
    #[arg(long, env = "HEARTH_SECRETS_KEY_FILE", value_name = "FILE")]
    pub secrets_key_file: Option<PathBuf>,
    /// TLS, and who nodes are
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// File with a token of clients that may do everything; made when it does not exist, with the mode 0600, and read again when
    /// it changes. With it every call of a client needs a token: see docs/access.md
    #[arg(long, env = "HEARTH_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// Whether clients are asked who they are.
    #[arg(skip)]
    pub(crate) access_checked: bool,
    /// Where logins come from
    #[command(flatten)]
    pub credentials: CredentialArgs,
    /// The sources that `credentials` describes, checked.
    #[arg(skip)]
    pub(crate) sources: Vec<SourceSettings>,
    /// Seconds without a heartbeat after which a node counts as lost; agents send three in that time
    #[arg(
        long,
        env = "HEARTH_NODE_LEASE_SECONDS",
        default_value = "30",
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..=3600)
    )]
    pub node_lease_seconds: u32,
    /// Branches that may write to their repository's cache, as patterns; HEAD stands for the default branch. Tags may where
    /// a pattern begins with refs/tags/. Pull requests, other refs and commits never may
    #[arg(
        long,
        env = "HEARTH_CACHE_WRITERS",
        default_value = "*",
        value_name = "PATTERN[,PATTERN…]"
    )]
    pub cache_writers: CacheWriters,
    /// Which attempts may use files, devices, network and privileges of their node, by repository (HOST/OWNER/NAME): the
    /// first pattern that matches counts, before the node's own --host-access unless that is never
    #[arg(
        long,
        env = "HEARTH_HOST_ACCESS",
        value_name = "PATTERN=never|trusted|always[,…]"
    )]
    pub host_access: Option<HostAccessRules>,
    /// Images for repositories that have no devcontainer, whose devcontainer names no image, or fails, by repository
    /// (HOST/OWNER/NAME): the first pattern that matches counts, before the node's own --default-image. Nodes fetch them in
    /// advance, without a login
    #[arg(long, env = "HEARTH_DEFAULT_IMAGES", value_name = "PATTERN=IMAGE[,…]")]
    pub default_images: Option<DefaultImages>,
    /// Maximum seconds that an attempt may build a key while others wait for its image
    #[arg(
        long,
        env = "HEARTH_CACHE_LEASE_SECONDS",
        default_value = "1800",
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..=14_400)
    )]
    pub cache_lease_seconds: u32,
    /// Images kept in the cache for each repository, configuration and platform, most recently used first; those that attempts
    /// found within three days stay too, and the newest
    #[arg(
        long,
        env = "HEARTH_CACHE_KEEP_ENTRIES",
        default_value = "10",
        value_name = "IMAGES",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub cache_keep_entries: u32,
    /// Days after which an unused image is dropped from the cache; time counts while the control plane runs
    #[arg(
        long,
        env = "HEARTH_CACHE_KEEP_DAYS",
        default_value = "30",
        value_name = "DAYS",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub cache_keep_days: u32,
    /// Events kept for each workspace; of more the oldest output is dropped
    #[arg(
        long,
        env = "HEARTH_HISTORY_LIMIT",
        default_value = "20000",
        value_name = "EVENTS",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub history_limit: u64,
    /// MiB of events kept for each workspace; of more the oldest output is dropped
    #[arg(
        long,
        env = "HEARTH_HISTORY_MIB",
        default_value = "8",
        value_name = "MIB",
        value_parser = clap::value_parser!(u64).range(1..=1024)
    )]
    pub history_mib: u64,
    /// Days after which the output of a workspace that has settled is dropped; its states and results stay.
    /// Time counts while the control plane runs
    #[arg(
        long,
        env = "HEARTH_HISTORY_DAYS",
        default_value = "30",
        value_name = "DAYS",
        value_parser = clap::value_parser!(u32).range(1..=36_500)
    )]
    pub history_days: u32,
    /// Free MiB of the database's disk below which no new attempts are taken; 0: they are always taken
    #[arg(
        long,
        env = "HEARTH_DATABASE_MIN_FREE_MIB",
        default_value = "128",
        value_name = "MIB"
    )]
    pub database_min_free_mib: u64,
    /// How long workspaces may run
    #[command(flatten)]
    pub lifetimes: LifetimeArgs,
    /// Streams of events that may be open at once
    #[arg(
        long,
        env = "HEARTH_MAX_STREAMS",
        default_value = "1000",
        value_name = "STREAMS",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub max_streams: u32,
    /// File that is written once it serves: {"listen":"127.0.0.1:PORT","admin":"127.0.0.1:PORT"}
    #[arg(long, env = "HEARTH_READY_FILE", value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
    /// How it listens
    #[command(flatten)]
    pub listening: ListenArgs,
    /// What callers may ask of it
    #[command(flatten)]
    pub limits: LimitArgs,
    /// How it logs
    #[command(flatten)]
    pub logging: LogArgs,
}

/// Where state is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database(PathBuf);

/// The text is not a database URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have the form sqlite://PATH")]
pub struct DatabaseParseError;

impl Database {
    /// The SQLite file.
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl FromStr for Database {
    type Err = DatabaseParseError;

    fn from_str(text: &str) -> Result<Self, DatabaseParseError> {
        match text.strip_prefix("sqlite://") {
            Some(path) if !path.is_empty() => Ok(Self(path.into())),
            _ => Err(DatabaseParseError),
        }
    }
}

/// Why the command line is not used, as text for its author.
#[derive(Debug)]
pub enum ConfigError {
    /// Not an error: the text of `--help` or `--version`.
    Asked(String),
    /// The faults.
    Unusable(String),
}

impl Config {
    /// Reads flags, and environment variables for flags that are not there.
    pub fn read<I>(arguments: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator,
        I::Item: Into<std::ffi::OsString> + Clone,
    {
        let matches = without_empty_variables(Self::command()).try_get_matches_from(arguments);
        let mut config = matches
            .and_then(|matches| Self::from_arg_matches(&matches))
            .map_err(|error| match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                    ConfigError::Asked(error.to_string())
                }
                _ => ConfigError::Unusable(with_variable(&error)),
            })?;
        let mut faults = Vec::new();
        if !config.listen.ip().is_loopback() && config.identity.ca_certificate.is_none() {
            let error = ListenError::NotLoopback {
                flag: "listen",
                address: config.listen,
            };
            faults.push(format!(
                "{error}; --ca-certificate and --ca-key turn TLS on"
            ));
        }
        config.access_checked =
            config.admin_token_file.is_some() || config.identity.ca_certificate.is_some();
        faults.extend(config.lifetimes.fault());
        match sources(&config.credentials) {
            Ok(sources) => config.sources = sources,
            Err(found) => faults.extend(found),
        }
        if faults.is_empty() {
            return Ok(config);
        }
        let lines = faults.iter().map(|fault| format!("error: {fault}\n"));
        Err(ConfigError::Unusable(lines.collect()))
    }
}

/// Adds the name of the environment variable: clap's message names only the flag.
fn with_variable(error: &clap::Error) -> String {
    let text = error.to_string();
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
        return text;
    };
    let flag = shown.split_whitespace().next().unwrap_or_default();
    let command = Config::command();
    let variable = command
        .get_arguments()
        .find(|argument| argument.get_long() == flag.strip_prefix("--"))
        .and_then(|argument| argument.get_env());
    match variable {
        Some(variable) => format!("{text}\nset by {flag} or {}\n", variable.to_string_lossy()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::CredentialKind;

    fn read(arguments: &[&str]) -> Result<Config, ConfigError> {
        Config::read(std::iter::once("hearth-control-plane").chain(arguments.iter().copied()))
    }

    #[test]
    fn every_fault_names_its_flag_and_its_variable() {
        for (flag, value) in [
            ("--listen", "nowhere"),
            ("--listen", "0.0.0.0:7400"),
            ("--admin-listen", "7401"),
            ("--database", "postgres://x"),
            ("--database", "sqlite://"),
            ("--cache-registry", "https://ghcr.io"),
            ("--credentials", "github"),
            ("--node-lease-seconds", "0"),
            ("--history-limit", "0"),
            ("--history-mib", "0"),
            ("--history-days", "0"),
            ("--database-min-free-mib", "few"),
            ("--ttl-seconds", "59"),
            ("--max-idle-timeout-seconds", "1"),
            ("--expiry-warning-seconds", "0"),
            ("--max-streams", "0"),
            ("--max-calls", "0"),
            ("--max-connection-seconds", "0"),
            ("--max-message-kib", "5000"),
            ("--cache-lease-seconds", "0"),
            ("--cache-writers", "main,"),
            ("--default-images", "debian:12"),
            ("--cache-keep-entries", "0"),
            ("--cache-keep-days", "0"),
            ("--certificate-minutes", "0"),
            ("--log-format", "xml"),
        ] {
            let Err(ConfigError::Unusable(message)) = read(&[flag, value]) else {
                panic!("{flag} {value} was taken");
            };
            let variable = format!("HEARTH_{}", flag[2..].to_uppercase().replace('-', "_"));
            assert!(message.contains(flag), "{message}");
            assert!(message.contains(&variable), "{message}");
        }
    }

    #[test]
    fn an_unknown_flag_is_refused_and_help_is_no_error() {
        assert!(matches!(
            read(&["--lisen", "x"]),
            Err(ConfigError::Unusable(_))
        ));
        assert!(matches!(read(&["--help"]), Err(ConfigError::Asked(_))));
    }

    #[test]
    fn with_a_ca_any_address_is_served_and_its_flags_belong_together() {
        let ca = ["--ca-certificate=ca.pem", "--ca-key=key.pem"];
        assert!(read(&[&ca[..], &["--listen=0.0.0.0:7400"]].concat()).is_ok());
        assert!(read(&[&ca[..], &["--kubernetes-nodes=a/b,c/d"]].concat()).is_ok());
        for wrong in [
            &ca[..1],
            &ca[1..],
            &["--tls-names=plane"],
            &["--kubernetes-nodes=a/b"],
            &[ca[0], ca[1], "--insecure-loopback"],
            &[ca[0], ca[1], "--tls-certificate=c.pem"],
            &[
                ca[0],
                ca[1],
                "--tls-certificate=c",
                "--tls-key=k",
                "--tls-names=plane",
            ],
            &[ca[0], ca[1], "--tls-names=plane:7400"],
            &[ca[0], ca[1], "--kubernetes-nodes=agent"],
        ] {
            assert!(
                matches!(read(wrong), Err(ConfigError::Unusable(_))),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_manual() {
        let config = read(&[]).expect("defaults");
        assert_eq!(config.listen.to_string(), "127.0.0.1:7400");
        assert_eq!(config.admin_listen.to_string(), "127.0.0.1:7401");
        assert_eq!(config.database.path().to_str(), Some("hearth.db"));
        assert_eq!(config.cache_registry.to_string(), "ghcr.io");
        assert_eq!(config.credentials.kind, CredentialKind::None);
        assert_eq!(config.limits, LimitArgs::default());
    }
}
