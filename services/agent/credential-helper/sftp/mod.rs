//! An SFTP server of version 3 (draft-ietf-secsh-filexfer-02) with OpenSSH's extensions, on stdin and stdout. It does what
//! its user may do in the container, and nothing is asked of the image.

mod attributes;
mod packet;
mod server;
mod space;

use std::{
    io::{self, Read, Write},
    process::ExitCode,
};

pub use packet::Request;
use packet::{MAX_PACKET, Writer};
use server::Server;

/// Serves until there is no more input.
pub fn serve(mut input: impl Read, mut output: impl Write) -> ExitCode {
    let mut server = Server::default();
    loop {
        match next(&mut input) {
            Ok(None) => return ExitCode::SUCCESS,
            Ok(Some(packet)) => {
                let mut answer = Writer::default();
                server.answer(Request::read(&packet), &mut answer);
                let sent = output.write_all(&answer.finish());
                if sent.and_then(|()| output.flush()).is_err() {
                    return ExitCode::FAILURE;
                }
            }
            Err(error) => {
                eprintln!("sftp: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
}

/// The next packet without its length; `None` at the end.
fn next(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u32::from_be_bytes(length) as usize;
    if length == 0 || length > MAX_PACKET {
        return Err(io::Error::other("a packet has an impossible length"));
    }
    let mut packet = vec![0; length];
    input.read_exact(&mut packet)?;
    Ok(Some(packet))
}

#[cfg(test)]
mod tests;
