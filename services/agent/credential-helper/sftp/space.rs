//! How much room there is where a file is. The standard library does not ask.

use std::{ffi::CString, io, os::unix::ffi::OsStrExt as _, path::Path};

use super::packet::Writer;

/// Numbers of the C library's `struct statvfs` on 64-bit Linux: bsize, frsize, blocks, bfree, bavail, files, ffree, favail,
/// fsid, flag, namemax. They are followed by at most 32 bytes.
const NUMBERS: usize = 11;

#[cfg(target_pointer_width = "64")]
#[expect(unsafe_code, reason = "there is no other way without a dependency")]
fn ask(path: &Path) -> io::Result<[u64; NUMBERS]> {
    unsafe extern "C" {
        fn statvfs(path: *const std::ffi::c_char, into: *mut u64) -> std::ffi::c_int;
    }
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut numbers = [0_u64; 32];
    // SAFETY: the path ends with a zero, and the place is larger than the structure.
    let answer = unsafe { statvfs(path.as_ptr(), numbers.as_mut_ptr()) };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = [0; NUMBERS];
    found.copy_from_slice(&numbers[..NUMBERS]);
    Ok(found)
}

/// Adds what is asked by `statvfs@openssh.com`.
pub fn write(path: &Path, answer: &mut Writer) -> io::Result<()> {
    for number in ask(path)? {
        answer.long(number);
    }
    Ok(())
}
