//! How often the progress of a transfer is told.

use std::time::{Duration, Instant};

use hearth_layers::Transfer;

/// Shortest time between two events.
const SHORTEST: Duration = Duration::from_millis(500);
/// The pause grows with the time that the transfer has taken: this part of it. So the events of an hour are some hundred.
const PART: u32 = 60;

/// When the progress of a transfer is told next.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When it was first told, and last.
    told: Option<(Instant, Instant)>,
    /// What had arrived then: all bytes, all layers.
    arrived: (bool, bool),
}

impl Pace {
    /// Whether it is to be told now. The arrival of all bytes and that of all layers are told at once.
    pub(super) fn is_due(&mut self, transfer: &Transfer, now: Instant) -> bool {
        let bytes = transfer.total > 0 && transfer.done >= transfer.total;
        let arrived = (
            bytes,
            bytes && transfer.layers_done >= transfer.layers_total,
        );
        let is_due = match self.told {
            None => true,
            Some((first, last)) => {
                let pause = SHORTEST.max(now.duration_since(first) / PART);
                now.duration_since(last) >= pause
                    || (arrived.0 && !self.arrived.0)
                    || (arrived.1 && !self.arrived.1)
            }
        };
        if is_due {
            let first = self.told.map_or(now, |(first, _)| first);
            self.told = Some((first, now));
            self.arrived = arrived;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of a transfer's reports are told, each with the milliseconds at which it comes.
    fn told(reports: impl IntoIterator<Item = (u64, Transfer)>) -> Vec<u64> {
        let (mut pace, begin) = (Pace::default(), Instant::now());
        let mut told = Vec::new();
        for (at, transfer) in reports {
            if pace.is_due(&transfer, begin + Duration::from_millis(at)) {
                told.push(at);
            }
        }
        told
    }

    fn moved(done: u64, layers_done: u32) -> Transfer {
        Transfer {
            done,
            total: 100,
            layers_done,
            layers_total: 50,
        }
    }

    #[test]
    fn it_is_told_twice_a_second_and_when_all_bytes_and_all_layers_have_arrived() {
        let unpacking = (0..50).map(|layer| (1_010 + u64::from(layer), moved(100, layer)));
        let reports = [(0, 0), (499, 10), (500, 20), (999, 30), (1_000, 40)];
        let reports = reports.map(|(at, done)| (at, moved(done, 0))).into_iter();
        let ended = [(1_090, moved(100, 50)), (1_091, moved(100, 50))];
        let all = reports.chain(unpacking).chain(ended);
        assert_eq!(told(all), [0, 500, 1_000, 1_010, 1_090]);
    }

    #[test]
    fn a_transfer_that_takes_hours_has_some_hundred_events() {
        let hours = (0..6 * 3600 * 10).map(|tenth| (tenth * 100, moved(50, 1)));
        let count = told(hours).len();
        assert!((100..1_000).contains(&count), "{count}");
    }

    #[test]
    fn a_total_that_grows_as_layers_become_known_floods_nothing() {
        // Each layer is small, and has arrived before the next one is known.
        let known = (0..100_u64).map(|layer| {
            let all = Transfer {
                done: layer,
                total: layer,
                ..Transfer::default()
            };
            (layer, all)
        });
        assert_eq!(told(known), [0, 1]);
    }
}
