use std::future::Future;

use hearth_api::v1::{CacheSkipReason, PipelineStep};
use hearth_domain::ServiceName;

use super::{context::Context, job::CacheUse};
use crate::external::engine::volume_name;

/// Which of an attempt's images something is about.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// The service of a Docker Compose project that it is for. `None`: it is the only image.
    pub of_project: Option<OfProject>,
}

/// A service whose image is one of several.
#[derive(Clone, Debug)]
pub struct OfProject {
    /// The service, for people.
    pub title: String,
    /// What tells its files and names from those of the others.
    pub number: usize,
    /// The service in the index of the cache; `None`: it is the devcontainer's own.
    pub service: Option<ServiceName>,
}

impl Subject {
    /// The service in the index of the cache.
    pub fn service(&self) -> Option<&ServiceName> {
        self.of_project.as_ref()?.service.as_ref()
    }

    /// The cache as this image uses it, or why it does not.
    pub fn cache(&self, cx: &Context<'_>) -> Result<CacheUse, CacheSkipReason> {
        let cache = cx.job.cache.clone()?;
        let Some(service) = self.service() else {
            return Ok(cache);
        };
        Ok(CacheUse {
            reference: cache.reference.of_service(service),
            newest_digest: cache.newest_of_services.get(service).cloned(),
            ..cache
        })
    }

    /// A name on the engine that is the attempt's own: no other one can give it to another image.
    pub fn image_name(&self, cx: &Context<'_>) -> String {
        let (own, attempt) = (
            volume_name(&cx.job.attempt.workspace),
            cx.job.attempt.number,
        );
        match &self.of_project {
            None => format!("{own}:{attempt}"),
            Some(of) => format!("{own}_service_{}:{attempt}", of.number),
        }
    }

    /// The name of a file or folder of the attempt that each image has one of.
    pub fn file(&self, name: &str) -> String {
        match &self.of_project {
            None => name.to_owned(),
            Some(of) => format!("{name}-{}", of.number),
        }
    }

    /// A text about this image.
    pub fn about(&self, text: impl Into<String>) -> String {
        let text = text.into();
        match &self.of_project {
            None => text,
            Some(of) => format!("{}: {text}", of.title),
        }
    }

    /// Runs `work` as a step of the pipeline. Several images are made in one.
    pub async fn step<T, E>(
        &self,
        cx: &Context<'_>,
        step: PipelineStep,
        description: String,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match self.of_project {
            None => cx.recorder.step(step, description, work).await,
            Some(_) => work.await,
        }
    }
}
