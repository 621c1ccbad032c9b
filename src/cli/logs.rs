//! `logs`.

use std::collections::BTreeSet;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::render::output::{self, Reader};
use super::tree::{Globals, Invocation};
use super::{dispatch, error, run};
use crate::container::logs::{Audience, Line, Reading, Selection, Source, Tail};
use crate::container::monitor::log::Stream;
use crate::failure::{EXIT_OWN_FAILURE, Failure};
use crate::name::filter::Moment;

/// Show what containers have written
///
/// Standard output of the container goes to standard output, its standard error to standard error, byte by byte. Several
/// containers are merged by time, each line after the short id of its container.
#[derive(Args, Clone, Debug)]
pub struct LogsArgs {
    /// Wait for more, until the containers have ended
    #[arg(short, long)]
    follow: bool,
    /// Show only so many lines from the end of each log: a number, or all
    #[arg(long, value_name = "N", default_value = "all", allow_hyphen_values = true)]
    tail: String,
    /// Show what was written since this time, or in this time until now: 2026-11-22T18:52:06Z, 1795373526.5, 1h30m
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Show what was written until this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Show when each line was written
    #[arg(short, long)]
    timestamps: bool,
    /// Show the name of the container before each line
    #[arg(short, long)]
    names: bool,
    /// Show each container in a colour of its own
    #[arg(long)]
    color: bool,
    /// Show the log of the container that was made last
    #[arg(short, long, conflicts_with = "containers")]
    latest: bool,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", required_unless_present = "latest")]
    containers: Vec<String>,
}

impl Invocation for LogsArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("The last ten lines, and what follows", "coracle logs --follow --tail 10 web"),
        ("The last half hour, with times", "coracle logs --timestamps --since 30m web"),
        ("Two containers, by time", "coracle logs --names web database"),
    ];
    const SECTIONS: &'static [(&'static str, &'static str)] = &[
        (
            "TIMES",
            "A time is RFC 3339 (2026-11-22T18:52:06Z; without a zone it is local, and the time of day may be left out), \
             seconds since 1970 with or without a fraction, or a duration before now (10m, 1h30m). --since takes a log to be \
             in the order of its times: if the clock was set back, lines before that may be left out.",
        ),
        (
            "LOGS",
            "Only containers that are run with --detach have logs, unless --log-driver of run said otherwise. What is shown \
             is what was written: escape sequences in it reach the terminal.",
        ),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let selection = self.selection(Timestamp::now())?;
        let names = match self.latest {
            true => vec![dispatch::latest_container(&layout)?.to_string()],
            false => self.containers.clone(),
        };
        let (mut sources, failures) = dispatch::open_logs(&layout, &names, &selection);
        failures.iter().for_each(error::report);
        let mut printer = Printer::new(&self, &sources);
        dispatch::show_logs(&layout, &mut sources, &selection, &mut printer)?;
        for source in sources.iter().filter(|source| source.damaged() > 0) {
            let (count, name) = (source.damaged(), source.name());
            error::warn(&format!("{count} damaged lines in the log of container {name} were left out"));
        }
        Ok(if failures.is_empty() { 0 } else { EXIT_OWN_FAILURE })
    }
}

impl LogsArgs {
    fn selection(&self, now: Timestamp) -> Result<Selection, Failure> {
        let time = |flag, text: &Option<String>| {
            let moment = run::parsed::<Moment>(flag, text.as_deref())?;
            Ok::<_, Failure>(moment.map(|moment| moment.before(now, &TimeZone::system())))
        };
        let tail = match self.tail.as_str() {
            "all" | "-1" => Tail::All,
            count => {
                let count = count.parse();
                Tail::Lines(count.map_err(|_| {
                    Failure::new("E_CONFIG", format!("--tail: {:?} is not a number of lines, and not all", self.tail))
                })?)
            }
        };
        let (since, until) = (time("--since", &self.since)?, time("--until", &self.until)?);
        Ok(Selection { tail, since, until, follow: self.follow })
    }
}

/// Output kept back until there is so much.
const ENOUGH: usize = 64 * 1024;

/// Colours that can be read on light and dark grounds.
const COLOURS: [&str; 6] = ["\x1b[32m", "\x1b[36m", "\x1b[33m", "\x1b[35m", "\x1b[34m", "\x1b[31m"];

/// Prints lines.
struct Printer {
    /// What precedes each line, for each container.
    prefixes: Vec<String>,
    timestamps: bool,
    /// The latest time and how it is written: many lines have the same.
    time: Option<(Timestamp, String)>,
    color: bool,
    /// Which container's which stream is within a line.
    within: BTreeSet<(usize, Reader)>,
    reader: Reader,
    kept_back: Vec<u8>,
}

impl Printer {
    fn new(args: &LogsArgs, sources: &[Source]) -> Self {
        let prefix = |source: &Source| match (args.names, args.latest || args.containers.len() < 2) {
            (true, _) => format!("{} ", source.name()),
            (false, true) => String::new(),
            (false, false) => format!("{} ", source.id().short()),
        };
        Self {
            prefixes: sources.iter().map(prefix).collect(),
            timestamps: args.timestamps,
            time: None,
            color: args.color,
            within: BTreeSet::new(),
            reader: Reader::Output,
            kept_back: Vec::new(),
        }
    }

    fn add(&mut self, line: &Line<'_>) {
        let out = &mut self.kept_back;
        let (text, end) = line.text.strip_suffix(b"\n").map_or((line.text, &b""[..]), |text| (text, b"\n"));
        if self.color {
            out.extend_from_slice(COLOURS[line.container % COLOURS.len()].as_bytes());
        }
        let place = (line.container, self.reader);
        if !self.within.contains(&place) {
            out.extend_from_slice(self.prefixes[line.container].as_bytes());
            if self.timestamps {
                let known = self.time.take().filter(|(time, _)| *time == line.time);
                let (_, text) = self.time.insert(known.unwrap_or_else(|| (line.time, format!("{:.9} ", line.time))));
                out.extend_from_slice(text.as_bytes());
            }
        }
        out.extend_from_slice(text);
        if self.color {
            out.extend_from_slice(b"\x1b[0m");
        }
        out.extend_from_slice(end);
        if end.is_empty() {
            self.within.insert(place)
        } else {
            self.within.remove(&place)
        };
    }
}

impl Audience for Printer {
    fn show(&mut self, line: &Line<'_>) -> Result<Reading, Failure> {
        let reader = if line.stream == Stream::Output { Reader::Output } else { Reader::Errors };
        if (reader != self.reader || self.kept_back.len() >= ENOUGH) && self.pause()? == Reading::Over {
            return Ok(Reading::Over);
        }
        self.reader = reader;
        self.add(line);
        Ok(Reading::On)
    }

    fn pause(&mut self) -> Result<Reading, Failure> {
        let is_read = output::write_bytes(self.reader, &self.kept_back)?;
        self.kept_back.clear();
        Ok(if is_read { Reading::On } else { Reading::Over })
    }
}
