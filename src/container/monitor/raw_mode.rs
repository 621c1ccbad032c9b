//! The user's terminal while a container's stands for it.

use nix::sys::termios::{OutputFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use super::streams::standard;

/// What the user's terminal leaves to the container's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passes {
    /// All that is typed and shown.
    Everything,
    /// What is shown: what is typed stays here, so that Ctrl-C still interrupts.
    Output,
}

/// The changed mode of a standard descriptor, until dropped.
pub struct RawMode {
    number: i32,
    before: Termios,
}

impl RawMode {
    /// Enters it; `None` if there is no terminal to change.
    pub fn enter(passes: Passes) -> Option<Self> {
        let number = match passes {
            Passes::Everything => 0,
            Passes::Output => 1,
        };
        let before = tcgetattr(standard(number)).ok()?;
        let mut raw = before.clone();
        match passes {
            Passes::Everything => cfmakeraw(&mut raw),
            // The container's terminal has put a carriage return before each line feed already.
            Passes::Output => raw.output_flags.remove(OutputFlags::OPOST),
        }
        tcsetattr(standard(number), SetArg::TCSANOW, &raw).ok()?;
        Some(Self { number, before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring. What was typed and not read is the shell's.
        let _ = tcsetattr(standard(self.number), SetArg::TCSADRAIN, &self.before);
    }
}
