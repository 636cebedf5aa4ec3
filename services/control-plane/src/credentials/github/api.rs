use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use backon::{ExponentialBuilder, Retryable as _};
use hearth_domain::text::innermost_cause;
use http::StatusCode;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use octocrab::{Octocrab, models::AppId};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use super::{
    super::{counters::Counters, settings::GitHubAppSettings},
    answer::{self, Told},
    failure::Refusal,
    pace::Pace,
    permissions::Permissions,
    wire::{Installation, Slug, Token, TokenAnswer, TokenRequest},
};

const CONNECT: Duration = Duration::from_secs(2);
/// For one answer; GitHub's usual answers take a fraction of a second.
const ANSWER: Duration = Duration::from_secs(3);
const TRIES: usize = 3;
/// A rate limit that ends sooner is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// A repository in an answer has about 6 KiB.
const MAX_BODY: usize = 256 * 1024;

/// GitHub's API, as the App.
pub(super) struct Api {
    crab: Octocrab,
    app_id: u64,
    host: String,
    pace: Pace,
    skew_seconds: Mutex<Option<i64>>,
    counters: Arc<Counters>,
}

/// A request to GitHub.
enum Question<'a> {
    Installation(&'a Slug),
    Token(u64, TokenRequest<'a>),
}

impl Api {
    pub(super) fn new(
        settings: &GitHubAppSettings,
        counters: Arc<Counters>,
    ) -> anyhow::Result<Self> {
        let host = settings.api.authority().map(ToString::to_string);
        let crab = Octocrab::builder()
            .base_uri(settings.api.clone())
            .and_then(|builder| builder.upload_uri(settings.api.clone()))
            .map(|builder| {
                builder
                    .set_connect_timeout(Some(CONNECT))
                    .app(AppId(settings.app_id), settings.key.clone())
            })
            // TLS trusts the machine's roots, for example the authority of an Enterprise Server.
            .and_then(|builder| builder.build())
            .context("no client for GitHub's API")?;
        Ok(Self {
            crab,
            app_id: settings.app_id,
            host: host.unwrap_or_default(),
            pace: Pace::default(),
            skew_seconds: Mutex::default(),
            counters,
        })
    }

    pub(super) fn app_id(&self) -> u64 {
        self.app_id
    }

    /// Seconds by which GitHub's clock is ahead of ours, from its newest answer.
    pub(super) fn skew_seconds(&self) -> Option<i64> {
        *self.skew_seconds.lock()
    }

    /// The installation for a repository.
    pub(super) async fn installation(&self, slug: &Slug) -> Result<Installation, Refusal> {
        let (installation, _) = self.ask(Question::Installation(slug)).await?;
        Ok(installation)
    }

    /// A token for one repository with exactly these permissions. Any other token is discarded.
    pub(super) async fn mint(
        &self,
        installation: u64,
        slug: &Slug,
        permissions: Permissions,
    ) -> Result<Token, Refusal> {
        let request = TokenRequest {
            repositories: [slug.name()],
            permissions: permissions.listed(),
        };
        let question = Question::Token(installation, request);
        let (answer, told) = self.ask::<TokenAnswer>(question).await?;
        let now = told.date.unwrap_or_else(SystemTime::now);
        let token = answer
            .check(slug, permissions, now)
            .map_err(Refusal::Unexpected)?;
        self.counters.minted();
        Ok(token)
    }

    /// Retries failures that may pass, a few times. A token whose answer was lost expires unused.
    async fn ask<T: DeserializeOwned>(&self, question: Question<'_>) -> Result<(T, Told), Refusal> {
        let delays = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_millis(400))
            .with_max_times(TRIES - 1)
            .with_jitter();
        (|| self.once(&question))
            .retry(delays)
            .when(|refusal: &Refusal| refusal.may_pass(PATIENCE))
            .await
    }

    async fn once<T: DeserializeOwned>(
        &self,
        question: &Question<'_>,
    ) -> Result<(T, Told), Refusal> {
        let turn = self.pace.turn(PATIENCE).await;
        turn.map_err(Refusal::RateLimited)?;
        let (status, told, body) = tokio::time::timeout(ANSWER, self.send(question))
            .await
            .unwrap_or_else(|_| {
                let seconds = ANSWER.as_secs();
                Err(Refusal::Unreachable(format!(
                    "nothing within {seconds} seconds"
                )))
            })?;
        let read = answer::read(status, &told, &body);
        if let Err(Refusal::RateLimited(wait)) = &read {
            self.pace.hold(*wait);
        }
        Ok((read?, told))
    }

    async fn send(&self, question: &Question<'_>) -> Result<(StatusCode, Told, Vec<u8>), Refusal> {
        // Relative, since octocrab signs only those.
        let answer = match question {
            Question::Installation(slug) => {
                self.crab._get(format!("/repos/{slug}/installation")).await
            }
            Question::Token(installation, request) => {
                let route = format!("/app/installations/{installation}/access_tokens");
                self.crab._post(route, Some(request)).await
            }
        };
        let (parts, body) = answer.map_err(|error| broken(&error))?.into_parts();
        let told = Told::read(&parts.headers, SystemTime::now());
        self.note(&told);
        let body = match Limited::new(body, MAX_BODY).collect().await {
            Ok(body) => body.to_bytes().to_vec(),
            Err(error) if !error.is::<LengthLimitError>() => {
                return Err(Refusal::Unreachable(innermost_cause(&*error)));
            }
            Err(_) if parts.status.is_success() => {
                let what = format!("more than {} KiB", MAX_BODY / 1024);
                return Err(Refusal::Unexpected(what));
            }
            // The status is enough.
            Err(_) => Vec::new(),
        };
        Ok((parts.status, told, body))
    }

    fn note(&self, told: &Told) {
        if let Some(remaining) = told.remaining {
            self.counters.remaining(&self.host, remaining);
        }
        if told.skew_seconds.is_some() {
            *self.skew_seconds.lock() = told.skew_seconds;
        }
    }
}

fn broken(error: &octocrab::Error) -> Refusal {
    match error {
        octocrab::Error::JWT { .. } => Refusal::KeyRefused,
        other => Refusal::Unreachable(innermost_cause(other)),
    }
}
