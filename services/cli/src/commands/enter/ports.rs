use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{StreamExt as _, future::select_all, stream::FuturesUnordered};
use hearth_api::v1::{
    PortForwardBegin, PortForwardRequest, port_forward_request::Message as Asked,
    port_forward_response::Message, workspace_service_client::WorkspaceServiceClient,
};
use hearth_domain::{WorkspaceId, text::printable_line};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::client;
use crate::{
    args::PortForwardArgs, commands::Context, connect::Channel, error::CliError, exit::Exit, out,
};

/// Bytes that are read at once.
const CHUNK: usize = 32 * 1024;
/// Messages that wait to be sent.
const WAITING: usize = 2;
/// Connections that are open at once.
const MOST: usize = 100;

/// A port of this machine that leads to one of the workspace.
struct Way {
    listener: TcpListener,
    remote: u16,
}

/// `hearth port-forward`
pub(crate) async fn port_forward(
    context: &Context,
    args: &PortForwardArgs,
) -> Result<Exit, CliError> {
    let client = client(context).await?;
    let mut ways = Vec::new();
    for pair in &args.ports {
        for address in &args.address {
            let address = SocketAddr::new(*address, pair.local);
            let bound = TcpListener::bind(address).await;
            let listener = bound.map_err(|error| {
                CliError::Usage(format!(
                    "{address} cannot be listened at: {error}\n  name another local port, as LOCAL:{}",
                    pair.remote
                ))
            })?;
            let local = listener
                .local_addr()
                .map_err(|error| CliError::Local(error.into()))?;
            out::print(&format!("Forwarding from {local} -> {}", pair.remote))?;
            ways.push(Way {
                listener,
                remote: pair.remote,
            });
        }
    }
    let mut open = FuturesUnordered::new();
    loop {
        let accepted = select_all(ways.iter().map(|way| Box::pin(way.listener.accept())));
        tokio::select! {
            (accepted, number, _) = accepted, if open.len() < MOST => {
                let remote = ways[number].remote;
                match accepted {
                    Ok((connection, _)) => {
                        let (client, workspace) = (client.clone(), args.workspace.clone());
                        open.push(async move { (remote, carry(client, &workspace, remote, connection).await) });
                    }
                    Err(error) => return Err(CliError::Local(error.into())),
                }
            }
            Some((remote, ended)) = open.next(), if !open.is_empty() => {
                if let Err(status) = ended {
                    let why = printable_line(status.message());
                    out::note(&format!("hearth: a connection to port {remote} has ended: {why}"));
                }
            }
        }
    }
}

/// Carries one connection.
async fn carry(
    mut client: WorkspaceServiceClient<Channel>,
    workspace: &WorkspaceId,
    port: u16,
    connection: TcpStream,
) -> Result<(), Status> {
    // What a user does in a browser or at a prompt is small.
    let _ = connection.set_nodelay(true);
    let (sender, requests) = mpsc::channel(WAITING);
    let begin = Asked::Begin(PortForwardBegin {
        workspace_id: workspace.to_string(),
        port: port.into(),
    });
    send(&sender, begin).await;
    let answers = client.port_forward(ReceiverStream::new(requests)).await;
    let mut answers = answers?.into_inner();
    let (mut reader, mut writer) = connection.into_split();
    // The end of the messages is the end of what is sent: the sender goes with this.
    let goes = async move {
        let mut chunk = vec![0; CHUNK];
        loop {
            match reader.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(read) => {
                    let piece = Bytes::copy_from_slice(&chunk[..read]);
                    if !send(&sender, Asked::Data(piece)).await {
                        break;
                    }
                }
            }
        }
    };
    let comes = async {
        while let Some(answer) = answers.message().await? {
            if let Some(Message::Data(bytes)) = answer.message
                && writer.write_all(&bytes).await.is_err()
            {
                // Who had connected is gone.
                break;
            }
        }
        let _ = writer.shutdown().await;
        Ok(())
    };
    let (mut goes, mut comes) = (std::pin::pin!(goes), std::pin::pin!(comes));
    tokio::select! {
        came = &mut comes => return came,
        () = &mut goes => {}
    }
    comes.await
}

/// False: nobody takes it.
async fn send(sender: &mpsc::Sender<PortForwardRequest>, message: Asked) -> bool {
    let message = Some(message);
    sender.send(PortForwardRequest { message }).await.is_ok()
}
