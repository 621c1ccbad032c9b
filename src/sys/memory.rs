//! Memory that a long-lived process gives back, and the name it shows.

#![allow(unsafe_code)]

/// Gives back what is not needed while waiting: free heap, and the pages of the program itself, which come back from the
/// page cache one by one as they are executed again.
pub fn release_unused() {
    // SAFETY: malloc_trim only returns free memory of the heap to the kernel.
    unsafe { libc::malloc_trim(0) };
    for (start, end) in program_text() {
        // SAFETY: the range is a private mapping of our program's file that cannot be written to and precedes the data, so no
        // page of it differs from the file: dropped pages are read again when they are touched.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
    }
}

/// The read-only and executable mappings at the beginning of the program, up to and including its code.
fn program_text() -> Vec<(usize, usize)> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut ranges = Vec::new();
    for line in maps.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(range), Some(permissions)) = (fields.next(), fields.next()) else { break };
        let numbers = range
            .split_once('-')
            .map(|(start, end)| (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16)));
        let Some((Ok(start), Ok(end))) = numbers else { break };
        match permissions {
            "r--p" => ranges.push((start, end)),
            "r-xp" => {
                ranges.push((start, end));
                return ranges;
            }
            _ => break,
        }
    }
    // Not the layout of our program: nothing is known about it.
    Vec::new()
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
