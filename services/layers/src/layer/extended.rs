//! Extended headers of tar: PAX records, and the maps of sparse files (POSIX.1-2008, pax; GNU tar manual, "Storing Sparse
//! Files").

use std::io::{self, BufRead};

use super::blocks::{BLOCK, bad, skip};

/// Files with more pieces are refused.
const MAX_PIECES: usize = 1 << 20;

/// PAX records of one member, by their names. Values are bytes: those of extended attributes can have any.
#[derive(Default)]
pub struct Records(Vec<(Vec<u8>, Vec<u8>)>);

impl Records {
    /// Each is `LENGTH NAME=VALUE` and a line feed, where LENGTH is that of the whole record.
    pub fn read(mut text: &[u8]) -> io::Result<Self> {
        let mut records = Vec::new();
        while !text.is_empty() {
            let malformed = || bad("an extended header has an unknown form");
            let blank = text.iter().position(|byte| *byte == b' ');
            let blank = blank.ok_or_else(malformed)?;
            let length = number(&text[..blank]).and_then(|length| usize::try_from(length).ok());
            let length = length.filter(|length| (blank + 2..=text.len()).contains(length));
            let (record, rest) = text.split_at(length.ok_or_else(malformed)?);
            let record = &record[blank + 1..];
            let record = record.strip_suffix(b"\n").ok_or_else(malformed)?;
            let equals = record.iter().position(|byte| *byte == b'=');
            let (name, value) = record.split_at(equals.ok_or_else(malformed)?);
            records.push((name.to_vec(), value[1..].to_vec()));
            text = rest;
        }
        Ok(Self(records))
    }

    /// The last record of this name; an empty one takes back what was said before.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let mut named = self.0.iter().rev();
        let value = named.find(|(known, _)| known == name.as_bytes());
        value
            .map(|(_, value)| &value[..])
            .filter(|value| !value.is_empty())
    }

    /// A decimal number.
    pub fn number(&self, name: &str) -> io::Result<Option<u64>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let value = number(value).ok_or_else(|| bad("an extended header has no number"))?;
        Ok(Some(value))
    }

    /// A time in seconds, with a fraction: seconds and nanoseconds. Times before 1970 are 1970, as containerd has it.
    pub fn time(&self, name: &str) -> io::Result<Option<(i64, i64)>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let malformed = || bad("an extended header has no time");
        let text = std::str::from_utf8(value).map_err(|_| malformed())?;
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        let seconds: i64 = seconds.parse().map_err(|_| malformed())?;
        if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed());
        }
        if text.starts_with('-') {
            return Ok(Some((0, 0)));
        }
        let nanoseconds: String = fraction
            .chars()
            .chain("000000000".chars())
            .take(9)
            .collect();
        Ok(Some((
            seconds,
            nanoseconds.parse().map_err(|_| malformed())?,
        )))
    }

    /// Extended attributes, without the prefix of their records.
    pub fn attributes(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix(b"SCHILY.xattr.")?;
            Some((name, &value[..]))
        })
    }

    /// The pieces of a sparse file whose map is in records: formats 0.0 and 0.1.
    pub fn pieces(&self) -> io::Result<Option<Vec<Piece>>> {
        let malformed = || bad("the map of a sparse file has an unknown form");
        if let Some(map) = self.get("GNU.sparse.map") {
            let numbers: Option<Vec<u64>> = map.split(|byte| *byte == b',').map(number).collect();
            let numbers = numbers.ok_or_else(malformed)?;
            return pieces(&numbers).map(Some);
        }
        let mut numbers = Vec::new();
        for (name, value) in &self.0 {
            let expected: &[u8] = match numbers.len() % 2 {
                0 => b"GNU.sparse.offset",
                _ => b"GNU.sparse.numbytes",
            };
            match &name[..] {
                b"GNU.sparse.offset" | b"GNU.sparse.numbytes" if name != expected => {
                    return Err(malformed());
                }
                b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                    numbers.push(number(value).ok_or_else(malformed)?);
                }
                _ => {}
            }
        }
        match self.get("GNU.sparse.numblocks") {
            Some(_) => pieces(&numbers).map(Some),
            None => Ok(None),
        }
    }

    /// Whether the map of a sparse file is before its data: format 1.0.
    pub fn map_is_in_data(&self) -> bool {
        self.get("GNU.sparse.major") == Some(b"1") && self.get("GNU.sparse.minor") == Some(b"0")
    }
}

