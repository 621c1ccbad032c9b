//! `completion`.

use clap::{Args, ValueEnum};

use super::render::output;
use super::tree::{Globals, Invocation};
use crate::failure::Failure;

/// Print the completion script of a shell
#[derive(Args, Clone, Debug)]
pub struct CompletionArgs {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

/// A shell that there is a script for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU bash.
    #[value(help = None)]
    Bash,
    /// zsh.
    #[value(help = None)]
    Zsh,
    /// fish.
    #[value(help = None)]
    Fish,
}

impl Shell {
    /// The script. It asks `coracle __complete` for everything, so that it never lags behind the program.
    pub fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("../../completions/coracle.bash"),
            Self::Zsh => include_str!("../../completions/coracle.zsh"),
            Self::Fish => include_str!("../../completions/coracle.fish"),
        }
    }
}

impl Invocation for CompletionArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("bash, this session", "source <(coracle completion bash)"),
        ("bash, for good", "coracle completion bash > ~/.local/share/bash-completion/completions/coracle"),
        ("zsh, for good (a directory of $fpath)", "coracle completion zsh > ~/.zfunc/_coracle"),
        ("fish, for good", "coracle completion fish > ~/.config/fish/completions/coracle.fish"),
    ];

    fn execute(self, _: &Globals) -> Result<u8, Failure> {
        output::write(self.shell.script())?;
        Ok(0)
    }
}
