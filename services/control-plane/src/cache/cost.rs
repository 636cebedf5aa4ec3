//! Whether fetching an image is worth it.

use std::time::Duration;

use crate::store::FetchRate;

/// How much longer than building a fetch may be expected to take: both numbers are estimates, and building keeps the
/// machine busy.
const TOLERANCE: f64 = 1.2;
/// Less than this says more about the registry's latency than about the line.
const TELLING_BYTES: u64 = 4 * 1024 * 1024;
const TELLING_SECONDS: f64 = 0.1;
/// Weight of the newest fetch in a node's average: three fetches make up most of it.
const NEWEST: f64 = 0.3;
/// After so many images that were too slow to fetch one is fetched all the same, whatever was measured before.
pub(super) const PASSED_OVER: u32 = 20;
/// So is the first one after this time.
const OLD: Duration = Duration::from_secs(24 * 3600);

/// Seconds that fetching so many bytes is expected to take, when that is too long: longer than the build took. Without a measured rate
/// or a recorded build nothing speaks against fetching.
pub(crate) fn too_slow(bytes: u64, build_seconds: f64, rate: Option<f64>) -> Option<f64> {
    let rate = rate.filter(|rate| *rate > 0.0)?;
    let seconds = as_f64(bytes) / rate;
    (build_seconds > 0.0 && seconds > build_seconds * TOLERANCE).then_some(seconds)
}

/// What becomes of an image that was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Worth {
    /// It is fetched.
    Fetch,
    /// It is fetched although that would be too slow by the rate, which is from here on this one: who never fetches does not
    /// learn that the line is quicker now.
    Try(FetchRate),
    /// It is built, and the rate is from here on this one.
    Build(FetchRate),
}

/// Whether an image is fetched. A rate is doubted the more, the more images were not fetched for it: it counts as twice as
/// high after one, three times as high after two. So a fetch is tried after as many builds as it would take as long.
pub(super) fn worth(bytes: u64, build_seconds: f64, rate: Option<FetchRate>) -> Worth {
    let is_slow = |rate: f64| too_slow(bytes, build_seconds, Some(rate)).is_some();
    let Some(rate) = rate.filter(|rate| is_slow(rate.bytes_per_second)) else {
        return Worth::Fetch;
    };
    let doubted = rate.bytes_per_second * f64::from(rate.passed_over.saturating_add(1));
    if rate.passed_over >= PASSED_OVER || rate.age >= OLD || !is_slow(doubted) {
        return Worth::Try(FetchRate {
            passed_over: 0,
            tried: true,
            age: Duration::ZERO,
            ..rate
        });
    }
    Worth::Build(FetchRate {
        passed_over: rate.passed_over.saturating_add(1),
        ..rate
    })
}

/// Bytes per second of a fetch, if it says anything.
pub(crate) fn rate(bytes: u64, seconds: f64) -> Option<f64> {
    (bytes >= TELLING_BYTES && seconds >= TELLING_SECONDS).then(|| as_f64(bytes) / seconds)
}

/// The rate of a node after another measured fetch. One that was doubted is replaced.
pub(super) fn learnt(known: Option<FetchRate>, bytes_per_second: f64) -> FetchRate {
    let average = |known: FetchRate| {
        known.bytes_per_second + NEWEST * (bytes_per_second - known.bytes_per_second)
    };
    let trusted = known.filter(|known| !known.tried && known.passed_over == 0);
    FetchRate {
        bytes_per_second: trusted.map_or(bytes_per_second, average),
        passed_over: 0,
        tried: false,
        age: Duration::ZERO,
    }
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
    use proptest::prelude::*;

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

    fn measured(bytes_per_second: f64) -> FetchRate {
        learnt(None, bytes_per_second)
    }

    /// How many images are built before one is fetched.
    fn builds(bytes: u64, build_seconds: f64, mut rate: FetchRate) -> (u32, FetchRate) {
        for builds in 0.. {
            match worth(bytes, build_seconds, Some(rate)) {
                Worth::Build(next) => rate = next,
                Worth::Try(next) => return (builds, next),
                Worth::Fetch => return (builds, rate),
            }
        }
        unreachable!("it ends with the numbers")
    }

    #[test]
    fn a_fetch_is_tried_after_as_many_builds_as_it_would_take_as_long() {
        let after = |rate| builds(1_000_000, 10.0, measured(rate)).0;
        assert_eq!(after(100_000.0), 0, "as long as a build");
        assert_eq!(after(50_000.0), 1, "two builds");
        assert_eq!(after(10_000.0), 8, "ten builds");
        assert_eq!(after(1.0), PASSED_OVER);
        // It was as slow again, or told nothing.
        let (_, tried) = builds(1_000_000, 10.0, measured(10_000.0));
        assert_eq!(builds(1_000_000, 10.0, tried).0, 8);
        assert_eq!(builds(1_000_000, 10.0, learnt(Some(tried), 10_000.0)).0, 8);
    }

    #[test]
    fn an_old_rate_is_tried_once() {
        let old = FetchRate {
            age: OLD,
            ..measured(1.0)
        };
        let Worth::Try(tried) = worth(1_000_000, 10.0, Some(old)) else {
            panic!("it is not tried");
        };
        assert!(matches!(
            worth(1_000_000, 10.0, Some(tried)),
            Worth::Build(_)
        ));
    }

    proptest! {
        /// Whatever was measured and asked before, and whatever becomes of it: with a quick line again, a bounded number of
        /// questions later everything is fetched.
        #[test]
        fn no_slow_fetch_switches_the_cache_off_for_good(
            steps in prop::collection::vec((any::<bool>(), 1e-3..1e12_f64, 1u64..1 << 40, 1e-3..1e7_f64), 0..40),
            bytes in TELLING_BYTES..1 << 36,
            build_seconds in 1.0..1e5_f64,
        ) {
            let mut rate: Option<FetchRate> = None;
            for (is_measured, speed, bytes, seconds) in steps {
                if is_measured {
                    rate = Some(learnt(rate, speed));
                } else if let Worth::Try(next) | Worth::Build(next) = worth(bytes, seconds, rate) {
                    rate = Some(next);
                }
            }
            let quick = as_f64(bytes) / build_seconds;
            let mut questions = 0;
            loop {
                match worth(bytes, build_seconds, rate) {
                    Worth::Build(next) => rate = Some(next),
                    Worth::Try(next) => {
                        rate = Some(learnt(Some(next), quick));
                        break;
                    }
                    Worth::Fetch => {
                        rate = Some(learnt(rate, quick));
                        break;
                    }
                }
                questions += 1;
                prop_assert!(questions <= PASSED_OVER);
            }
            for _ in 0..100 {
                prop_assert_eq!(worth(bytes, build_seconds, rate), Worth::Fetch);
                rate = Some(learnt(rate, quick));
            }
        }
    }
}
