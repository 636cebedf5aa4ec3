use hearth_domain::text::innermost_cause;

/// Why a question to a registry has no answer, by what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// There is no such image.
    #[error("the registry has no {0}")]
    NotFound(String),
    /// The registry wants a login and got none, or does not accept the one that it got.
    #[error("the registry asks for a login, or does not accept the one it got")]
    LoginFailed,
    /// The login is accepted, and has no right to this.
    #[error("the registry refuses: {0}")]
    Denied(String),
    /// No connection, no answer in time, or a server error.
    #[error("the registry does not answer: {0}")]
    Unreachable(String),
    /// The answer is not what the OCI distribution spec says.
    #[error("the registry's answer is not understood: {0}")]
    Protocol(String),
    /// The registry has this switched off for everybody.
    #[error("the registry does not offer this")]
    Unsupported,
    /// The text is not an image reference.
    #[error("{0:?} is not an image reference")]
    BadReference(String),
}

impl From<reqwest::Error> for RegistryError {
    /// reqwest's own text names the URL and hides the cause.
    fn from(error: reqwest::Error) -> Self {
        Self::Unreachable(innermost_cause(&error))
    }
}
