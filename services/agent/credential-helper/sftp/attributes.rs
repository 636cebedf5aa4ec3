//! Attributes of files, as they are sent and set, and a line of `ls -l`.

use std::{
    fs::{self, File, FileTimes, Metadata, OpenOptions, Permissions},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, fchown, lchown},
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use super::packet::{Reader, Writer};

const SIZE: u32 = 1;
const OWNER: u32 = 2;
const MODE: u32 = 4;
const TIMES: u32 = 8;
const EXTENDED: u32 = 1 << 31;
/// Bits of a mode that can be set.
const SETTABLE: u32 = 0o7777;
/// Most attributes of other kinds, which are left out.
const MAX_EXTENDED: u32 = 64;

/// What is to be set.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub size: Option<u64>,
    pub owner: Option<(u32, u32)>,
    pub mode: Option<u32>,
    pub times: Option<(u32, u32)>,
}

impl Attributes {
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let flags = reader.number()?;
        let mut read = Self::default();
        if flags & SIZE != 0 {
            read.size = Some(reader.long()?);
        }
        if flags & OWNER != 0 {
            read.owner = Some((reader.number()?, reader.number()?));
        }
        if flags & MODE != 0 {
            read.mode = Some(reader.number()? & SETTABLE);
        }
        if flags & TIMES != 0 {
            read.times = Some((reader.number()?, reader.number()?));
        }
        if flags & EXTENDED != 0 {
            let count = reader.number()?;
            for _ in 0..count.min(MAX_EXTENDED) {
                reader.text()?;
                reader.text()?;
            }
        }
        Some(read)
    }

    /// Sets them on an open file.
    pub fn set_on(&self, file: &File) -> io::Result<()> {
        if let Some(size) = self.size {
            file.set_len(size)?;
        }
        if let Some(mode) = self.mode {
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        if let Some(times) = self.times {
            file.set_times(file_times(times))?;
        }
        if let Some((uid, gid)) = self.owner {
            fchown(file, Some(uid), Some(gid))?;
        }
        Ok(())
    }

    /// Sets them on what a path leads to; of a link that is not followed only the owner.
    pub fn set_at(&self, path: &Path, follow: bool) -> io::Result<()> {
        if !follow && fs::symlink_metadata(path)?.is_symlink() {
            return match self.owner {
                Some((uid, gid)) => lchown(path, Some(uid), Some(gid)),
                None => Ok(()),
            };
        }
        if let Some(size) = self.size {
            OpenOptions::new().write(true).open(path)?.set_len(size)?;
        }
        if let Some(times) = self.times {
            // Its owner may set them, but has to open it, for whatever is allowed.
            let open = File::open(path).or_else(|_| OpenOptions::new().write(true).open(path))?;
            open.set_times(file_times(times))?;
        }
        if let Some(mode) = self.mode {
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        if let Some((uid, gid)) = self.owner {
            chown(path, Some(uid), Some(gid))?;
        }
        Ok(())
    }
}

fn file_times((accessed, modified): (u32, u32)) -> FileTimes {
    let time = |seconds: u32| UNIX_EPOCH + Duration::from_secs(seconds.into());
    FileTimes::new()
        .set_accessed(time(accessed))
        .set_modified(time(modified))
}

/// Adds the attributes that a file has.
pub fn write(metadata: &Metadata, answer: &mut Writer) {
    let seconds = |time: i64| u32::try_from(time).unwrap_or_default();
    answer
        .number(SIZE | OWNER | MODE | TIMES)
        .long(metadata.size())
        .number(metadata.uid())
        .number(metadata.gid())
        .number(metadata.mode())
        .number(seconds(metadata.atime()))
        .number(seconds(metadata.mtime()));
}

/// Adds the attributes of what nothing is known of.
pub fn write_none(answer: &mut Writer) {
    answer.number(0);
}

/// What `ls -ln` prints before a name.
pub fn line(metadata: &Metadata) -> String {
    const RIGHTS: [(u32, char); 9] = [
        (0o400, 'r'),
        (0o200, 'w'),
        (0o100, 'x'),
        (0o040, 'r'),
        (0o020, 'w'),
        (0o010, 'x'),
        (0o004, 'r'),
        (0o002, 'w'),
        (0o001, 'x'),
    ];
    let mode = metadata.mode();
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o020_000 => 'c',
        0o060_000 => 'b',
        0o010_000 => 'p',
        0o140_000 => 's',
        _ => '-',
    };
    let rights: String = RIGHTS
        .iter()
        .map(|(bit, letter)| if mode & bit == 0 { '-' } else { *letter })
        .collect();
    format!(
        "{kind}{rights} {:>4} {:<8} {:<8} {:>8} {}",
        metadata.nlink(),
        metadata.uid(),
        metadata.gid(),
        metadata.size(),
        date(metadata.mtime())
    )
}

/// `Nov 27  2026`, by UTC.
pub fn date(seconds: i64) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    // Days since the first of March of the year 0, in eras of 400 years (Howard Hinnant's algorithm).
    let days = seconds.div_euclid(86_400).saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 2, 0)
    } else {
        (month - 10, 1)
    };
    let name = usize::try_from(month)
        .ok()
        .and_then(|month| MONTHS.get(month));
    format!(
        "{} {day:>2}  {}",
        name.unwrap_or(&"Jan"),
        year + era * 400 + next
    )
}
