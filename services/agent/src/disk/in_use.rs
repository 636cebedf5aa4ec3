use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Images that running attempts fetch, start containers from, or push. They are not removed meanwhile.
#[derive(Clone, Debug, Default)]
pub struct ImagesInUse(Arc<Table>);

#[derive(Debug, Default)]
struct Table {
    names: Mutex<Names>,
    removed: Notify,
}

#[derive(Debug, Default)]
struct Names {
    needed: BTreeMap<String, usize>,
    going: BTreeSet<String>,
}

impl ImagesInUse {
    /// Registers an attempt's use of an image, until the result is dropped.
    pub fn enter(&self, image: &str) -> ImageUse {
        *self
            .0
            .names
            .lock()
            .needed
            .entry(image.to_owned())
            .or_default() += 1;
        ImageUse {
            images: self.clone(),
            image: image.to_owned(),
        }
    }

    /// Whether an attempt uses an image by this name.
    pub fn is_needed(&self, image: &str) -> bool {
        self.0.names.lock().needed.contains_key(image)
    }

    /// Registers the removal of an image with these names, until the result is dropped; `None` if an attempt uses it.
    pub(super) fn begin_removal(&self, names: &[String]) -> Option<Removal> {
        let mut table = self.0.names.lock();
        if names.iter().any(|name| table.needed.contains_key(name)) {
            return None;
        }
        table.going.extend(names.iter().cloned());
        Some(Removal {
            images: self.clone(),
            names: names.to_vec(),
        })
    }

    /// Waits while an image is being removed. A caller that entered the image before finds it whole in the engine
    /// afterwards, or not at all.
    pub async fn until_removed(&self, image: &str) {
        loop {
            let removed = self.0.removed.notified();
            if !self.0.names.lock().going.contains(image) {
                return;
            }
            removed.await;
        }
    }
}

/// An attempt's need of an image.
#[derive(Debug)]
pub struct ImageUse {
    images: ImagesInUse,
    image: String,
}

impl ImageUse {
    /// Whether this is the only attempt that needs the image.
    pub fn is_exclusive(&self) -> bool {
        self.images.0.names.lock().needed.get(&self.image) == Some(&1)
    }
}

impl Drop for ImageUse {
    fn drop(&mut self) {
        let mut table = self.images.0.names.lock();
        if let Some(count) = table.needed.get_mut(&self.image) {
            *count -= 1;
            if *count == 0 {
                table.needed.remove(&self.image);
            }
        }
    }
}

/// The removal of an image, under all its names.
#[derive(Debug)]
pub(super) struct Removal {
    images: ImagesInUse,
    names: Vec<String>,
}

impl Drop for Removal {
    fn drop(&mut self) {
        let mut table = self.images.0.names.lock();
        for name in &self.names {
            table.going.remove(name);
        }
        drop(table);
        self.images.0.removed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn an_image_that_two_attempts_need_is_exclusive_to_neither() {
        let images = ImagesInUse::default();
        let one = images.enter("r@d");
        assert!(one.is_exclusive());
        let two = images.enter("r@d");
        assert!(!one.is_exclusive() && !two.is_exclusive());
        drop(one);
        assert!(two.is_exclusive() && images.is_needed("r@d"));
        drop(two);
        assert!(!images.is_needed("r@d"));
    }

    #[test]
    fn a_needed_image_is_not_removed_whichever_of_its_names_is_needed() {
        let images = ImagesInUse::default();
        let names = ["r:t".to_owned(), "r@d".to_owned()];
        let need = images.enter("r@d");
        assert!(images.begin_removal(&names).is_none());
        drop(need);
        assert!(images.begin_removal(&names).is_some());
    }

    #[tokio::test]
    async fn an_attempt_that_needs_an_image_waits_while_it_is_being_removed() {
        let images = ImagesInUse::default();
        let removal = images.begin_removal(&["r@d".to_owned()]).unwrap();
        let _need = images.enter("r@d");
        let mut settled = std::pin::pin!(images.until_removed("r@d"));
        assert!(settled.as_mut().now_or_never().is_none());
        images.until_removed("another").await;
        drop(removal);
        settled.await;
    }
}
