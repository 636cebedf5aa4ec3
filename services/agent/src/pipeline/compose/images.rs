//! All images of a project, at the same time: hits are fetched together, and one is built after the other.
//!
//! Nothing that another attempt waits for is held up: an image that is to be built is built, and pushed, whatever the others wait
//! for.

use std::collections::BTreeMap;

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, join_all, try_join_all},
};
use hearth_api::v1::{CacheReport, Failure, PipelineStep};
use hearth_layers::Transfer;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore};

use super::{
    parts::{Part, build_of},
    transfers::Transfers,
};
use crate::{
    devcontainer::{Base, BuildOption, DevcontainerConfig, Source},
    disk::ImageUse,
    pipeline::{
        context::{Checkout, Context},
        image::{Image, Making, fetch_hit, make},
        key::{self, Key},
        prefetch::Prefetch,
        push::Plans,
        rebuild::KeptSources,
        resolve::{Hit, resolve},
        sources::limit_sources,
    },
};

/// Computes the keys of parts: those that others are built from before these.
pub async fn keys(
    cx: &Context<'_>,
    clone: &Checkout,
    parts: &mut BTreeMap<String, Part>,
) -> BTreeMap<String, Key> {
    let mut keys: BTreeMap<String, Key> = BTreeMap::new();
    if parts.is_empty() {
        return keys;
    }
    let step = PipelineStep::Key;
    let what = format!("computes the cache keys of {} images", parts.len());
    let computed = cx.recorder.step(step, what, async {
        while keys.len() < parts.len() {
            let is_next = |(name, part): &(&String, &mut Part)| {
                let is_known = |need: &String| keys.contains_key(need);
                !keys.contains_key(*name) && part.needs.iter().all(is_known)
            };
            let next = parts.iter_mut().filter(is_next).map(|(name, part)| {
                enter_keys(&mut part.config, &keys);
                let config = &part.config;
                async move { (name.clone(), Box::pin(key::read(cx, clone, config)).await) }
            });
            // Without a circle there is always one.
            let next: Vec<_> = next.collect();
            if next.is_empty() {
                break;
            }
            let next = join_all(next).await;
            keys.extend(next);
        }
        match keys.values().all(|key| key.manifest.is_err()) {
            true => Err(()),
            false => Ok(()),
        }
    });
    // A step without any key has failed, and the attempt goes on.
    let _ = computed.await;
    keys
}

/// Enters the keys of the services whose images a build takes.
fn enter_keys(config: &mut DevcontainerConfig, keys: &BTreeMap<String, Key>) {
    let Some(build) = build_of(config) else {
        return;
    };
    for option in &mut build.options {
        if let BuildOption::Service { service, key, .. } = option {
            let of = keys.get(service);
            // What it defers is carried out here, and may take what no key sees.
            let of = of.filter(|of| of.unpinned.is_empty() && !of.defers);
            let manifest = of.and_then(|of| of.manifest.as_ref().ok());
            *key = manifest.map(|manifest| manifest.key().clone());
        }
    }
}

/// An image that the engine has, whose push goes on by itself.
pub struct Obtained {
    /// Its name in the engine.
    pub name: String,
    /// The cache's part in it.
    pub report: CacheReport,
    /// The hit that it is.
    pub hit: Option<Hit>,
    /// Keeps it until the containers are there.
    pub in_use: ImageUse,
}

/// The images of a project.
pub struct Images<'a, 'p, F> {
    cx: &'a Context<'a>,
    clone: &'a Checkout,
    parts: &'a BTreeMap<String, Part>,
    keys: Mutex<BTreeMap<String, Key>>,
    /// The service that an image is made for, where several have the same.
    same: BTreeMap<String, String>,
    made: BTreeMap<String, OnceCell<Result<Obtained, Failure>>>,
    /// Held by the build that goes on.
    building: tokio::sync::Mutex<()>,
    /// One permit for each service that runs and has an answer of the index.
    answered: Semaphore,
    prefetch: tokio::sync::Mutex<Prefetch<'p>>,
    kept: &'a KeptSources,
    plans: Plans,
    transfers: &'a Transfers<F>,
}

