//! The user's terminal while a container's stands for it.

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use super::streams::standard;

/// Raw mode of our standard input, until dropped.
pub struct RawMode(Termios);

impl RawMode {
    /// Enters it; `None` if standard input is no terminal.
    pub fn enter() -> Option<Self> {
        let before = tcgetattr(standard(0)).ok()?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(standard(0), SetArg::TCSANOW, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring. What was typed and not read is the shell's.
        let _ = tcsetattr(standard(0), SetArg::TCSADRAIN, &self.0);
    }
}
