//! A connection to something that listens in the container, on stdin and stdout: what a port forward and `ssh -L` lead to.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream, ToSocketAddrs as _},
    os::unix::net::UnixStream,
    process::ExitCode,
    thread,
    time::Duration,
};

/// How long each address is tried.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the agent reads first when the connection was made.
const CONNECTED: &[u8] = b"+";
/// The exit code when there is no connection: the number of ECONNREFUSED.
const UNREACHABLE: u8 = 111;
/// Bytes that are moved at once.
const CHUNK: usize = 64 * 1024;

/// Connects to the port on the first of the hosts that answers.
pub fn tcp(port: &str, hosts: &[String]) -> ExitCode {
    let connected = connect(port, hosts);
    run(connected.and_then(|stream| {
        // Others wait for what was sent.
        stream.set_nodelay(true)?;
        Ok((stream.try_clone()?, stream))
    }))
}

/// Connects to a socket.
pub fn unix(path: &str) -> ExitCode {
    let connected = UnixStream::connect(path);
    run(connected.and_then(|stream| Ok((stream.try_clone()?, stream))))
}

/// Something that is connected.
trait Connection: Read + Write + Send + 'static {
    /// Nothing more is sent.
    fn end(&self);
}

impl Connection for TcpStream {
    fn end(&self) {
        // It may have ended already.
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Connection for UnixStream {
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

fn connect(port: &str, hosts: &[String]) -> io::Result<TcpStream> {
    let port: u16 = port
        .parse()
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for host in hosts {
        match (host.as_str(), port).to_socket_addrs() {
            Err(error) => failed = error,
            Ok(addresses) => {
                for address in addresses {
                    match TcpStream::connect_timeout(&address, PATIENCE) {
                        Ok(stream) => return Ok(stream),
                        Err(error) => failed = error,
                    }
                }
            }
        }
    }
    Err(failed)
}

/// Moves bytes until the other side has sent everything.
fn run<C: Connection>(connected: io::Result<(C, C)>) -> ExitCode {
    let (reader, mut writer) = match connected {
        Ok(both) => both,
        Err(error) => {
            eprint!("{error}");
            return ExitCode::from(UNREACHABLE);
        }
    };
    let mut stdout = io::stdout().lock();
    if stdout
        .write_all(CONNECTED)
        .and_then(|()| stdout.flush())
        .is_err()
    {
        return ExitCode::FAILURE;
    }
    thread::spawn(move || {
        let _ = copy(io::stdin().lock(), &mut writer);
        writer.end();
    });
    match copy(reader, &mut stdout) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn copy(mut from: impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                to.write_all(&chunk[..read])?;
                to.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
