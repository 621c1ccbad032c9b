//! What containers have written: read from their logs, merged by time, followed until they end.

mod backwards;
mod entry;
mod files;
mod follow;
mod journal;
mod reader;
mod since;

use jiff::Timestamp;

use super::list::{self, Listed};
use super::monitor::log::Stream;
use super::status::{self, Status};
use crate::failure::Failure;
use crate::name::container::ContainerId;
use crate::name::log_request::LogDriver;
use crate::state::layout::Layout;
use crate::state::schema::container::ContainerRecord;
use entry::{Entry, Format};
use follow::Follower;
use journal::JournalReader;
use reader::FileReader;

/// Which lines are wanted.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// How many of the last ones, of each container.
    pub tail: Tail,
    /// Not those before.
    pub since: Option<Timestamp>,
    /// Not those after.
    pub until: Option<Timestamp>,
    /// Whether those to come are waited for.
    pub follow: bool,
}

/// How many lines, counted from the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tail {
    /// All.
    #[default]
    All,
    /// At most so many.
    Lines(u64),
}

impl Selection {
    fn is_too_late(&self, time: Timestamp) -> bool {
        self.until.is_some_and(|until| time > until)
    }

    fn has(&self, time: Timestamp) -> bool {
        !self.is_too_late(time) && self.since.is_none_or(|since| time >= since)
    }
}

/// A piece of output: a line, or a part of one.
#[derive(Debug)]
pub struct Line<'a> {
    /// Which of the containers, by its place in the list.
    pub container: usize,
    /// Where it was written to.
    pub stream: Stream,
    /// When.
    pub time: Timestamp,
    /// What, with its line feed if it has one.
    pub text: &'a [u8],
}

/// Whether there is somebody to show more to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// There is.
    On,
    /// The reader has gone away.
    Over,
}

/// Who is shown lines.
pub trait Audience {
    /// Shows a piece of output; it may be kept back until [`Audience::pause`].
    fn show(&mut self, line: &Line<'_>) -> Result<Reading, Failure>;
    /// Nothing more comes for a while: all of it is to be seen.
    fn pause(&mut self) -> Result<Reading, Failure>;
}

/// A container whose log can be read.
pub struct Source {
    id: ContainerId,
    name: String,
    source: Kind,
    /// The entry that comes next.
    next: Option<Entry>,
}

enum Kind {
    File(FileReader),
    Journal(JournalReader),
}

impl Source {
    /// Finds the container and its log.
    pub fn open(layout: &Layout, text: &str, selection: &Selection) -> Result<Self, Failure> {
        let id = list::find(layout, text)?;
        let unknown = || Failure::from(list::NotFound::Unknown(text.into()));
        let Listed { record, status, .. } = list::load(layout, &id)?.ok_or_else(unknown)?;
        let name = record.name.to_string();
        let source = match Format::of(record.log.driver) {
            Some(format) => {
                let path = layout.container_log(&id, &record.log);
                let max_files = record.log.max_files.unwrap_or(1);
                let reader = FileReader::open(&path, max_files, format, selection)?;
                // One that has not been started yet may get a log.
                if reader.is_empty() && (record.remove_at_exit || matches!(status, Status::Stopped(_))) {
                    return Err(no_file(&record));
                }
                Kind::File(reader)
            }
            None if record.log.driver == LogDriver::Journald => Kind::Journal(JournalReader::open(&id, selection)?),
            None => return Err(not_kept(&record)),
        };
        Ok(Self { id, name, source, next: None })
    }

    /// The container's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The container's identifier.
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// How many lines of the log could not be understood.
    pub fn damaged(&self) -> u64 {
        match &self.source {
            Kind::File(reader) => reader.damaged,
            Kind::Journal(reader) => reader.damaged,
        }
    }

    /// Reads the next entry if it is not known and there is one.
    fn advance(&mut self, selection: &Selection) -> Result<(), Failure> {
        while self.next.is_none() {
            let entry = match &mut self.source {
                Kind::File(reader) => reader.next()?,
                Kind::Journal(reader) => reader.next()?,
            };
            match entry {
                None => break,
                entry => self.next = entry.filter(|entry| selection.has(entry.time)),
            }
        }
        Ok(())
    }

    fn has_ended(&self, layout: &Layout) -> bool {
        // One that is not there any more has ended.
        matches!(status::of(layout, &self.id), Ok(Status::Stopped(_)) | Err(_))
    }
}

fn no_file(record: &ContainerRecord) -> Failure {
    let name = &record.name;
    if !record.remove_at_exit {
        let message = format!("container {name} has no log: it was never started, or its file is gone");
        return Failure::new("E_NOTFOUND", message);
    }
    Failure::new("E_NOTFOUND", format!("container {name} has no log: its output went to the command that ran it"))
        .with_hint("the output of containers that are run with --detach, without --rm, or with --log-driver is kept")
}

fn not_kept(record: &ContainerRecord) -> Failure {
    let (name, driver) = (&record.name, record.log.driver.as_str());
    Failure::new("E_CONFIG", format!("container {name} has the log driver {driver}: its output is not kept"))
        .with_hint("--log-driver json-file keeps it")
}

/// Shows what the selection has of the sources, and with `follow` what comes until all have ended.
pub fn execute(
    layout: &Layout,
    sources: &mut [Source],
    selection: &Selection,
    audience: &mut dyn Audience,
) -> Result<(), Failure> {
    let mut follower = if selection.follow { Some(Follower::new()?) } else { None };
    loop {
        let Some(follower) = &mut follower else {
            return drain(sources, selection, audience).map(drop);
        };
        follower.watch(layout, sources);
        // Asked before the last look into the log: what is there then is all.
        let ended = sources.iter().all(|source| source.has_ended(layout));
        let over = selection.until.is_some_and(|until| Timestamp::now() > until);
        if drain(sources, selection, audience)? == Reading::Over || audience.pause()? == Reading::Over {
            return Ok(());
        }
        if ended || over {
            return finish(sources, selection, audience);
        }
        if follower.wait(sources, selection)? == Reading::Over {
            return Ok(());
        }
    }
}

/// Shows what the containers wrote that has been kept elsewhere until their end.
fn finish(sources: &mut [Source], selection: &Selection, audience: &mut dyn Audience) -> Result<(), Failure> {
    for source in sources.iter_mut() {
        if let Kind::Journal(reader) = &mut source.source {
            reader.finish()?;
        }
    }
    drain(sources, selection, audience)?;
    audience.pause().map(drop)
}

/// Shows all there is now, the oldest first.
fn drain(sources: &mut [Source], selection: &Selection, audience: &mut dyn Audience) -> Result<Reading, Failure> {
    loop {
        for source in sources.iter_mut() {
            source.advance(selection)?;
        }
        let times = sources.iter().enumerate().filter_map(|(index, source)| Some((source.next.as_ref()?.time, index)));
        let Some((_, container)) = times.min() else { return audience.pause() };
        let Some(entry) = sources[container].next.take() else { return audience.pause() };
        let line = Line { container, stream: entry.stream, time: entry.time, text: &entry.text };
        if audience.show(&line)? == Reading::Over {
            return Ok(Reading::Over);
        }
    }
}
