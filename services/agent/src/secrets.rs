//! The secrets of a workspace's repository. They are in memory alone: for an attempt while it runs, and for a command in the
//! workspace while it is started.
//!
//! The devcontainer CLI gives hooks their environment by arguments of `docker exec`, which every process of the node can read.
//! So it gets a stand-in for each secret, and the attempt's door to the engine puts the value in its place.

use std::{sync::Arc, time::Duration};

use hearth_domain::{AttemptRef, Secret, SecretValue};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::external::control_plane::{CredentialFailure, Credentials, IssuedSecrets};

/// How long the control plane may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The secrets of a workspace, for the environment of a command that is run in it, with sentences about those that it should
/// have and does not get.
pub async fn secrets_environment(
    credentials: &dyn Credentials,
    attempt: &AttemptRef,
) -> Result<IssuedSecrets, CredentialFailure> {
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, credentials.secrets(attempt)).await;
    answer.unwrap_or_else(|_| {
        let seconds = ANSWER_TIMEOUT.as_secs();
        Err(CredentialFailure(format!("no answer within {seconds} s")))
    })
}

/// The secrets of an attempt, and their stand-ins. Its copies are the same.
#[derive(Clone, Default)]
pub struct HeldSecrets(Arc<Mutex<Vec<Held>>>);

struct Held {
    name: String,
    value: SecretValue,
    stand_in: String,
}

impl HeldSecrets {
    /// Takes these in place of those before.
    pub fn hold(&self, secrets: Vec<Secret>) {
        let held = secrets.into_iter().map(|secret| Held {
            name: secret.name.to_string(),
            value: secret.value,
            // Nobody can guess it.
            stand_in: format!("hearth-secret-{}", Uuid::new_v4().simple()),
        });
        *self.0.lock() = held.collect();
    }

    /// The stand-ins by the names of their secrets, as the CLI's `--secrets-file` has them. `None`: there is no secret.
    pub fn stand_ins(&self) -> Option<Map<String, Value>> {
        let held = self.0.lock();
        let stand_ins = held.iter();
        let stand_ins = stand_ins.map(|held| (held.name.clone(), held.stand_in.clone().into()));
        let stand_ins: Map<String, Value> = stand_ins.collect();
        (!stand_ins.is_empty()).then_some(stand_ins)
    }

    /// Puts the values into an environment that has stand-ins.
    pub fn put_into(&self, environment: &mut [String]) {
        let held = self.0.lock();
        for variable in environment {
            let Some((name, value)) = variable.split_once('=') else {
                continue;
            };
            let stood_for = held
                .iter()
                .find(|held| held.name == name && held.stand_in == value);
            if let Some(held) = stood_for {
                *variable = format!("{name}={}", held.value.expose());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_takes_the_place_of_its_own_stand_in_and_of_nothing_else() {
        let held = HeldSecrets::default();
        assert!(held.stand_ins().is_none());
        let secret = |name: &str, value: &str| Secret {
            name: name.parse().unwrap(),
            value: SecretValue::new(value.to_owned()).unwrap(),
        };
        held.hold(vec![secret("A", "planted=a"), secret("B", "planted b")]);
        let stand_ins = held.stand_ins().unwrap();
        let of = |name: &str| stand_ins[name].as_str().unwrap().to_owned();
        assert!(!format!("{stand_ins:?}").contains("planted"));
        assert_ne!(of("A"), of("B"));
        let mut environment = vec![
            format!("A={}", of("A")),
            format!("B={}", of("B")),
            // Who has seen one does not get it by another name.
            format!("C={}", of("A")),
            format!("A={}x", of("A")),
            "A".to_owned(),
            "PATH=/bin".to_owned(),
        ];
        let before = environment.clone();
        held.put_into(&mut environment);
        assert_eq!(environment[..2], ["A=planted=a", "B=planted b"]);
        assert_eq!(environment[2..], before[2..]);
    }
}
