//! `argv` to a command and its arguments.

use std::ffi::OsString;

use clap::ArgMatches;
use clap::FromArgMatches;
use clap::error::ErrorKind;

use super::rare;
use super::tree::{self, Globals, Verb};
use crate::sys::memory;

/// What the command line is.
pub enum Parsed {
    /// A command.
    Verb {
        /// Which.
        verb: &'static Verb,
        /// Its arguments.
        matches: ArgMatches,
        /// Those for all commands.
        globals: Box<Globals>,
    },
    /// A request for help or the version: what to print.
    Text(String),
}

/// What is wrong with a command line.
#[derive(Debug)]
pub struct UsageError {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// `Usage: ...`.
    pub usage: Option<String>,
    /// Help to be printed on standard output, as when no command is given.
    pub help: Option<String>,
}

/// Parses `argv`, the program's name included.
pub fn parse(argv: &[OsString]) -> Result<Parsed, UsageError> {
    let mut parser = tree::parser(&|name| argv.iter().any(|word| word == name));
    let matches = rare::without(|| parser.try_get_matches_from_mut(argv));
    // To take it apart costs about as much as to read a command line.
    memory::discard_later(parser);
    // One that knows everything reads the others, and says what is wrong and what may have been meant.
    let mut matches = match matches.or_else(|_| tree::parser(&|_| true).try_get_matches_from(argv)) {
        Ok(matches) => matches,
        Err(error) => return explained(&error, argv),
    };
    let mut path = Vec::new();
    let storage_options = matches.remove_many(tree::STORAGE_OPTIONS).map(Iterator::collect).unwrap_or_default();
    while let Some((name, below)) = matches.remove_subcommand() {
        path.push(name);
        matches = below;
    }
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let Some(verb) = tree::find(&path) else {
        return Err(UsageError {
            message: "missing command".into(),
            hint: "`coracle COMMAND --help` tells about a command".into(),
            usage: None,
            help: Some(help_of(&path)),
        });
    };
    // A global argument is known to the command that it was given to and to all below: to the last one always.
    let globals = Globals::from_arg_matches(&matches).unwrap_or_default();
    let globals = Box::new(Globals { storage_options, ..globals });
    Ok(Parsed::Verb { verb, matches, globals })
}

/// clap's word on what is wrong, in our form; help and version are no errors.
fn explained(error: &clap::Error, argv: &[OsString]) -> Result<Parsed, UsageError> {
    let path = words_of_path(argv);
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match error.kind() {
        ErrorKind::DisplayHelp => return Ok(Parsed::Text(help_of(&path))),
        ErrorKind::DisplayVersion => {
            return Ok(Parsed::Text(format!("coracle version {}\n", env!("CARGO_PKG_VERSION"))));
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            return Err(UsageError {
                message: format!(
                    "missing command after {:?}",
                    ["coracle"].iter().chain(&path).copied().collect::<Vec<_>>().join(" ")
                ),
                hint: "the commands are those above".into(),
                usage: None,
                help: Some(help_of(&path)),
            });
        }
        _ => {}
    }
    // The text has paragraphs: the error, tips, the usage, where to find help.
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let message = paragraphs.next().unwrap_or_default();
    let mut hint = None;
    for paragraph in paragraphs {
        // An option that there is not is seldom meant as a word.
        if let Some(tip) = paragraph.strip_prefix("tip: ").filter(|tip| !tip.starts_with("to pass ")) {
            hint = hint.or_else(|| Some(tip.to_owned()));
        }
    }
    let command = ["coracle"].iter().chain(&path).copied().collect::<Vec<_>>().join(" ");
    Err(UsageError {
        message: message.strip_prefix("error: ").unwrap_or(&message).to_owned(),
        hint: hint.unwrap_or_else(|| format!("see `{command} --help`")),
        usage: Some(usage_of(&path)),
        help: None,
    })
}

/// The words of `argv` that choose a command, as far as they are known: the command line need not be right.
fn words_of_path(argv: &[OsString]) -> Vec<String> {
    let mut path = Vec::new();
    let mut command = &tree::documented();
    let mut words = argv.iter().skip(1).filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        if matches!(word, "--root" | "--runroot" | "--storage-driver" | "--storage-opt") {
            words.next();
            continue;
        }
        if word.starts_with('-') || (word == "help" && path.is_empty()) {
            continue;
        }
        let Some(below) = command.find_subcommand(word) else { break };
        path.push(below.get_name().to_owned());
        command = below;
    }
    path
}

fn usage_of(path: &[&str]) -> String {
    with_command(&mut built(), path, |command| command.render_usage().to_string())
}

pub(super) fn help_of(path: &[&str]) -> String {
    with_command(&mut built(), path, |command| {
        // All that is known of the command, and a line for each option.
        if let Some(long) = command.get_long_about().cloned() {
            *command = std::mem::take(command).about(long);
        }
        command.render_help().to_string()
    })
}

fn built() -> clap::Command {
    let mut root = tree::documented();
    root.build();
    root
}

/// What `render` makes of the command that `path` leads to below `command`.
fn with_command(command: &mut clap::Command, path: &[&str], render: fn(&mut clap::Command) -> String) -> String {
    if let Some((first, rest)) = path.split_first()
        && let Some(below) = command.find_subcommand_mut(first)
    {
        return with_command(below, rest, render);
    }
    render(command)
}
