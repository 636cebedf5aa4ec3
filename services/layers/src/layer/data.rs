//! The data of a file.

use std::{
    fs::File,
    io::{self, BufRead, Seek as _, SeekFrom, Write as _},
};

use super::archive::{Archive, Member};

/// Writes the data of the member that an archive is at.
pub fn write(
    mut file: &File,
    member: &Member,
    archive: &mut Archive<impl BufRead>,
) -> io::Result<()> {
    let mut data = archive.data();
    let Some((pieces, size)) = &member.sparse else {
        return take(&mut data, member.stored, file);
    };
    for piece in pieces {
        file.seek(SeekFrom::Start(piece.offset))?;
        take(&mut data, piece.length, file)?;
    }
    file.set_len(*size)
}

/// Hands bytes on as they come, without a copy.
fn take(data: &mut impl BufRead, mut bytes: u64, mut file: &File) -> io::Result<()> {
    while bytes > 0 {
        let chunk = data.fill_buf()?;
        if chunk.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let length = chunk
            .len()
            .min(usize::try_from(bytes).unwrap_or(usize::MAX));
        file.write_all(&chunk[..length])?;
        data.consume(length);
        bytes -= length as u64;
    }
    Ok(())
}
