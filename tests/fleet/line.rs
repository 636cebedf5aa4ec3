//! The way from the nodes to the control plane, which can be cut.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Passes connections on; gone when dropped.
pub struct Line {
    pub address: SocketAddr,
    is_cut: watch::Sender<bool>,
    _server: JoinSet<()>,
}

impl Line {
    pub async fn to(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let is_cut = watch::Sender::new(false);
        let cuts = is_cut.subscribe();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass(client, upstream, cuts.clone()));
            }
        });
        Self {
            address,
            is_cut,
            _server: server,
        }
    }

    /// Breaks all connections, and those that are made from now on.
    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    pub fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn pass(mut client: TcpStream, upstream: SocketAddr, mut cuts: watch::Receiver<bool>) {
    let passed = async {
        let mut server = TcpStream::connect(upstream).await?;
        server.set_nodelay(true)?;
        client.set_nodelay(true)?;
        copy_bidirectional(&mut client, &mut server).await
    };
    tokio::select! {
        _ = cuts.wait_for(|is_cut| *is_cut) => {}
        // Broken connections are part of the test.
        _ = passed => {}
    }
}
