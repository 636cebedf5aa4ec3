use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::Status;

use super::caller::Caller;
use crate::{LimitArgs, Reason, status};

/// Callers that are remembered: some 200 bytes each.
const REMEMBERED: usize = 20_000;
/// How often it is looked for callers that can be forgotten, at most.
const SWEEP: Duration = Duration::from_millis(100);
/// How often the log says that a caller is refused.
const TELL: Duration = Duration::from_secs(60);

/// Who has how many calls open, and who made how many of late. Nobody waits: what is too much is refused at once.
#[derive(Debug)]
pub(super) struct Callers {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug)]
struct Limits {
    calls: u32,
    calls_per_caller: u32,
    /// After this time a caller may make another call.
    pause: Duration,
    /// How far ahead of that a caller may be.
    ahead: Duration,
}

#[derive(Debug, Default)]
struct State {
    open: u32,
    /// Of callers that have proved nothing.
    open_by_strangers: u32,
    callers: HashMap<Caller, Usage>,
    /// With how many callers it is looked next for those that can be forgotten.
    sweep: usize,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Usage {
    open: u32,
    /// When the pauses after all of its calls are over.
    even: Instant,
    told: Option<Instant>,
}

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The caller has as many calls open as it may.
    Open { most: u32 },
    /// It makes more calls in a second than it may.
    Rate,
    /// As many calls are open as there may be.
    Overload { most: u32 },
}

/// A call that was let in. It counts as open until this is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    callers: Arc<Callers>,
    caller: Caller,
}

impl Callers {
    pub(super) fn new(limits: &LimitArgs) -> Self {
        let pause = Duration::from_secs(1) / limits.max_calls_per_second.max(1);
        Self {
            limits: Limits {
                calls: limits.max_calls,
                calls_per_caller: limits.max_calls_per_caller,
                pause,
                ahead: pause * limits.max_call_burst,
            },
            state: Mutex::default(),
        }
    }

    /// Lets a call in, or refuses it.
    pub(super) fn admit(self: &Arc<Self>, caller: Caller) -> Result<Admitted, Refusal> {
        let now = Instant::now();
        let state = &mut *self.state.lock();
        state.make_room(now);
        let full = state.callers.len() >= REMEMBERED && !state.callers.contains_key(&caller);
        let Limits { calls, .. } = self.limits;
        if full {
            return Err(Refusal::Overload { most: calls });
        }
        let usage = state.callers.entry(caller.clone()).or_insert(Usage {
            open: 0,
            even: now,
            told: None,
        });
        let judged = usage.judge(&self.limits, now).and_then(|()| {
            let overload = Refusal::Overload { most: calls };
            // Half of them are for those who are known.
            let is_free = match caller.is_known() {
                true => state.open < calls,
                false => state.open < calls && state.open_by_strangers < calls.div_ceil(2),
            };
            is_free.then_some(()).ok_or(overload)
        });
        if let Err(refusal) = judged {
            usage.tell(&caller, refusal, now);
            return Err(refusal);
        }
        usage.open += 1;
        state.open += 1;
        state.open_by_strangers += u32::from(!caller.is_known());
        Ok(Admitted {
            callers: self.clone(),
            caller,
        })
    }
}

impl State {
    /// Forgets callers that have no call open and may make as many as anybody who was never seen. It looks at all of them when
    /// as many have come as there were.
    fn make_room(&mut self, now: Instant) {
        let just_now = self.swept.is_some_and(|swept| now - swept < SWEEP);
        if self.callers.len() < self.sweep.max(1024) || just_now {
            return;
        }
        self.swept = Some(now);
        self.callers
            .retain(|_, usage| usage.open > 0 || usage.even > now);
        self.sweep = (self.callers.len() * 2).min(REMEMBERED);
    }
}

impl Usage {
    fn judge(&mut self, limits: &Limits, now: Instant) -> Result<(), Refusal> {
        let even = self.even.max(now) + limits.pause;
        if even > now + limits.ahead {
            return Err(Refusal::Rate);
        }
        self.even = even;
        if self.open >= limits.calls_per_caller {
            return Err(Refusal::Open {
                most: limits.calls_per_caller,
            });
        }
        Ok(())
    }