impl<'a, 'p, F: Fn(Transfer) + Send + Sync> Images<'a, 'p, F> {
    /// Those of these parts, none of which is made yet.
    pub fn new(
        cx: &'a Context<'a>,
        clone: &'a Checkout,
        (parts, keys): (&'a BTreeMap<String, Part>, BTreeMap<String, Key>),
        prefetch: Prefetch<'p>,
        (kept, plans): (&'a KeptSources, Plans),
        transfers: &'a Transfers<F>,
    ) -> Self {
        Self {
            cx,
            clone,
            parts,
            same: same(parts, &keys),
            keys: Mutex::new(keys),
            made: parts
                .keys()
                .map(|name| (name.clone(), OnceCell::new()))
                .collect(),
            building: tokio::sync::Mutex::default(),
            answered: Semaphore::new(0),
            prefetch: tokio::sync::Mutex::new(prefetch),
            kept,
            plans,
            transfers,
        }
    }

    /// Makes the images of all services that run.
    pub async fn make_all(&self) -> Result<(), Failure> {
        let run = || self.parts.iter().filter(|(_, part)| part.runs);
        let first = run().filter(|(name, _)| !self.same.contains_key(*name));
        if self.parts.is_empty() {
            self.prefetch.lock().await.cancel(self.cx).await;
            return Ok(());
        }
        let count = u32::try_from(first.count()).unwrap_or(u32::MAX);
        let what = format!("asks for {count} images");
        let answered = self.cx.recorder.step(PipelineStep::Resolve, what, async {
            let all = self.answered.acquire_many(count).await;
            // What is not used is in the way of what is fetched and built.
            self.prefetch.lock().await.cancel(self.cx).await;
            all.map(drop)
        });
        let answered = async {
            let _ = answered.await;
            Ok(())
        };
        let made = try_join_all(run().map(|(name, _)| self.of(name)));
        let made = async { made.await.map(drop) };
        tokio::try_join!(made, answered).map(drop)
    }

    /// The name of the image of a service, which is made if it is not there.
    fn of<'b>(&'b self, service: &'b str) -> BoxFuture<'b, Result<String, Failure>> {
        async move {
            let service = self.same.get(service).map_or(service, String::as_str);
            let (Some(cell), Some(part)) = (self.made.get(service), self.parts.get(service)) else {
                return Ok(String::new());
            };
            let made = cell
                .get_or_init(|| Box::pin(self.make(service, part)))
                .await;
            made.as_ref()
                .map(|image| image.name.clone())
                .map_err(Clone::clone)
        }
        .boxed()
    }

    async fn make(&self, service: &str, part: &Part) -> Result<Obtained, Failure> {
        let cx = self.cx;
        let key = self.keys.lock().remove(service);
        let key = key.unwrap_or_else(|| Key::none("it was not computed".to_owned(), Vec::new()));
        let mut lookup = resolve(cx, self.clone, &key, &part.subject).await;
        // Before it is answered: then what is left of the prefetch ends.
        let mut prefetch = match &lookup.hit {
            Some(hit) => {
                let name = hit.repository.image(&hit.digest);
                self.prefetch.lock().await.take(&name)
            }
            None => Prefetch::default(),
        };
        if part.runs {
            self.answered.add_permits(1);
        }
        let making = Making {
            clone: self.clone,
            config: &part.config,
            subject: &part.subject,
            kept: self.kept,
        };
        let mut image = None;
        if lookup.hit.is_some() {
            let progress = self.transfers.one();
            let fetched = fetch_hit(cx, &making, &key, &mut lookup, &mut prefetch, &progress);
            image = Box::pin(fetched).await;
            prefetch.cancel(cx).await;
        }
        let image = match image {
            Some(image) => image,
            None => {
                let config = self.with_images(part).await?;
                let making = Making {
                    config: &config,
                    ..making
                };
                let _one = self.building.lock().await;
                // With the digests of the base images, which the keys have found out.
                limit_sources(cx).await?;
                Box::pin(make(cx, &making, key, lookup)).await?
            }
        };
        let Image {
            name,
            report,
            push,
            hit,
            in_use,
        } = image;
        // The pushes end with the attempt.
        let _ = self.plans.send((service.to_owned(), push));
        Ok(Obtained {
            name,
            report,
            hit,
            in_use,
        })
    }

    /// The configuration of a part with the images of the services that it is built from.
    async fn with_images(&self, part: &Part) -> Result<DevcontainerConfig, Failure> {
        let mut images = BTreeMap::new();
        for need in &part.needs {
            images.insert(need.clone(), self.of(need).await?);
        }
        let mut config = part.config.clone();
        if let Some(build) = build_of(&mut config) {
            for option in &mut build.options {
                if let BuildOption::Service { service, image, .. } = option {
                    *image = images.get(service).cloned();
                }
            }
        } else if let (Source::Recipe(recipe), Some(image)) =
            (&mut config.source, images.into_values().next())
        {
            recipe.base = Base::Image(image);
        }
        Ok(config)
    }

    /// What was made, by the services that it was made for, and which services have the same.
    pub fn into_made(self) -> (BTreeMap<String, Obtained>, BTreeMap<String, String>) {
        let made = self.made.into_iter();
        let made = made.filter_map(|(name, cell)| Some((name, cell.into_inner()?.ok()?)));
        (made.collect(), self.same)
    }
}

/// Services whose images have the key of another one's: its image is theirs too.
fn same(parts: &BTreeMap<String, Part>, keys: &BTreeMap<String, Key>) -> BTreeMap<String, String> {
    let mut first: BTreeMap<&str, &String> = BTreeMap::new();
    let mut same = BTreeMap::new();
    // The devcontainer's own is no other's: its name in the index is that of the configuration.
    for (name, part) in parts.iter().filter(|(_, part)| !part.is_own && part.runs) {
        let key = keys.get(name).and_then(|key| key.manifest.as_ref().ok());
        let Some(key) = key else { continue };
        // An image that is built every time is built for each.
        let is_fixed = part.config.recipe().is_some() && keys[name].unpinned.is_empty();
        if !is_fixed {
            continue;
        }
        match first.get(key.key().as_str()) {
            Some(other) => {
                same.insert(name.clone(), (*other).clone());
            }
            None => {
                first.insert(key.key().as_str(), name);
            }
        }
    }
    same
}
