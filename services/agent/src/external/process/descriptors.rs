use std::io;

/// Keeps what the agent has open from the commands that it starts. It opens nothing that they would inherit itself, but it
/// may have inherited something from whoever started it.
pub(super) fn keep_to_the_agent() -> io::Result<()> {
    const FIRST: libc::c_uint = 3;
    let flags = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
    #[expect(
        unsafe_code,
        reason = "there is no safe call for descriptors that nobody owns"
    )]
    // SAFETY: it closes nothing in this process, and touches no memory.
    let set = unsafe { libc::close_range(FIRST, libc::c_uint::MAX, flags) };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
