//! Faults of GitHub.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    Shared, clock,
    respond::{self, Answer},
    routes::Route,
    world::Permissions,
};

/// A wrong answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A plain error, such as 500 or 502.
    Status(u16),
    /// 403: no requests remain until a reset after this time.
    PrimaryLimit(Duration),
    /// 403 or 429 with `retry-after`.
    SecondaryLimit { status: u16, retry_after: Duration },
    /// The request is read and never answered.
    Silence,
    /// 200 with a web page, as from a proxy in between.
    NotJson,
    /// An answer without end: a client that reads all of it runs out of memory.
    Endless,
}

/// For how many requests a fault is in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// The next ones, this many.
    Next(u32),
    /// Until `heal`.
    Always,
}

/// Tokens that are not what was asked for. What the answer says is what the token can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Exactly these permissions.
    Permissions(Permissions),
    /// This repository, by its name without the owner.
    Repository(String),
    /// An answer with everything but a token.
    NoToken,
}

struct Planned {
    routes: Vec<Route>,
    times: Times,
    fault: Fault,
}

/// The faults that are in effect.
#[derive(Default)]
pub struct Faults {
    planned: Vec<Planned>,
    slow: BTreeMap<Route, Duration>,
    held: BTreeMap<Route, u32>,
    pub lie: Option<Lie>,
    pub no_new_packages: bool,
}

impl Faults {
    pub fn plan(&mut self, routes: &[Route], times: Times, fault: Fault) {
        self.planned.push(Planned {
            routes: routes.to_vec(),
            times,
            fault,
        });
    }

    pub fn slow(&mut self, route: Route, delay: Duration) {
        self.slow.insert(route, delay);
    }

    /// Ends all but the holds, which end with their owners.
    pub fn heal(&mut self) {
        let held = std::mem::take(&mut self.held);
        *self = Self {
            held,
            ..Self::default()
        };
    }

    /// The fault of the next request, which is used up by it.
    fn take(&mut self, route: Route) -> Option<Fault> {
        let at = self.planned.iter().position(|planned| {
            planned.routes.contains(&route) && planned.times != Times::Next(0)
        })?;
        let planned = &mut self.planned[at];
        if let Times::Next(left) = &mut planned.times {
            *left -= 1;
        }
        Some(planned.fault.clone())
    }
}

/// Holds requests of a route up until it is dropped.
pub struct Hold {
    shared: Arc<Shared>,
    route: Route,
}

impl Hold {
    pub fn new(shared: &Arc<Shared>, route: Route) -> Self {
        shared.change(|world| *world.faults.held.entry(route).or_default() += 1);
        Self {
            shared: shared.clone(),
            route,
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.change(|world| {
            if let Some(holds) = world.faults.held.get_mut(&self.route) {
                *holds -= 1;
            }
        });
    }
}

/// Waits as long as the route is held or slow, and says what is wrong with the answer.
pub async fn pass(shared: &Shared, route: Route) -> Option<Fault> {
    shared
        .until(|world| {
            world
                .faults
                .held
                .get(&route)
                .is_none_or(|holds| *holds == 0)
        })
        .await;
    let delay = shared.world().faults.slow.get(&route).copied();
    if let Some(delay) = delay {
        tokio::time::sleep(delay).await;
    }
    shared.change(|world| world.faults.take(route))
}

/// The wrong answer.
pub async fn answer(fault: &Fault, now: i64) -> Answer {
    match fault {
        Fault::Status(status) => respond::error(*status, "Server Error"),
        Fault::PrimaryLimit(reset) => {
            let mut answer = respond::error(403, "API rate limit exceeded for installation.");
            let reset = now + clock::seconds(*reset);
            respond::set(&mut answer, "x-ratelimit-remaining", "0");
            respond::set(&mut answer, "x-ratelimit-reset", &reset.to_string());
            answer
        }
        Fault::SecondaryLimit {
            status,
            retry_after,
        } => {
            let mut answer = respond::error(
                *status,
                "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
            );
            let seconds = retry_after.as_secs().to_string();
            respond::set(&mut answer, "retry-after", &seconds);
            answer
        }
        Fault::Silence => std::future::pending().await,
        Fault::NotJson => respond::text(200, "<html><body>Welcome to the hotel</body></html>"),
        Fault::Endless => {
            let spaces = futures_util::stream::repeat_with(|| {
                Ok::<_, std::convert::Infallible>(vec![b' '; 16 * 1024])
            });
            respond::answer(200, axum::body::Body::from_stream(spaces))
        }
    }
}
