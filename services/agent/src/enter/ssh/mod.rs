//! An SSH server for a workspace, on the bytes of a call. Who makes the call has proved who it is, so that the server asks for
//! nothing; it does in the container what `Exec` and `PortForward` do.

mod channel;
mod handler;
mod inputs;

use std::{borrow::Cow, io, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use hearth_api::v1::{OpenSshResponse, SshOpened, open_ssh_response::Message};
use russh::{
    MethodKind, MethodSet, Preferred, cipher, mac,
    server::{Config, run_stream},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{container::Inside, error::EnterError, pieces::Pieces};
use handler::Handler;

type Answers = mpsc::Sender<Result<OpenSshResponse, Status>>;

/// Ciphers that the implementation of TLS has; they need no new keys before 64 GB.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
    cipher::AES_256_CTR,
    cipher::AES_128_CTR,
];
/// For those that do not authenticate by themselves.
const MACS: &[mac::Name] = &[
    mac::HMAC_SHA256_ETM,
    mac::HMAC_SHA512_ETM,
    mac::HMAC_SHA256,
    mac::HMAC_SHA512,
];
/// Bytes of all channels that wait to be sent, in pieces.
const WAITING: usize = 8;
/// What waits to be sent within the server, in pieces of all channels.
const EVENTS: usize = 32;

impl Inside {
    /// Serves SSH until either side ends it.
    pub async fn ssh(
        self,
        pieces: impl Stream<Item = Result<Bytes, Status>> + Send + 'static,
        answers: Answers,
    ) -> Result<(), EnterError> {
        let entering = self.entering.clone();
        let config = config(&self)?;
        let key = entering.host_key.public_key().to_openssh();
        let opened = SshOpened {
            host_key: key.map_err(|_| EnterError::Message("the host key cannot be told"))?,
            remote_user: self.target.user.clone(),
        };
        let tasks = entering.tasks.clone();
        let stopping = tasks.stopping().clone();
        tasks.spawn("SSH in a workspace", async move {
            let gone = CancellationToken::new();
            let served = async {
                if !send(&answers, Message::Opened(opened)).await {
                    return;
                }
                serve(self, config, pieces, gone.clone(), &answers).await;
            };
            let stopped = tokio::select! {
                () = served => false,
                () = answers.closed() => false,
                () = stopping.cancelled() => true,
            };
            // The server is a task of its own: it ends with its bytes.
            gone.cancel();
            if stopped {
                let _ = answers.send(Err(EnterError::Stopping.into())).await;
            }
        });
        Ok(())
    }
}

fn config(inside: &Inside) -> Result<Arc<Config>, EnterError> {
    let mut methods = MethodSet::empty();
    methods.push(MethodKind::None);
    Ok(Arc::new(Config {
        methods,
        keys: vec![inside.entering.host_key.clone()],
        window_size: inputs::WINDOW,
        event_buffer_size: EVENTS,
        preferred: Preferred {
            cipher: Cow::Borrowed(CIPHERS),
            mac: Cow::Borrowed(MACS),
            ..Preferred::DEFAULT
        },
        // The connection that carries it notices a client that is gone.
        inactivity_timeout: None,
        ..Config::default()
    }))
}

async fn serve(
    inside: Inside,
    config: Arc<Config>,
    pieces: impl Stream<Item = Result<Bytes, Status>> + Send + 'static,
    gone: CancellationToken,
    answers: &Answers,
) {
    let (leaves, mut leaving) = mpsc::channel(WAITING);
    let arriving = pieces.map(|piece| piece.map_err(|_| io::ErrorKind::ConnectionReset.into()));
    let arriving = arriving.take_until(gone.cancelled_owned());
    let connection = Pieces::new(arriving, leaves);
    let server = async {
        match run_stream(config, connection, Handler::new(inside)).await {
            Ok(running) => running.await,
            Err(error) => Err(error),
        }
    };
    let sending = async {
        while let Some(bytes) = leaving.recv().await {
            if !send(answers, Message::Data(bytes)).await {
                break;
            }
        }
    };
    // What the server has said last is sent, too: the way out closes with it.
    let (ended, ()) = tokio::join!(server, sending);
    if let Err(error) = ended {
        tracing::debug!(%error, "an SSH connection has broken off");
    }
}

async fn send(answers: &Answers, message: Message) -> bool {
    let response = OpenSshResponse {
        message: Some(message),
    };
    answers.send(Ok(response)).await.is_ok()
}