    fn tell(&mut self, caller: &Caller, refusal: Refusal, now: Instant) {
        if self.told.is_none_or(|told| now - told > TELL) {
            self.told = Some(now);
            tracing::warn!(?caller, ?refusal, "calls are refused");
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let state = &mut *self.callers.state.lock();
        state.open -= 1;
        state.open_by_strangers -= u32::from(!self.caller.is_known());
        if let Some(usage) = state.callers.get_mut(&self.caller) {
            usage.open -= 1;
        }
    }
}

impl Refusal {
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::Open { .. } | Self::Rate => Reason::TooManyCalls,
            Self::Overload { .. } => Reason::Overloaded,
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let message = match refusal {
            Refusal::Open { most } => format!(
                "you have {most} calls open, which is as many as one caller may have; end some, or have the operator raise --max-calls-per-caller (HEARTH_MAX_CALLS_PER_CALLER)"
            ),
            Refusal::Rate => "you make more calls than one caller may; make fewer, or have the operator raise --max-calls-per-second (HEARTH_MAX_CALLS_PER_SECOND)".to_owned(),
            Refusal::Overload { most } => format!(
                "{most} calls are open, which is as many as there may be; call again a little later, or have the operator raise --max-calls (HEARTH_MAX_CALLS)"
            ),
        };
        status(refusal.reason(), message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callers(calls: u32, per_caller: u32, per_second: u32, burst: u32) -> Arc<Callers> {
        Arc::new(Callers::new(&LimitArgs {
            max_calls: calls,
            max_calls_per_caller: per_caller,
            max_calls_per_second: per_second,
            max_call_burst: burst,
            ..LimitArgs::default()
        }))
    }

    fn at(last: u8) -> Caller {
        Caller::At([10, 0, 0, last].into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_has_its_burst_and_then_its_rate_and_holds_up_no_other() {
        let callers = callers(100, 100, 10, 5);
        let made = |caller: Caller| {
            let calls = std::iter::from_fn(|| callers.admit(caller.clone()).ok());
            calls.take(50).count()
        };
        assert_eq!(made(at(1)), 5);
        assert_eq!(callers.admit(at(1)).err(), Some(Refusal::Rate));
        assert_eq!(made(at(2)), 5);
        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!(made(at(1)), 2);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(made(at(1)), 5, "no more than the burst is saved up");
    }

    #[tokio::test(start_paused = true)]
    async fn open_calls_are_limited_for_each_and_for_all_until_they_end() {
        let callers = callers(3, 2, 1000, 1000);
        let at = |number: u8| {
            let node = format!("spiffe://hearth/node/n{number}");
            Caller::Known(node.parse().unwrap())
        };
        let mut open = vec![callers.admit(at(1)).unwrap(), callers.admit(at(1)).unwrap()];
        let refused = callers.admit(at(1)).unwrap_err();
        assert_eq!(refused, Refusal::Open { most: 2 });
        open.push(callers.admit(at(2)).unwrap());
        let refused = callers.admit(at(2)).unwrap_err();
        assert_eq!(refused, Refusal::Overload { most: 3 });
        assert_eq!(refused.reason(), Reason::Overloaded);
        open.remove(0);
        let _other = callers.admit(at(2)).unwrap();
        assert!(callers.admit(at(1)).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_leave_half_of_the_calls_to_those_who_are_known() {
        let callers = callers(6, 2, 1000, 1000);
        let strangers: Vec<_> = (1..=6)
            .filter_map(|last| callers.admit(at(last)).ok())
            .collect();
        assert_eq!(strangers.len(), 3);
        let node = Caller::Known("spiffe://hearth/node/n1".parse().unwrap());
        let known = [callers.admit(node.clone()), callers.admit(node)];
        assert!(known.iter().all(Result::is_ok));
        drop(strangers);
        callers.admit(at(7)).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn callers_are_forgotten_and_never_more_than_remembered() {
        let callers = callers(u32::MAX, 10, 1000, 1000);
        let number = |number: usize| {
            let bits = u32::try_from(number).unwrap();
            Caller::At(std::net::Ipv4Addr::from_bits(bits).into())
        };
        let first = callers.admit(number(0)).unwrap();
        for one in 1..REMEMBERED + 10 {
            // Some are refused: none can be forgotten in no time.
            let _ = callers.admit(number(one));
        }
        assert_eq!(callers.state.lock().callers.len(), REMEMBERED);
        assert_eq!(
            callers.admit(number(REMEMBERED + 11)).unwrap_err().reason(),
            Reason::Overloaded
        );
        tokio::time::advance(Duration::from_secs(1)).await;
        callers.admit(number(REMEMBERED + 11)).unwrap();
        {
            let left = &callers.state.lock().callers;
            assert_eq!(left.len(), 2);
            assert!(left.contains_key(&number(0)), "it has a call open");
        }
        drop(first);
    }
}
