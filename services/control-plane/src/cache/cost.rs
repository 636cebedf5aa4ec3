//! Whether fetching an image is worth it.

/// How much longer than building a fetch may be expected to take: both numbers are estimates, and building keeps the
/// machine busy.
const TOLERANCE: f64 = 1.2;
/// Less than this says more about the registry's latency than about the line.
const TELLING_BYTES: u64 = 4 * 1024 * 1024;
const TELLING_SECONDS: f64 = 0.1;

/// Seconds that fetching so many bytes is expected to take, when that is too long: longer than the build took. Without a measured rate
/// or a recorded build nothing speaks against fetching.
pub(crate) fn too_slow(bytes: u64, build_seconds: f64, rate: Option<f64>) -> Option<f64> {
    let rate = rate.filter(|rate| *rate > 0.0)?;
    let seconds = as_f64(bytes) / rate;
    (build_seconds > 0.0 && seconds > build_seconds * TOLERANCE).then_some(seconds)
}

/// Bytes per second of a fetch, if it says anything.
pub(crate) fn rate(bytes: u64, seconds: f64) -> Option<f64> {
    (bytes >= TELLING_BYTES && seconds >= TELLING_SECONDS).then(|| as_f64(bytes) / seconds)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an estimate, and sizes of images are exact in a double"
)]
fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_fetched_unless_that_is_known_to_take_longer_than_building() {
        let too_slow = |build_seconds, rate| too_slow(1_000_000, build_seconds, rate);
        assert_eq!(too_slow(5.0, None), None, "no rate is known");
        assert_eq!(too_slow(0.0, Some(1.0)), None, "no build is known");
        assert_eq!(too_slow(10.0, Some(100_000.0)), None);
        assert_eq!(too_slow(8.5, Some(100_000.0)), None, "within reason");
        assert_eq!(too_slow(8.0, Some(100_000.0)), Some(10.0));
    }

    #[test]
    fn a_small_or_short_fetch_says_nothing_about_the_rate() {
        assert_eq!(rate(1_000_000, 1.0), None);
        assert_eq!(rate(10_000_000, 0.01), None);
        assert_eq!(rate(10_000_000, 2.0), Some(5_000_000.0));
    }
}
