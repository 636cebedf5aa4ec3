use secrecy::SecretString;

/// User and password for one registry.
#[derive(Clone, Debug)]
pub struct RegistryLogin {
    /// `host[:port]`.
    pub registry: String,
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: SecretString,
}
