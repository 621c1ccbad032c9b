//! Runs filters as the kernel would, for tests: just the instructions that the compiler uses, everything else panics.

use libc::sock_filter;

use super::table::Arch;

/// `struct seccomp_data`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Call {
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    /// Number.
    pub number: u32,
    /// Arguments.
    pub arguments: [u64; 6],
}

impl Call {
    pub fn new(arch: Arch, number: u32, arguments: [u64; 6]) -> Self {
        Self { arch: arch.audit(), number, arguments }
    }

    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.arch,
            16..=63 if offset.is_multiple_of(4) => {
                let argument = self.arguments[(offset as usize - 16) / 8];
                (if offset.is_multiple_of(8) { argument } else { argument >> 32 }) as u32
            }
            _ => panic!("load from {offset}"),
        }
    }
}

/// The return value of `program` for `call`, and whether it looked at an argument on the way.
pub fn run(program: &[sock_filter], call: &Call) -> (u32, bool) {
    let (mut accumulator, mut position, mut looked) = (0, 0, false);
    loop {
        let sock_filter { code, jt, jf, k } = program[position];
        position += 1;
        let test = match code {
            0x20 => {
                accumulator = call.word(k);
                looked |= k >= 16;
                continue;
            }
            0x54 => {
                accumulator &= k;
                continue;
            }
            0x05 => {
                position += k as usize;
                continue;
            }
            0x06 => return (k, looked),
            0x15 => accumulator == k,
            0x25 => accumulator > k,
            0x35 => accumulator >= k,
            _ => panic!("instruction {code:#x}"),
        };
        position += usize::from(if test { jt } else { jf });
    }
}
