use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::Duration,
};

use hearth_api::v1::Event;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::CallError;

/// How long a client may read nothing while there is something to read. It resumes by sequence.
const PATIENCE: Duration = Duration::from_secs(300);

/// A client has at most this part of the streams, so that no one takes those of all.
const PART: u32 = 4;

/// The open streams of events, and what each of them holds: as many as are allowed, each with a page at most. A client that
/// does not read keeps its page for a while only.
#[derive(Debug)]
pub(super) struct Streams {
    max: u32,
    open: Mutex<Vec<Opened>>,
}

#[derive(Debug)]
struct Opened {
    held: Weak<Mutex<Held>>,
    /// The client that has proved to have opened it.
    by: Option<String>,
}

/// One of the open streams.
#[derive(Debug)]
pub(crate) struct Stream(Arc<Mutex<Held>>);

/// What a stream holds.
#[derive(Debug)]
enum Held {
    /// Events that its client has not taken yet, and since when it takes nothing.
    Events(VecDeque<Event>, Instant),
    /// Nothing: its client has everything that there is.
    Waiting,
    /// It was ended because its client did not read.
    Unread,
}

impl Held {
    fn is_unread(&self, now: Instant) -> bool {
        match self {
            Self::Events(_, since) => now.saturating_duration_since(*since) > PATIENCE,
            Self::Waiting => false,
            Self::Unread => true,
        }
    }
}

impl Streams {
    pub(super) fn new(max: u32) -> Self {
        Self {
            max,
            open: Mutex::default(),
        }
    }

    /// Another stream, if one may be opened: by this client, where clients prove who they are.
    pub(super) fn open(&self, by: Option<String>) -> Result<Stream, CallError> {
        let mut open = self.open.lock();
        open.retain(|stream| stream.held.strong_count() > 0);
        if open.len() >= self.max as usize {
            return Err(CallError::TooManyStreams { max: self.max });
        }
        let most = self.max.div_ceil(PART);
        let own = open.iter().filter(|stream| stream.by == by).count();
        if by.is_some() && own >= most as usize {
            return Err(CallError::TooManyOwnStreams { most });
        }
        let stream = Arc::new(Mutex::new(Held::Events(VecDeque::new(), Instant::now())));
        let held = Arc::downgrade(&stream);
        open.push(Opened { held, by });
        Ok(Stream(stream))
    }

    /// Ends streams that were not read for a long time: what they hold is dropped, and others may be opened in their place.
    pub(super) fn end_unread(&self) {
        let now = Instant::now();
        self.open.lock().retain(|stream| {
            let Some(stream) = stream.held.upgrade() else {
                return false;
            };
            let mut held = stream.lock();
            let unread = held.is_unread(now);
            if unread {
                *held = Held::Unread;
            }
            !unread
        });
    }
}

impl Stream {
    /// The next of the events that it holds. Its client reads.
    pub(super) fn take(&self) -> Result<Option<Event>, CallError> {
        match &mut *self.0.lock() {
            Held::Events(events, since) => {
                *since = Instant::now();
                Ok(events.pop_front())
            }
            Held::Waiting => Ok(None),
            Held::Unread => Err(CallError::StreamUnread),
        }
    }

    /// Holds events until its client takes them.
    pub(super) fn hold(&self, events: Vec<Event>) {
        let mut held = self.0.lock();
        if !matches!(*held, Held::Unread) {
            *held = Held::Events(events.into(), Instant::now());
        }
    }

    /// There is nothing to read until [`Self::hold`].
    pub(super) fn wait(&self) {
        let mut held = self.0.lock();
        if !matches!(*held, Held::Unread) {
            *held = Held::Waiting;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(sequence: u64) -> Event {
        Event {
            sequence,
            ..Event::default()
        }
    }

    #[test]
    fn as_many_streams_are_open_as_are_allowed_and_one_that_ends_makes_room() {
        let streams = Streams::new(2);
        let first = streams.open(None).expect("a stream");
        let _second = streams.open(None).expect("a stream");
        for _ in 0..2 {
            let refused = streams.open(None).expect_err("two are open");
            assert!(refused.to_string().contains("--max-streams"), "{refused}");
        }
        drop(first);
        let _third = streams.open(None).expect("a stream");
        streams.open(None).expect_err("two are open");
    }

    #[test]
    fn a_client_leaves_most_of_the_streams_to_others() {
        let streams = Streams::new(8);
        let open = |by: &str| streams.open(Some(by.to_owned()));
        let first = open("greedy").expect("one");
        let _second = open("greedy").expect("two");
        let refused = open("greedy").expect_err("a quarter is open");
        assert!(refused.to_string().contains("--max-streams"), "{refused}");
        let _other = open("other").expect("its own");
        drop(first);
        let _again = open("greedy").expect("one of them has ended");
        // Where nobody is asked who it is, all are one.
        let all: Vec<_> = std::iter::from_fn(|| streams.open(None).ok()).collect();
        assert_eq!(all.len(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_nobody_reads_loses_what_it_holds_and_its_place() {
        let streams = Streams::new(3);
        let [unread, read, waiting] = [(); 3].map(|()| streams.open(None).expect("a stream"));
        for stream in [&unread, &read] {
            stream.hold(vec![event(1), event(2)]);
        }
        waiting.wait();
        tokio::time::advance(PATIENCE / 2).await;
        assert_eq!(read.take().expect("an event"), Some(event(1)));
        tokio::time::advance(PATIENCE / 2 + Duration::from_secs(1)).await;
        streams.end_unread();
        assert!(matches!(*unread.0.lock(), Held::Unread));
        assert!(matches!(unread.take(), Err(CallError::StreamUnread)));
        unread.hold(vec![event(1)]);
        assert!(matches!(unread.take(), Err(CallError::StreamUnread)));
        assert_eq!(read.take().expect("an event"), Some(event(2)));
        assert_eq!(waiting.take().expect("no end"), None);
        // Its place is free although its client is still there.
        let _next = streams.open(None).expect("a stream");
        streams.open(None).expect_err("three are open");
    }
}
