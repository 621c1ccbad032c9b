//! Memory that a long-lived process gives back, and the name it shows.

#![allow(unsafe_code)]

use std::any::Any;
use std::ops::Range;
use std::path::Path;

use nix::errno::Errno;
use nix::poll::PollFd;
use parking_lot::Mutex;

/// What is dropped by [`wait_lightly`].
static DISCARDED: Mutex<Vec<Box<dyn Any + Send>>> = Mutex::new(Vec::new());

/// Takes what nobody needs any more, but should not take the time to drop now; most processes end before
/// they would have to wait for long.
pub fn discard_later(value: impl Any + Send) {
    DISCARDED.lock().push(Box::new(value));
}

/// Waits until one of `fds` is ready, or `limit` is over, and holds next to no memory meanwhile: what was to be
/// dropped later is, free heap is given back, and so are
/// the pages of the stack that nobody uses, and those of the program itself, which come back from the page cache as they are
/// executed again. `proc` is where proc(5) is mounted.
#[inline(never)]
pub fn wait_lightly(fds: &mut [PollFd<'_>], limit: Option<std::time::Duration>, proc: &Path) -> Result<(), Errno> {
    let limit = limit.map(|limit| libc::timespec {
        tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let layout = Layout::read(proc);
    DISCARDED.lock().clear();
    // SAFETY: malloc_trim only returns free memory of the heap to the kernel.
    unsafe { libc::malloc_trim(0) };
    // From here on by system calls from this very place: each page that is touched brings its neighbours with it.
    let here = stack_pointer();
    if let Some(stack) = layout.stack.filter(|stack| stack.contains(&here)) {
        // The calling conventions let a function use less below the stack pointer than this leaves.
        let end = ((here - PAGE) & !(PAGE - 1)).max(stack.start);
        // SAFETY: it is our own stack, below all that is in use on it: who is called next writes there before reading.
        unsafe { raw_call(libc::SYS_madvise, [stack.start, end - stack.start, DONT_NEED, 0, 0]) };
    }
    let [head, code] = layout.text;
    if let Some(head) = head {
        // SAFETY: a private mapping of our program's file that cannot be written to and precedes the data, so no page of it
        // differs from the file: dropped pages are read again when they are touched.
        unsafe { raw_call(libc::SYS_madvise, [head.start, head.end - head.start, DONT_NEED, 0, 0]) };
    }
    if let Some(code) = code {
        // SAFETY: as above.
        unsafe { raw_call(libc::SYS_madvise, [code.start, code.end - code.start, DONT_NEED, 0, 0]) };
    }
    // SAFETY: PollFd is a transparent pollfd; the kernel reads and writes `fds.len()` of them, and reads `limit` if it is not null; no
    // signal mask.
    let result = unsafe { raw_call(libc::SYS_ppoll, [fds.as_mut_ptr() as usize, fds.len(), limit as usize, 0, 0]) };
    // syscall(2): the negative of an error's number.
    if result < 0 { Err(Errno::from_raw(-result as i32)) } else { Ok(()) }
}

const PAGE: usize = 4096;
const DONT_NEED: usize = libc::MADV_DONTNEED as usize;

/// Where the caller's stack ends for now.
#[inline(always)]
fn stack_pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads a register.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        std::arch::asm!("mov {}, rsp", out(reg) pointer, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    pointer
}

/// A system call that executes no code but the caller's (syscall(2)).
///
/// # Safety
///
/// As the call of this number with these arguments.
#[inline(always)]
unsafe fn raw_call(number: libc::c_long, arguments: [usize; 5]) -> isize {
    let [a, b, c, d, e] = arguments;
    let result: isize;
    // SAFETY: the registers are those that syscall(2) lists; what the call does is the caller's to answer for.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        std::arch::asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, in("r8") e, lateout("rcx") _, lateout("r11") _, options(nostack));
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!("svc 0", in("x8") number, inlateout("x0") a as isize => result, in("x1") b, in("x2") c, in("x3") d,
            in("x4") e, options(nostack));
    }
    result
}

/// Mappings of this process, as ranges of addresses.
#[derive(Default)]
struct Layout {
    /// The read-only and executable ones at the beginning of the program, up to and including its code.
    text: [Option<Range<usize>>; 2],
    stack: Option<Range<usize>>,
}

impl Layout {
    /// As proc_pid_maps(5) shows them.
    fn read(proc: &Path) -> Self {
        let maps = std::fs::read_to_string(proc.join("self/maps")).unwrap_or_default();
        let mut layout = Self::default();
        for (number, line) in maps.lines().enumerate() {
            let mut fields = line.split_ascii_whitespace();
            let range = fields.next().and_then(|range| range.split_once('-')).and_then(|(start, end)| {
                Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
            });
            let permissions = fields.next();
            match number {
                0 if permissions == Some("r--p") => layout.text[0] = range,
                1 if permissions == Some("r-xp") && layout.text[0].is_some() => layout.text[1] = range,
                // Anything else is not the layout of our program: nothing is known about it.
                1 => layout.text[0] = None,
                _ if fields.last() == Some("[stack]") => layout.stack = range,
                _ => {}
            }
        }
        layout
    }
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
