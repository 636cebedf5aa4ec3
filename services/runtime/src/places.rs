use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{CallMetrics, LimitArgs, Peer, stack::Caller};

/// How often the log says that connections are refused.
const TELL: Duration = Duration::from_secs(60);

/// The connections that may be open at once.
#[derive(Debug)]
pub(crate) struct Places {
    most: u32,
    most_of_one: u32,
    metrics: CallMetrics,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: u32,
    /// Of callers without a certificate.
    by_strangers: u32,
    of: HashMap<Caller, u32>,
    told: Option<Instant>,
}

/// A connection that was let in, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    caller: Caller,
}

impl Places {
    pub(crate) fn new(limits: &LimitArgs, metrics: CallMetrics) -> Self {
        Self {
            most: limits.max_connections,
            most_of_one: limits.max_connections_per_caller,
            metrics,
            taken: Mutex::default(),
        }
    }

    /// A place for a connection, if there is one.
    pub(crate) fn enter(self: &Arc<Self>, peer: &Peer) -> Option<Place> {
        let caller = Caller::of_peer(peer);
        let taken = &mut *self.taken.lock();
        let own = taken.of.get(&caller).copied().unwrap_or_default();
        let why = match () {
            () if own >= self.most_of_one => "TOO_MANY",
            () if taken.all >= self.most => "OVERLOADED",
            // Half of them are for those who are known.
            () if !caller.is_known() && taken.by_strangers >= self.most.div_ceil(2) => "OVERLOADED",
            () => {
                taken.all += 1;
                taken.by_strangers += u32::from(!caller.is_known());
                taken.of.insert(caller.clone(), own + 1);
                self.metrics.connections().inc();
                return Some(Place {
                    places: self.clone(),
                    caller,
                });
            }
        };
        self.metrics.connection_refused(why);
        let now = Instant::now();
        if taken.told.is_none_or(|told| now - told > TELL) {
            taken.told = Some(now);
            tracing::warn!(
                ?caller,
                why,
                open = taken.all,
                open.by_caller = own,
                "connections are refused: there are as many as may be (--max-connections, --max-connections-per-caller)"
            );
        }
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let taken = &mut *self.places.taken.lock();
        taken.all -= 1;
        taken.by_strangers -= u32::from(!self.caller.is_known());
        if let Some(own) = taken.of.get_mut(&self.caller) {
            *own -= 1;
            if *own == 0 {
                taken.of.remove(&self.caller);
            }
        }
        self.places.metrics.connections().dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metrics;

    #[tokio::test(start_paused = true)]
    async fn connections_are_limited_for_each_address_and_for_all_and_leave_nothing_behind() {
        let limits = LimitArgs {
            max_connections: 5,
            max_connections_per_caller: 2,
            ..LimitArgs::default()
        };
        let metrics = CallMetrics::register(&Metrics::default());
        let places = Arc::new(Places::new(&limits, metrics.clone()));
        let enter = |last: u8, port: u16| {
            places.enter(&Peer {
                address: Some(([10, 0, 0, last], port).into()),
                certificate: None,
            })
        };
        let first = enter(1, 1).unwrap();
        let _second = enter(1, 2).unwrap();
        assert!(enter(1, 3).is_none(), "two of one address");
        let third = enter(2, 1).unwrap();
        assert!(enter(3, 1).is_none(), "three of strangers, which is half");
        assert_eq!(metrics.connections().get(), 3);
        drop((first, third));
        assert!(enter(1, 3).is_some());
        assert_eq!(metrics.connections().get(), 1);
        assert_eq!(places.taken.lock().of.len(), 1);
    }
}
