use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// What a connection and the calls on it know of each other.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    calls: watch::Sender<Calls>,
    closing: CancellationToken,
    over: CancellationToken,
    beside: mpsc::UnboundedSender<BoxFuture<'static, ()>>,
}

/// What is to be done beside the calls of a connection.
pub(crate) struct Beside(mpsc::UnboundedReceiver<BoxFuture<'static, ()>>);

impl Beside {
    /// Does it, as long as there are calls or a connection.
    pub(crate) async fn run(mut self) {
        let mut all = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(()) = all.next() => {}
                another = self.0.recv() => match another {
                    Some(another) => all.push(another),
                    None => return,
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Calls {
    open: u32,
    begun: u64,
    /// Those that end the connection with them, and not it them.
    lasting: u32,
}

/// The connection that a call came on. Every call has it in its extensions.
#[derive(Clone, Debug)]
pub struct OnConnection {
    line: Line,
    _open: Arc<Open>,
}

/// A call that is open.
#[derive(Debug)]
struct Open(watch::Sender<Calls>);

/// A call that cannot go on elsewhere: its connection is as old as it gets.
#[derive(Debug)]
pub(crate) struct Lasting(watch::Sender<Calls>);

impl Line {
    pub(crate) fn new() -> (Self, Beside) {
        let (beside, to_do) = mpsc::unbounded_channel();
        let line = Self {
            calls: watch::Sender::default(),
            closing: CancellationToken::new(),
            over: CancellationToken::new(),
            beside,
        };
        (line, Beside(to_do))
    }

    /// A call begins. It is open as long as somebody has this.
    pub(crate) fn begin(&self) -> OnConnection {
        self.calls.send_modify(|calls| {
            calls.open += 1;
            calls.begun += 1;
        });
        OnConnection {
            line: self.clone(),
            _open: Arc::new(Open(self.calls.clone())),
        }
    }

    /// Waits until there was no call for this long.
    pub(crate) async fn idle(&self, limit: Duration) {
        let mut calls = self.calls.subscribe();
        loop {
            let none = calls.wait_for(|calls| calls.open == 0).await;
            // The sender is there: waiting does not fail.
            let Ok(last) = none.map(|calls| *calls) else {
                return;
            };
            let next = calls.wait_for(|calls| *calls != last);
            if timeout(limit, next).await.is_err() {
                return;
            }
        }
    }

    /// Waits until no call is open that cannot go on elsewhere.
    pub(crate) async fn none_lasts(&self) {
        // The sender is there: waiting does not fail.
        let _ = self
            .calls
            .subscribe()
            .wait_for(|calls| calls.lasting == 0)
            .await;
    }

    /// The connection takes no new calls.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    /// Streams have to end.
    pub(crate) fn end(&self) {
        self.over.cancel();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|calls| calls.open -= 1);
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        self.0.send_modify(|calls| calls.lasting -= 1);
    }
}

impl OnConnection {
    /// The call cannot go on elsewhere as long as somebody has this.
    pub(crate) fn lasts(&self) -> Lasting {
        self.line.calls.send_modify(|calls| calls.lasting += 1);
        Lasting(self.line.calls.clone())
    }

    /// Waits until the connection takes no new calls. Its caller opens another one for them.
    pub async fn closing(&self) {
        self.line.closing.cancelled().await;
    }

    /// Has something done as long as the connection is there, also while nobody asks its calls for more.
    pub(crate) fn beside(&self, work: BoxFuture<'static, ()>) {
        // Without a connection there is nothing to be done.
        let _ = self.line.beside.send(work);
    }

    /// Waits until streams have to end.
    pub(crate) async fn over(&self) {
        self.line.over.cancelled().await;
    }
}