/// A piece of a sparse file that has data; all else are zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins in the file.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

fn pieces(numbers: &[u64]) -> io::Result<Vec<Piece>> {
    if !numbers.len().is_multiple_of(2) || numbers.len() / 2 > MAX_PIECES {
        return Err(bad("the map of a sparse file has an unknown form"));
    }
    let pairs = numbers.chunks_exact(2);
    Ok(pairs
        .map(|pair| Piece {
            offset: pair[0],
            length: pair[1],
        })
        .collect())
}

/// Reads the map of format 1.0, and returns it with the bytes that it took of the member's data.
pub fn read_map(data: &mut impl BufRead) -> io::Result<(Vec<Piece>, u64)> {
    let mut taken = 0;
    let mut line = |data: &mut dyn BufRead| -> io::Result<u64> {
        let mut digits = Vec::new();
        // Twenty digits are the largest number, and a line feed follows.
        io::Read::take(data, 21).read_until(b'\n', &mut digits)?;
        taken += digits.len() as u64;
        let digits = digits.strip_suffix(b"\n");
        let number = digits.and_then(number);
        number.ok_or_else(|| bad("the map of a sparse file has an unknown form"))
    };
    let count = line(data)?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > MAX_PIECES {
        return Err(bad("a sparse file has too many pieces"));
    }
    let mut numbers = Vec::new();
    for _ in 0..2 * count {
        numbers.push(line(data)?);
    }
    let padding = taken.next_multiple_of(BLOCK) - taken;
    skip(data, padding)?;
    Ok((pieces(&numbers)?, taken + padding))
}

/// The pieces in blocks of 24 bytes, twice twelve octal digits: GNU's old format.
pub fn read_old_map(block: &[u8], into: &mut Vec<Piece>) -> io::Result<()> {
    for entry in block.chunks_exact(24) {
        let field = |bytes: &[u8]| -> io::Result<u64> {
            let mut header = tar::Header::new_gnu();
            let size = header.as_gnu_mut().map(|gnu| &mut gnu.size);
            size.ok_or_else(|| bad("no size"))?.copy_from_slice(bytes);
            header.entry_size()
        };
        if entry[0] == 0 {
            break;
        }
        if into.len() >= MAX_PIECES {
            return Err(bad("a sparse file has too many pieces"));
        }
        let (offset, length) = (field(&entry[..12])?, field(&entry[12..])?);
        into.push(Piece { offset, length });
    }
    Ok(())
}

fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits
        .then(|| std::str::from_utf8(text).ok()?.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_as_long_as_it_says_whatever_its_value_has() {
        let records = Records::read(b"12 path=a\nb\n26 SCHILY.xattr.user.a=\0\n\n").unwrap();
        assert_eq!(records.get("path"), Some(&b"a\nb"[..]));
        assert_eq!(
            records.attributes().collect::<Vec<_>>(),
            [(&b"user.a"[..], &b"\0\n"[..])]
        );
        for bad in [
            "x",
            "5 a=b\n",
            "7 a=b\n",
            "6 a=bc",
            "0 a=b\n",
            "6 abc\n",
            "99999999999999999999 a=b\n",
        ] {
            assert!(Records::read(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times_have_nanoseconds_and_none_is_before_1970() {
        let time = |text: &str| {
            let record = format!(" mtime={text}\n");
            let record = format!("{}{record}", record.len() + 2);
            Records::read(record.as_bytes())
                .unwrap()
                .time("mtime")
                .ok()
                .flatten()
        };
        assert_eq!(time("1234.5"), Some((1234, 500_000_000)));
        assert_eq!(time("1234.1234567899"), Some((1234, 123_456_789)));
        assert_eq!(time("1234"), Some((1234, 0)));
        assert_eq!(time("-0.5"), Some((0, 0)));
        assert_eq!(time("x"), None);
    }
}
