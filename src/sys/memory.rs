//! Memory that a long-lived process gives back, and the name it shows.

#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::poll::PollFd;

/// Waits until one of `fds` is ready, or `limit` is over, and holds next to no memory meanwhile: free heap is given back, and so are
/// the pages of the program itself, which come back from the page cache as they are executed again.
pub fn wait_lightly(fds: &mut [PollFd<'_>], limit: Option<std::time::Duration>) -> Result<(), Errno> {
    let limit = limit.map(|limit| libc::timespec {
        tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let text = program_text();
    // SAFETY: malloc_trim only returns free memory of the heap to the kernel.
    unsafe { libc::malloc_trim(0) };
    for &(start, end) in text.iter().flatten() {
        // SAFETY: the range is a private mapping of our program's file that cannot be written to and precedes the data, so no
        // page of it differs from the file: dropped pages are read again when they are touched.
        unsafe { libc::syscall(libc::SYS_madvise, start, end - start, libc::MADV_DONTNEED) };
    }
    // Through the same few instructions as the calls before: each page that is touched now brings its neighbours with it.
    // SAFETY: PollFd is a transparent pollfd; the kernel reads and writes `fds.len()` of them, and reads `limit` if it is not null; no
    // signal mask.
    let result = unsafe { libc::syscall(libc::SYS_ppoll, fds.as_mut_ptr(), fds.len(), limit, 0, 0) };
    Errno::result(result).map(drop)
}

/// The read-only and executable mappings at the beginning of the program, up to and including its code.
fn program_text() -> [Option<(usize, usize)>; 2] {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut ranges = [None; 2];
    for (slot, line) in maps.lines().take(2).enumerate() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(range), Some(permissions)) = (fields.next(), fields.next()) else { return [None; 2] };
        let Some((start, end)) = range.split_once('-') else { return [None; 2] };
        let (Ok(start), Ok(end)) = (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16)) else {
            return [None; 2];
        };
        // Anything else is not the layout of our program: nothing is known about it.
        if permissions != ["r--p", "r-xp"][slot] {
            return [None; 2];
        }
        ranges[slot] = Some((start, end));
    }
    ranges
}

/// Replaces the command line that others see of this process (proc_pid_cmdline(5)): it may name paths of the host, and
/// options that concern the command and not what the process has become.
pub fn set_command_line(title: &str) {
    let Some((start, end)) = argument_area() else { return };
    let len = end - start;
    let bytes = title.bytes().chain(std::iter::repeat(0)).take(len);
    for (offset, byte) in bytes.enumerate() {
        let byte = if offset + 1 == len { 0 } else { byte };
        // SAFETY: the kernel says that our arguments lie between `start` and `end`, on our own stack, which can be written
        // to. Nothing in this program reads them after `main` has copied them.
        unsafe { ((start + offset) as *mut u8).write_volatile(byte) };
    }
}

/// Where the kernel put our arguments: fields 48 and 49 of proc_pid_stat(5).
fn argument_area() -> Option<(usize, usize)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split_ascii_whitespace().skip(45);
    let (start, end) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (start != 0 && end > start).then_some((start, end))
}
