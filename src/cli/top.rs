//! `top` and `container top`.

use clap::Args;

use super::dispatch;
use super::render::{output, table};
use super::tree::{Globals, Invocation};
use crate::failure::{Failure, escape_control};

/// Show the processes of a container
///
/// As the container's own ps would show them. Nothing of the container is executed.
#[derive(Args, Clone, Debug)]
#[command(override_usage = "coracle top [OPTIONS] CONTAINER [COLUMN]...")]
pub struct TopArgs {
    /// Container, then the columns to show; with --latest, the columns
    #[arg(value_name = "CONTAINER", required_unless_present = "latest", trailing_var_arg = true, num_args = 0..)]
    words: Vec<String>,
    /// Take the container made last
    #[arg(short, long)]
    latest: bool,
}

impl Invocation for TopArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("All processes", "coracle top web"),
        ("Their numbers here, and what they may", "coracle top web pid hpid huser seccomp capeff args"),
    ];
    const SECTIONS: &'static [(&'static str, &'static str)] = &[(
        "COLUMNS",
        "Columns are named as in podman top, or by the formats of ps: args (%a), capamb, capbnd, capeff, capinh, capprm, \
         comm (%c), etime (%t), group (%G), hgroup, hpid, huser, nice (%n), pcpu (%C), pgid (%r), pid (%p), ppid (%P), \
         rgroup (%g), rss, ruser (%u), seccomp, state, time (%x), tty (%y), user (%U), vsz (%z). Those that begin with h \
         are numbers of this machine. Several can be given in one word, with commas between them.",
    )];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let (container, columns) = match (self.latest, self.words.split_first()) {
            (false, Some((name, columns))) => (dispatch::find_container(&layout, name)?, columns),
            _ => (dispatch::latest_container(&layout)?, &self.words[..]),
        };
        let rows = dispatch::top(&layout, &container, columns)?;
        // A tab or a line feed in a name would break the table.
        let line =
            |row: Vec<String>| row.iter().map(|cell| escape_control(cell).to_string()).collect::<Vec<_>>().join("\t");
        output::write(&table::align(&rows.into_iter().map(line).collect::<Vec<_>>()))?;
        Ok(0)
    }
}
