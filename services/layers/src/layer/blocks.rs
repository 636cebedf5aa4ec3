//! What all of tar's forms share.

use std::io::{self, BufRead};

/// Headers and data are in blocks of this many bytes.
pub const BLOCK: u64 = 512;

/// Passes over bytes that have to be there.
pub fn skip(reader: &mut (impl BufRead + ?Sized), mut bytes: u64) -> io::Result<()> {
    while bytes > 0 {
        let length = reader.fill_buf()?.len();
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let passed = length.min(usize::try_from(bytes).unwrap_or(usize::MAX));
        reader.consume(passed);
        bytes -= passed as u64;
    }
    Ok(())
}

/// An archive that cannot be read: what is wrong with it.
pub fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
