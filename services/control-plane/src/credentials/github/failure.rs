use std::time::Duration;

use hearth_api::v1::CredentialProblemReason as Reason;

use super::wire::Slug;

/// Why GitHub issued no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// No installation includes the repository.
    #[error(
        "the GitHub App is not installed on {0}, or there is no such repository: install it for the repository at GitHub"
    )]
    NotInstalled(String),
    /// The account's owner suspended the App.
    #[error(
        "the GitHub App's installation for {0} is suspended: its owner can unsuspend it at GitHub"
    )]
    Suspended(String),
    /// GitHub forbids it, with its message.
    #[error("GitHub forbids it: {0}")]
    Forbidden(String),
    /// GitHub does not grant a permission that the installation lists, with its message.
    #[error("GitHub issues no token for {slug}: {words}")]
    NotGranted { slug: String, words: String },
    /// The id and the key do not belong together, or the App is gone.
    #[error(
        "GitHub does not accept the App's id {0} and its key: check both in the App's settings"
    )]
    KeyRefused(u64),
    /// The clocks differ by more than signatures allow.
    #[error(
        "the control plane's clock is {} seconds {} GitHub's, which refuses its signatures: set the clock",
        .ahead_seconds.unsigned_abs(),
        if *.ahead_seconds > 0 { "ahead of" } else { "behind" }
    )]
    ClockSkew { ahead_seconds: i64 },
    /// GitHub's rate limit, with the time until it ends.
    #[error("GitHub's rate limit is reached: retrying in {} seconds", seconds(.0))]
    RateLimited(Duration),
    /// No connection, no answer in time, or a server error.
    #[error("GitHub does not answer: {0}")]
    Unreachable(String),
    /// An answer that does not match the request.
    #[error("GitHub answered with {0}")]
    Unexpected(String),
}

impl Failure {
    /// The reason in the contract.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::NotInstalled(_) => Reason::NotInstalled,
            Self::Suspended(_) | Self::Forbidden(_) => Reason::Forbidden,

            Self::NotGranted { .. } => Reason::PermissionMissing,
            Self::KeyRefused(_) => Reason::KeyRefused,
            Self::ClockSkew { .. } => Reason::ClockSkew,
            Self::RateLimited(_) => Reason::RateLimited,
            Self::Unreachable(_) => Reason::Unreachable,
            Self::Unexpected(_) => Reason::Unexpected,
        }
    }

    /// Whether tokens that were issued before are still valid: GitHub revokes those of an installation that is removed or
    /// suspended, and no others.
    pub(super) fn leaves_tokens_alive(&self) -> bool {
        match self {
            Self::NotInstalled(_)
            | Self::Suspended(_)
            | Self::Forbidden(_)
            | Self::NotGranted { .. } => false,
            Self::KeyRefused(_)
            | Self::ClockSkew { .. }
            | Self::RateLimited(_)
            | Self::Unreachable(_)
            | Self::Unexpected(_) => true,
        }
    }
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 404: it does not exist, or the App may not see it.
    Missing,
    /// 422, with GitHub's message.
    Impossible(String),
    /// 403, with GitHub's message.
    Forbidden(String),
    /// 401, or an App that GitHub does not know.
    KeyRefused,
    /// 401, and the clocks differ by more than signatures allow.
    ClockSkew { ahead_seconds: i64 },
    /// A rate limit, with the time until it ends.
    RateLimited(Duration),
    /// No connection, no answer in time, or a server error.
    Unreachable(String),
    /// Anything else.
    Unexpected(String),
}

impl Refusal {
    /// Whether the same request may succeed soon.
    pub(super) fn may_pass(&self, patience: Duration) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::RateLimited(wait) => *wait <= patience,
            Self::Missing
            | Self::Impossible(_)
            | Self::Forbidden(_)
            | Self::KeyRefused
            | Self::ClockSkew { .. }
            | Self::Unexpected(_) => false,
        }
    }

    /// Whether the cached installation may be out of date.
    pub(super) fn is_of_another_installation(&self) -> bool {
        match self {
            Self::Missing | Self::Impossible(_) => true,
            Self::Forbidden(_)
            | Self::KeyRefused
            | Self::ClockSkew { .. }
            | Self::RateLimited(_)
            | Self::Unreachable(_)
            | Self::Unexpected(_) => false,
        }
    }

    /// The failure, when no retry is left.
    pub(super) fn into_failure(self, app_id: u64, slug: &Slug) -> Failure {
        match self {
            Self::Missing => Failure::NotInstalled(slug.to_string()),
            Self::Impossible(words) if words.contains("not granted") => Failure::NotGranted {
                slug: slug.to_string(),
                words,
            },
            Self::Impossible(words) => Failure::Unexpected(format!("status 422: {words}")),
            Self::Forbidden(words) if words.contains("suspended") => {
                Failure::Suspended(slug.to_string())
            }
            Self::Forbidden(words) => Failure::Forbidden(words),
            Self::KeyRefused => Failure::KeyRefused(app_id),
            Self::ClockSkew { ahead_seconds } => Failure::ClockSkew { ahead_seconds },
            Self::RateLimited(wait) => Failure::RateLimited(wait),
            Self::Unreachable(why) => Failure::Unreachable(why),
            Self::Unexpected(what) => Failure::Unexpected(what),
        }
    }
}

/// Whole seconds, at least one.
fn seconds(wait: &Duration) -> u64 {
    wait.as_millis()
        .div_ceil(1000)
        .max(1)
        .try_into()
        .unwrap_or(u64::MAX)
}
