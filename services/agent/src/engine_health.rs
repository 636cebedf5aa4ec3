//! Whether the node's engine answers. While it does not, the node takes no work.

use std::{sync::Arc, time::Duration};

use hearth_runtime::Obstacle;
use tokio::{sync::watch, time::Instant};

use crate::external::engine::{Engine, EngineFailure, EngineInfo};

/// Time between two checks.
const PERIOD: Duration = Duration::from_secs(2);
/// How long an engine may take to answer: a busy one is no dead one.
pub const ANSWER: Duration = Duration::from_secs(10);
/// How often the log says that the engine is still waited for.
const REMIND: Duration = Duration::from_secs(60);

/// What is known of the engine. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct EngineHealth(Arc<watch::Sender<Option<String>>>);

impl EngineHealth {
    /// Asks the engine now. Returns why it cannot be used, in a sentence.
    pub async fn check(&self, engine: &dyn Engine) -> Option<String> {
        // An engine may answer pings and nothing else.
        let answers = async {
            engine.ping().await?;
            engine.running_containers().await
        };
        let problem = match tokio::time::timeout(ANSWER, answers).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(format!("the engine does not answer: {}", error.cause)),
            Err(_) => Some(silent()),
        };
        self.0.send_if_modified(|known| {
            let changed = known.is_some() != problem.is_some();
            known.clone_from(&problem);
            changed
        });
        problem
    }

    /// Why the engine cannot be used, as far as is known. It changes when that begins and when it ends.
    pub fn problem(&self) -> watch::Receiver<Option<String>> {
        self.0.subscribe()
    }

    /// Asks the engine for as long as it is polled. An engine that does not answer is the `obstacle`.
    pub async fn watch(&self, engine: &dyn Engine, obstacle: &Obstacle) {
        let mut was_down = false;
        loop {
            let problem = self.check(engine).await;
            obstacle.set(problem.clone());
            match (&problem, was_down) {
                (Some(problem), false) => tracing::error!("the node takes no work: {problem}"),
                (None, true) => tracing::info!("the engine answers again"),
                _ => {}
            }
            was_down = problem.is_some();
            tokio::time::sleep(PERIOD).await;
        }
    }
}

/// Waits until the engine is there and describes itself: after a start of the machine it may come later than the agent.
pub async fn connected<E: Engine>(
    connect: impl Fn() -> Result<E, EngineFailure>,
) -> (E, EngineInfo) {
    let mut told: Option<Instant> = None;
    loop {
        let described = async {
            let engine = connect()?;
            let info = engine.describe().await?;
            Ok::<_, EngineFailure>((engine, info))
        };
        let why = match tokio::time::timeout(ANSWER, described).await {
            Ok(Ok(described)) => return described,
            Ok(Err(error)) => error.to_string(),
            Err(_) => silent(),
        };
        if told.is_none_or(|told| told.elapsed() >= REMIND) {
            tracing::warn!("waits for the engine (--docker-host): {why}");
            told = Some(Instant::now());
        }
        tokio::time::sleep(PERIOD).await;
    }
}

fn silent() -> String {
    format!("the engine has not answered for {} s", ANSWER.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::external::engine::fake::FakeEngine;

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_answers_nothing_but_pings_cannot_be_used() {
        let (engine, health) = (FakeEngine::default(), EngineHealth::default());
        engine.lock().hangs = true;
        let why = health.check(&engine).await.unwrap();
        assert_eq!(why, "the engine has not answered for 10 s");
        engine.lock().hangs = false;
        assert_eq!(health.check(&engine).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_goes_and_comes_back_is_told() {
        let (engine, health) = (FakeEngine::default(), EngineHealth::default());
        let obstacle = Obstacle::default();
        let mut problem = health.problem();
        let watch = health.watch(&engine, &obstacle);
        let story = async {
            tokio::time::sleep(PERIOD).await;
            assert_eq!(obstacle.get(), None);
            assert!(!problem.has_changed().unwrap());
            engine.lock().is_down = true;
            problem.changed().await.unwrap();
            let why = problem.borrow_and_update().clone().unwrap();
            assert_eq!(why, "the engine does not answer: connection refused");
            tokio::time::sleep(PERIOD).await;
            assert!(obstacle.get().is_some());
            assert!(!problem.has_changed().unwrap(), "it is told once");
            engine.lock().is_down = false;
            problem.changed().await.unwrap();
            assert_eq!(*problem.borrow_and_update(), None);
            tokio::time::sleep(PERIOD).await;
            assert_eq!(obstacle.get(), None);
        };
        tokio::select! {
            () = watch => {}
            () = story => {}
        }
    }
}
