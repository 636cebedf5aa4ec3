use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Where logins for git hosts and registries come from. Settings of one kind of source are refused with another kind.
///
/// All values are read as text, and [`super::settings`] reports their faults: clap would print a value that does not
/// parse, which may be a secret in the wrong place.
#[derive(Args, Clone, Debug)]
#[allow(
    rustdoc::bare_urls,
    rustdoc::broken_intra_doc_links,
    reason = "the docs of flags are the text of --help"
)]
pub struct CredentialArgs {
    /// Where logins for git hosts and registries come from
    #[arg(
        long = "credentials",
        env = "HEARTH_CREDENTIALS",
        default_value = "none",
        value_name = "SOURCE"
    )]
    pub kind: CredentialKind,
    /// github-app: id of the GitHub App
    #[arg(
        long,
        env = "HEARTH_GITHUB_APP_ID",
        value_name = "NUMBER",
        hide_env_values = true
    )]
    pub github_app_id: Option<String>,
    /// github-app: file with the App's private key (PEM, PKCS#1 or PKCS#8), read once at start
    #[arg(
        long,
        env = "HEARTH_GITHUB_APP_KEY_FILE",
        value_name = "PATH",
        hide_env_values = true
    )]
    pub github_app_key_file: Option<PathBuf>,
    /// github-app: GitHub's API, for Enterprise Server https://HOST/api/v3 [default: https://api.github.com]
    #[arg(
        long,
        env = "HEARTH_GITHUB_API_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub github_api_url: Option<String>,
    /// github-app: git hosts and registries that the App issues logins for [default: github.com,ghcr.io]
    #[arg(
        long,
        env = "HEARTH_GITHUB_HOSTS",
        value_name = "HOST[:PORT][,HOST…]",
        hide_env_values = true
    )]
    pub github_hosts: Option<String>,
    /// static: git hosts and registries that the login is for
    #[arg(
        long,
        env = "HEARTH_STATIC_HOSTS",
        value_name = "HOST[:PORT][,HOST…]",
        hide_env_values = true
    )]
    pub static_hosts: Option<String>,
    /// static: user name, for git hosts and for attempts that may write to their cache
    #[arg(
        long,
        env = "HEARTH_STATIC_USERNAME",
        value_name = "NAME",
        hide_env_values = true
    )]
    pub static_username: Option<String>,
    /// static: file with the password or token, read whenever it is used
    #[arg(
        long,
        env = "HEARTH_STATIC_PASSWORD_FILE",
        value_name = "PATH",
        hide_env_values = true
    )]
    pub static_password_file: Option<PathBuf>,
    /// static: user name for attempts that may only read from their cache, such as those of forks. Without one they have no
    /// login for registries, and read where everybody can
    #[arg(
        long,
        env = "HEARTH_STATIC_READ_USERNAME",
        value_name = "NAME",
        hide_env_values = true
    )]
    pub static_read_username: Option<String>,
    /// static: file with its password or token
    #[arg(
        long,
        env = "HEARTH_STATIC_READ_PASSWORD_FILE",
        value_name = "PATH",
        hide_env_values = true
    )]
    pub static_read_password_file: Option<PathBuf>,
    /// file: TOML with one [[source]] table for each source; the first that serves a host issues its logins
    #[arg(
        long,
        env = "HEARTH_CREDENTIALS_FILE",
        value_name = "PATH",
        hide_env_values = true
    )]
    pub credentials_file: Option<PathBuf>,
}

/// Kinds of sources of logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CredentialKind {
    /// No logins: public repositories and registries only.
    None,
    /// One user and password, and another one for who may only read.
    Static,
    /// Tokens of a GitHub App, for one repository each.
    GithubApp,
    /// Several sources, listed in a file.
    File,
}
