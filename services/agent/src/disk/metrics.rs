use hearth_runtime::Metrics;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

/// Metrics of the disk and of what is removed from it.
#[derive(Clone, Debug, Default)]
pub struct DiskMetrics {
    pub(super) free_bytes: Gauge,
    pub(super) removed_images: Counter,
    pub(super) freed_bytes: Counter,
    passes: Family<Label, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    outcome: &'static str,
}

impl DiskMetrics {
    /// Registers the metrics.
    pub fn new(metrics: &Metrics) -> Self {
        let this = Self::default();
        metrics.register(|registry| {
            registry.register(
                "agent_disk_free_bytes",
                "Free bytes where the engine keeps its data, when they were last measured",
                this.free_bytes.clone(),
            );
            registry.register(
                "agent_image_gc_removed_images",
                "Images of the cache that were removed to free disk",
                this.removed_images.clone(),
            );
            registry.register(
                "agent_image_gc_freed_bytes",
                "Bytes of disk that were freed by removing images and build caches",
                this.freed_bytes.clone(),
            );
            registry.register(
                "agent_image_gc_passes",
                "Passes that were to free disk, by outcome",
                this.passes.clone(),
            );
        });
        this
    }

    /// Counts a pass.
    pub(super) fn pass(&self, outcome: &'static str) {
        self.passes.get_or_create(&Label { outcome }).inc();
    }

    #[cfg(test)]
    pub(super) fn passes(&self, outcome: &'static str) -> u64 {
        self.passes.get_or_create(&Label { outcome }).get()
    }
}
