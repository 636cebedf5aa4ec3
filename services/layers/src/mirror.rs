//! Mirrors of registries.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use reqwest::Url;
use tokio::time::Instant;

use crate::{RegistryClient, RegistryError, access::Access, image::Image};

/// How long a mirror that does not answer, or brings too little, is not asked again: each fetch would wait for it.
const PAUSE: Duration = Duration::from_secs(60);

/// A mirror that images of a registry are fetched from first. It is no more trusted than a network: what it sends is verified
/// by its digest, and it gets no login.
#[derive(Clone, Debug)]
pub struct Mirror {
    host: String,
    url: Url,
    /// When it last did not answer, or brought too little. All imports know it.
    failed: Arc<Mutex<Option<Instant>>>,
}

impl PartialEq for Mirror {
    fn eq(&self, other: &Self) -> bool {
        (&self.host, &self.url) == (&other.host, &other.url)
    }
}

impl FromStr for Mirror {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "must be HOST=URL, with the registry's host as images name it and an http:// or https:// URL without login, query or fragment";
        let (host, url) = text.split_once('=').ok_or(FORM)?;
        let url = Url::parse(url).map_err(|_| FORM)?;
        let has_login = !url.username().is_empty() || url.password().is_some();
        let plain = !has_login && url.query().is_none() && url.fragment().is_none();
        let named = format!("{host}/a").parse::<oci_spec::distribution::Reference>();
        let is_host = named.is_ok_and(|image| image.registry() == host);
        match plain && is_host && matches!(url.scheme(), "http" | "https") {
            true => Ok(Self {
                host: host.to_owned(),
                url,
                failed: Arc::default(),
            }),
            false => Err(FORM),
        }
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.host, self.url)
    }
}

impl Mirror {
    /// Whether it is to be asked for images of `registry` now.
    pub(crate) fn is_for(&self, registry: &str) -> bool {
        let rests = |failed: Instant| failed.elapsed() < PAUSE;
        self.host == registry && !self.failed.lock().is_some_and(rests)
    }

    /// All of `image` but its layers, and what the mirror is asked for them with.
    pub(crate) async fn whole(
        &self,
        client: &RegistryClient,
        image: &str,
    ) -> Result<(Image, Access), RegistryError> {
        let found = client.at_mirror(self.url.clone()).whole(image).await;
        if matches!(found, Err(RegistryError::Unreachable(_))) {
            self.rest();
        }
        found
    }

    /// It is not asked for a while. What it answers meanwhile to who has begun to ask does not change that: it can have
    /// manifests, and not bring layers.
    pub(crate) fn rest(&self) {
        *self.failed.lock() = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_a_host_and_a_url_that_tells_no_secret() {
        for good in [
            "docker.io=https://mirror.example/",
            "ghcr.io=http://10.0.0.7:5000/",
            "localhost:5000=https://mirror.example/of/ghcr",
        ] {
            let mirror: Mirror = good.parse().unwrap();
            assert_eq!(mirror.to_string(), good);
            assert!(mirror.is_for(good.split_once('=').unwrap().0));
            assert!(!mirror.is_for("quay.io"));
        }
        for bad in [
            "",
            "docker.io",
            "docker.io=",
            "=https://mirror.example",
            "https://mirror.example",
            "docker.io=mirror.example:5000",
            "docker.io=ftp://mirror.example",
            "docker.io=https://user@mirror.example",
            "docker.io=https://user:password@mirror.example",
            "docker.io=https://mirror.example?token=x",
            "docker.io/library=https://mirror.example",
            "Docker Hub=https://mirror.example",
        ] {
            assert!(bad.parse::<Mirror>().is_err(), "{bad}");
        }
    }
}
