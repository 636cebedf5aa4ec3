use std::{ffi::OsStr, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hearth_domain::Login;
use secrecy::ExposeSecret as _;

use crate::external::{process::Process, sandbox::Sandbox};

/// Git gives up on a transfer that is slower than so many bytes a second for so many seconds.
const LOW_SPEED_BYTES: &str = "1000";
const LOW_SPEED_SECONDS: &str = "60";

/// Git commands that work for one attempt.
pub(super) struct Commands<'a> {
    sandbox: &'a Sandbox,
    program: &'a OsStr,
    scratch: &'a Path,
    /// The folder that the clone is made in.
    parent: &'a Path,
    settings: Vec<(String, String)>,
}

impl<'a> Commands<'a> {
    /// Commands that write a clone into the folder `into`. They log in to `url`, and to nothing else on its host.
    pub(super) fn new(
        (sandbox, program): (&'a Sandbox, &'a OsStr),
        into: &'a Path,
        scratch: &'a Path,
        login: Option<&Login>,
        url: &str,
    ) -> Self {
        let settings = [
            ("http.lowSpeedLimit", LOW_SPEED_BYTES),
            ("http.lowSpeedTime", LOW_SPEED_SECONDS),
            ("advice.detachedHead", "false"),
            // The branch of an empty repository whose server does not tell it.
            ("init.defaultBranch", "main"),
            // A hook of the node's templates must not run.
            ("core.hooksPath", "/dev/null"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            sandbox,
            program,
            scratch,
            parent: into.parent().unwrap_or(into),
            settings: settings
                .into_iter()
                .chain(login.into_iter().flat_map(|login| headers(login, url)))
                .collect(),
        }
    }

    /// A command with settings of its own.
    pub(super) fn git_with<'s>(
        &self,
        settings: impl IntoIterator<Item = (&'s str, &'s str)>,
    ) -> Process {
        let settings = settings.into_iter();
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings: Vec<_> = self.settings.iter().cloned().chain(settings).collect();
        self.command(&settings)
    }

    /// A command. Nothing of the node's own configuration shapes what it does: a clone is the same on every node.
    pub(super) fn git(&self) -> Process {
        self.command(&self.settings)
    }

    fn command(&self, settings: &[(String, String)]) -> Process {
        let mut child = Process::new(self.sandbox, self.program)
            .reads(self.scratch)
            .writes(self.parent)
            .env("HOME", self.scratch)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", "https:http:ssh:git")
            .env(
                "GIT_SSH_COMMAND",
                "ssh -oBatchMode=yes -oConnectTimeout=15 -oServerAliveInterval=15",
            )
            .env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (number, (name, value)) in settings.iter().enumerate() {
            child = child
                .env(&format!("GIT_CONFIG_KEY_{number}"), name)
                .env(&format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        child
    }
}

/// A login as a header for this repository alone, by either of its names. Other repositories on the host, such as
/// submodules, are fetched without it. The environment of a process can be read by its user only, unlike its arguments.
pub(super) fn headers(login: &Login, url: &str) -> Vec<(String, String)> {
    let rest = ["https://", "http://"]
        .into_iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    if rest.and_then(|rest| rest.split('/').next()) != Some(login.host.as_str()) {
        return Vec::new();
    }
    let pair = format!("{}:{}", login.username, login.password.expose_secret());
    let header = format!("Authorization: Basic {}", STANDARD.encode(pair));
    let url = url.strip_suffix(".git").unwrap_or(url);
    ["", ".git"]
        .map(|ending| (format!("http.{url}{ending}.extraHeader"), header.clone()))
        .into()
}
