use std::sync::Arc;

use secrecy::SecretString;
use tokio::sync::watch;

/// The node's session at the control plane. Every registration begins a new one and ends the last one.
///
/// A caller whose token was refused asks for another one. However many do so at once, the node registers once.
#[derive(Clone, Debug)]
pub struct Session(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    token: watch::Sender<Option<Token>>,
    /// Number of the newest session that was refused.
    refused: watch::Sender<u64>,
}

/// A session's token.
#[derive(Clone, Debug)]
pub struct Token {
    number: u64,
    secret: SecretString,
}

impl Token {
    /// The token itself.
    pub fn secret(&self) -> &SecretString {
        &self.secret
    }
}

impl Default for Session {
    fn default() -> Self {
        Self(Arc::new(Inner {
            token: watch::Sender::new(None),
            refused: watch::Sender::new(0),
        }))
    }
}

impl Session {
    /// Begins a session, after the node was registered.
    pub fn begin(&self, secret: SecretString) {
        self.0.token.send_modify(|token| {
            let number = token.as_ref().map_or(0, |token| token.number) + 1;
            *token = Some(Token { number, secret });
        });
    }

    /// The token. Waits for the first registration.
    pub async fn token(&self) -> Token {
        self.newer_than(0).await
    }

    /// The token, if the node was registered.
    pub fn current(&self) -> Option<Token> {
        self.0.token.borrow().clone()
    }

    /// The token after one that was refused. Waits until the node is registered again.
    pub async fn renewed(&self, refused: &Token) -> Token {
        self.0.refused.send_if_modified(|number| {
            let newer = *number < refused.number;
            *number = refused.number.max(*number);
            newer
        });
        self.newer_than(refused.number).await
    }

    /// Returns when the current session was refused.
    pub async fn is_refused(&self) {
        let mut refused = self.0.refused.subscribe();
        let is_current = |refused: &u64| {
            let token = self.0.token.borrow();
            token.as_ref().is_some_and(|token| token.number <= *refused)
        };
        // This session holds the sender, so that waiting cannot fail.
        let _ = refused.wait_for(is_current).await;
    }

    async fn newer_than(&self, number: u64) -> Token {
        let mut tokens = self.0.token.subscribe();
        loop {
            if let Some(token) = tokens.borrow_and_update().clone()
                && token.number > number
            {
                return token;
            }
            if tokens.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
