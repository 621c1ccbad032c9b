//! `cp`: files into, out of and between containers.
//!
//! One side packs, the other unpacks; a side in a container is a visitor. The packing side begins with what the other has to
//! know before it can tell where things go: the name, and whether it is a directory.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, fstat, fstatat};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::create::{Owned, Taken};
use super::files::made::Made;
use super::files::pack::{self, Packer, type_of};
use super::files::recorded::{self, Recorded};
use super::files::trees::{Held, Mode as Use, Trees};
use super::files::unpack::{self, Destination, Unpacked};
use super::files::visit::{self, Ids, Inside, Visitor};
use super::list::{self, Listed, NotFound};
use super::remove;
use super::status::Status;
use crate::failure::Failure;
use crate::runtime::plan::LaunchPlan;
use crate::state::schema::container::ContainerRecord;
use crate::store::Store;
use crate::store::unpack::header::{Entries, Kind};
use crate::store::unpack::limits::Limits;
use crate::sys::in_root::{Resolve, open_below};

/// One end of a copy.
#[allow(clippy::large_enum_variant, reason = "two exist per command")]
pub enum End {
    /// A path in a container.
    Container(Listed, Vec<u8>),
    /// A path on the host.
    Host(PathBuf),
    /// A tar: standard input or output.
    Stream,
}

/// Writes a tar that the user gives, decompressed, to where it is told.
pub type Input<'a> = &'a mut dyn FnMut(&mut dyn Write) -> Result<(), Failure>;

/// How it is copied.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Owners are kept.
    pub archive: bool,
    /// A directory may take the place of something else, and the other way round.
    pub overwrite: bool,
    /// A source that is a symbolic link stands for what it leads to.
    pub follow: bool,
}

/// What is copied, before any of it.
#[derive(Debug, Serialize, Deserialize)]
struct Facts {
    /// The last component of its path; empty for a root.
    name: Vec<u8>,
    /// Whether it is a directory.
    directory: bool,
    /// Whether what is in it is meant, and not it itself.
    contents: bool,
}

/// A path as it was asked for.
struct Asked {
    /// Without slashes and dots at its end.
    path: Vec<u8>,
    /// It must be a directory.
    directory: bool,
    /// What is in it is meant.
    contents: bool,
}

impl Asked {
    fn parse(text: &[u8]) -> Self {
        let contents = text == b"." || text.ends_with(b"/.");
        let directory = contents || text.ends_with(b"/");
        let mut path = text;
        while let Some(shorter) = path.strip_suffix(b"/.").or_else(|| path.strip_suffix(b"/")) {
            path = shorter;
        }
        let path = match (path, text.first()) {
            (b"", Some(b'/')) => b"/".to_vec(),
            (b"", _) => b".".to_vec(),
            (path, _) => path.to_vec(),
        };
        Self { path, directory, contents }
    }

    /// The path of the parent, and the last component; no component for a root, or one that leads upwards.
    fn split(&self) -> (Vec<u8>, Vec<u8>) {
        let slash = self.path.iter().rposition(|&byte| byte == b'/');
        let (parent, name) = match slash {
            Some(0) => (&b"/"[..], &self.path[1..]),
            Some(slash) => (&self.path[..slash], &self.path[slash + 1..]),
            None => (&b"."[..], &self.path[..]),
        };
        if matches!(name, b"" | b"." | b"..") {
            (self.path.clone(), Vec::new())
        } else {
            (parent.to_vec(), name.to_vec())
        }
    }
}

/// What paths are relative to.
#[derive(Clone, Copy)]
enum Base<'a> {
    /// The host, with the user's own links.
    Host,
    /// A container's root, which is not left.
    Root(BorrowedFd<'a>),
}

impl Base<'_> {
    fn open(self, path: &[u8], flags: OFlag) -> Result<OwnedFd, Errno> {
        match self {
            Self::Host => {
                let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
                nix::fcntl::open(path.as_c_str(), flags | OFlag::O_CLOEXEC, Mode::empty())
            }
            Self::Root(root) => {
                let relative = path.iter().position(|&byte| byte != b'/').map_or(&b"."[..], |start| &path[start..]);
                open_below(root, &CString::new(relative).map_err(|_| Errno::EINVAL)?, flags, Resolve::InRoot)
            }
        }
    }

    fn failed(self, action: &str, path: &[u8], errno: Errno) -> Failure {
        let shown = String::from_utf8_lossy(path);
        let place = if matches!(self, Self::Host) { "" } else { " in the container" };
        match errno {
            Errno::ENOENT => Failure::new("E_NOTFOUND", format!("{action}: there is no {shown}{place}")),
            _ => {
                let cause = io::Error::from(errno);
                Failure::new(crate::state::record::io_code(&cause), format!("{action} {shown}{place}: {cause}"))
            }
        }
    }
}

/// Copies. `stdin` and `stdout` are the ends that are streams. Returns what was left out.
pub fn execute(
    store: &Store,
    (from, to): (End, End),
    options: Options,
    (stdin, stdout): (Input<'_>, &mut dyn Write),
) -> Result<Vec<String>, Failure> {
    match (from, to) {
        (End::Container(container, path), End::Container(other, destination)) => {
            let (reader, writer) = pipe()?;
            let taker = visit_to_unpack(store, &other, &destination, options, reader)?;
            let giver = visit_to_pack(store, &container, &path, options, writer)?;
            let (packed, unpacked) = (giver.finish(), taker.finish());
            both(packed.and_then(|report| told(&report)), unpacked)
        }
        (End::Container(container, path), to) => {
            let (reader, writer) = pipe()?;
            let giver = visit_to_pack(store, &container, &path, options, writer)?;
            let mut reader = io::BufReader::new(std::fs::File::from(reader));
            let taken = read_facts(&mut reader).and_then(|facts| match &to {
                End::Host(destination) => {
                    unpack_at(Base::Host, destination.as_os_str().as_bytes(), &facts, on_host(options), reader)
                }
                _ => pass_on(&mut reader, stdout),
            });
            match taken {
                Ok(unpacked) => Ok([told(&giver.finish()?)?, unpacked.warnings].concat()),
                Err(failure) => Err(giver.explain(failure)),
            }
        }
        (from, End::Container(container, path)) => {
            let (reader, writer) = pipe()?;
            let taker = visit_to_unpack(store, &container, &path, options, reader)?;
            let writer = io::BufWriter::with_capacity(64 << 10, std::fs::File::from(writer));
            let packed = match from {
                End::Host(source) => {
                    let own = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
                    let owners = if options.archive { pack::Owners::Hosts { own } } else { pack::Owners::Root };
                    let known = Known { owners, recorded: Recorded::default(), made: None };
                    pack_from(Base::Host, source.as_os_str().as_bytes(), options, known, writer)
                }
                _ => stream_in(writer, stdin),
            };
            both(packed, taker.finish())
        }
        _ => {
            let failure = Failure::new("E_CONFIG", "copying: neither of the two is in a container");
            Err(failure.with_hint("CONTAINER:PATH is a path in a container"))
        }
    }
}

/// The outcome of both sides: where one of them failed because the other did, the other's failure is the one to tell.
fn both(packed: Result<Vec<String>, Failure>, unpacked: Result<Vec<String>, Failure>) -> Result<Vec<String>, Failure> {
    match (packed, unpacked) {
        (Ok(packed), Ok(unpacked)) => Ok([packed, unpacked].concat()),
        (Err(failure), Err(other)) => Err(if is_consequence(&failure) { other } else { failure }),
        (Err(failure), _) | (_, Err(failure)) => Err(failure),
    }
}

/// Whether it says no more than that the other side has gone.
fn is_consequence(failure: &Failure) -> bool {
    matches!(failure.code(), "E_PIPE" | "E_HELPER_DIED")
}

fn on_host(options: Options) -> unpack::Settings {
    let owners = if options.archive { unpack::Owners::Given } else { unpack::Owners::Ours };
    unpack::Settings { owners, overwrite: options.overwrite, xattrs: options.archive }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Failure> {
    let (reader, writer) = io::pipe().map_err(|cause| visit::internal("making a pipe", cause))?;
    Ok((reader.into(), writer.into()))
}

fn told<T: DeserializeOwned>(report: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(report).map_err(|cause| visit::internal("hearing of the copy", cause))
}

fn report(of: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(of).map_err(|cause| visit::internal("telling of the copy", cause))
}

/// The plan that enters the container where it runs, else nothing.
fn running(container: &Listed) -> Option<LaunchPlan> {
    match &container.status {
        Status::Running(processes) | Status::Initialized(processes) => visit::join(processes),
        _ => None,
    }
}

fn visit_to_pack(
    store: &Store,
    container: &Listed,
    path: &[u8],
    options: Options,
    writer: OwnedFd,
) -> Result<Visitor, Failure> {
    let record = &container.record;
    let (ids, recorded) = (Ids::of(record)?, Recorded::of_container(store, record)?);
    let (mut plan, held) = match running(container) {
        Some(plan) => (plan, None),
        None => {
            let trees = Trees::of_container(store, record)?;
            let needed = options.archive && ids.need_layers(&recorded) && trees.has_upper();
            let held = if needed { Held::Layers } else { Held::Nothing };
            (trees.plan_with_mounts(store.layout(), Use::ToRead, held)?, Some(held))
        }
    };
    visit::start(&mut plan, writer.as_fd(), |inside, data| {
        let owners = match held {
            _ if !options.archive => pack::Owners::Root,
            Some(_) => ids.owners(),
            None => ids.owners_from_inside(),
        };
        let made = if held == Some(Held::Layers) { ids.made(&inside)? } else { None };
        let out = io::BufWriter::with_capacity(64 << 10, data);
        let known = Known { owners, recorded, made };
        report(&pack_from(Base::Root(inside.root.as_fd()), path, options, known, out)?)
    })
}

/// A visitor that unpacks, and what has to be held and done for it.
struct Taker<'a> {
    visitor: Visitor,
    store: &'a Store,
    record: &'a ContainerRecord,
    owned: Option<Owned>,
}

impl Taker<'_> {
    /// Waits for its end, and writes down what the files cannot say.
    fn finish(self) -> Result<Vec<String>, Failure> {
        let result = self.visitor.finish();
        if let Some(owned) = &self.owned {
            remove::tidy_work(self.store.layout(), &owned.id);
        }
        let Unpacked { warnings, owners } = told(&result?)?;
        let mut journals: BTreeMap<PathBuf, String> = BTreeMap::new();
        for (path, line) in owners {
            journals.entry(journal_of(self.store, self.record, path.as_bytes())).or_default().push_str(&line);
        }
        for (path, lines) in journals {
            recorded::append(&path, &lines)?;
        }
        Ok(warnings)
    }
}

/// The journal of owners in which a file at `path` belongs: that of the volume that is mounted there, else the container's.
fn journal_of(store: &Store, record: &ContainerRecord, path: &[u8]) -> PathBuf {
    let parts = |path: &[u8]| -> Vec<Vec<u8>> {
        path.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect()
    };
    let path = parts(path);
    let above = record.mounts.iter().filter(|mount| path.starts_with(&parts(mount.destination.as_bytes())));
    let nearest = above.max_by_key(|mount| parts(mount.destination.as_bytes()).len());
    match nearest.and_then(|mount| mount.volume.as_ref()) {
        Some(volume) => store.layout().volume_owners(volume),
        None => store.layout().container_owners(&record.id),
    }
}

/// How long a container whose process has ended may have a monitor, and how often that is looked at.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(2);

/// The way into a container to write there, and what has to be held meanwhile. Of one that does not run that is its lock:
/// nobody starts it, for two writable overlays of the same directories would spoil them.
fn way_in(store: &Store, container: &Listed) -> Result<(LaunchPlan, Option<Owned>), Failure> {
    let id = &container.record.id;
    let gone = || Failure::from(NotFound::Unknown(container.record.name.to_string()));
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Owned::take_idle(store.layout(), id)? {
            Taken::Owned(owned) => {
                let trees = Trees::of_container(store, &container.record)?;
                return Ok((trees.plan_with_mounts(store.layout(), Use::ToWrite, Held::Nothing)?, Some(owned)));
            }
            Taken::Served => {
                let now = list::load(store.layout(), id)?.ok_or_else(gone)?;
                match running(&now) {
                    Some(plan) => return Ok((plan, None)),
                    None if matches!(now.status, Status::Restarting(_)) || Instant::now() > deadline => {
                        let what =
                            format!("copying into container {}: it is just being started or stopped", id.short());
                        return Err(Failure::new("E_BUSY", what).with_hint("try it again"));
                    }
                    // Its process has ended: its monitor is about to say so.
                    None => std::thread::sleep(PAUSE),
                }
            }
            Taken::Gone => return Err(gone()),
        }
    }
}

fn visit_to_unpack<'a>(
    store: &'a Store,
    container: &'a Listed,
    path: &[u8],
    options: Options,
    reader: OwnedFd,
) -> Result<Taker<'a>, Failure> {
    let (mut plan, owned) = way_in(store, container)?;
    let record = &container.record;
    let all = (!options.archive).then_some(record.process.ids);
    let owners = unpack::Owners::Inside { all, unrecorded: Ids::of(record)?.unrecorded() };
    let visitor = visit::start(&mut plan, reader.as_fd(), |inside, data| {
        let mut data = io::BufReader::new(data);
        let facts = read_facts(&mut data)?;
        let settings = unpack::Settings { owners, overwrite: options.overwrite, xattrs: true };
        report(&unpack_inside(&inside, path, &facts, settings, data)?)
    })?;
    Ok(Taker { visitor, store, record, owned })
}

fn unpack_inside(
    inside: &Inside,
    path: &[u8],
    facts: &Facts,
    settings: unpack::Settings,
    data: impl Read,
) -> Result<Unpacked, Failure> {
    unpack_at(Base::Root(inside.root.as_fd()), path, facts, settings, data)
}

/// Most that the facts can be: a name.
const MAX_FACTS: usize = 1 << 16;

fn write_facts(to: &mut impl Write, facts: &Facts) -> Result<(), Failure> {
    let mut line = serde_json::to_vec(facts).map_err(|cause| visit::internal("telling what is copied", cause))?;
    line.push(b'\n');
    to.write_all(&line).map_err(pack::writing)
}

fn read_facts(from: &mut impl BufRead) -> Result<Facts, Failure> {
    let mut line = Vec::new();
    let read = from.take(MAX_FACTS as u64).read_until(b'\n', &mut line);
    read.map_err(|cause| visit::internal("hearing what is copied", cause))?;
    serde_json::from_slice(&line).map_err(|_| Failure::new("E_PIPE", "copying: the source could not be read"))
}

/// How the owners of what is packed are known.
struct Known {
    owners: pack::Owners,
    recorded: Recorded,
    made: Option<Made>,
}

/// Packs what is at `path`.
fn pack_from(
    base: Base<'_>,
    path: &[u8],
    options: Options,
    known: Known,
    mut out: impl Write,
) -> Result<Vec<String>, Failure> {
    let asked = Asked::parse(path);
    let failed = |errno| base.failed("copying", &asked.path, errno);
    let (parent, name) = asked.split();
    let parent = base.open(&parent, OFlag::O_PATH | OFlag::O_DIRECTORY).map_err(failed)?;
    let stat = if name.is_empty() { fstat(&parent) } else { fstatat(&parent, &name[..], AtFlags::AT_SYMLINK_NOFOLLOW) };
    let mut kind = type_of(&stat.map_err(failed)?);
    let mut followed = None;
    if name.is_empty() || (kind == libc::S_IFLNK && (options.follow || asked.directory)) {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let target = base.open(&asked.path, flags).map_err(failed)?;
        kind = type_of(&fstat(&target).map_err(failed)?);
        followed = Some(target);
    }
    if asked.directory && kind != libc::S_IFDIR {
        return Err(failed(Errno::ENOTDIR));
    }
    let directory = kind == libc::S_IFDIR;
    let facts = Facts { contents: asked.contents || name.is_empty(), directory, name };
    write_facts(&mut out, &facts)?;
    let Known { owners, recorded, made } = known;
    let settings = pack::Settings { owners, recorded, made, one_mount: false, xattrs: true };
    let mut packer = Packer::new(out, settings);
    let inside: Vec<u8> = asked.path.iter().copied().skip_while(|&byte| byte == b'/').collect();
    match followed {
        Some(target) if directory => {
            packer.directory(&target, &facts.name, &inside)?;
            packer.contents(target.as_fd(), &facts.name, &inside)?;
        }
        Some(target) => packer.open_file(target, &facts.name, &inside)?,
        None => {
            let name = CString::new(&facts.name[..]).map_err(|_| failed(Errno::EINVAL))?;
            packer.tree(parent.as_fd(), &name, &facts.name, &inside)?;
        }
    }
    packer.finish()
}

/// Where the copy goes.
struct Target {
    /// The directory, as a path.
    directory: Vec<u8>,
    /// The name in it; empty where its contents are meant.
    name: Vec<u8>,
}

/// docker's rules: what is there decides whether a name is a new one's or that of a directory to copy into.
fn target(base: Base<'_>, asked: &Asked, facts: &Facts, overwrite: bool) -> Result<Target, Failure> {
    let failed = |errno| base.failed("copying to", &asked.path, errno);
    let existing = match base.open(&asked.path, OFlag::O_PATH) {
        Ok(existing) => Some(fstat(&existing).map_err(failed)?),
        Err(Errno::ENOENT) => None,
        Err(errno) => return Err(failed(errno)),
    };
    let (parent, name) = asked.split();
    match existing.as_ref().map(type_of) {
        Some(libc::S_IFDIR) => {
            let name = if facts.directory && facts.contents { Vec::new() } else { facts.name.clone() };
            Ok(Target { directory: asked.path.clone(), name })
        }
        Some(_) if asked.directory => Err(failed(Errno::ENOTDIR)),
        Some(_) if facts.directory && !overwrite => {
            let shown = String::from_utf8_lossy(&asked.path);
            let failure =
                Failure::new("E_EXISTS", format!("copying a directory to {shown}: what is there is no directory"));
            Err(failure.with_hint("--overwrite puts the one in the place of the other"))
        }
        None if facts.name.is_empty() && facts.contents && !facts.directory => Err(failed(Errno::ENOENT)),
        None if asked.directory && !facts.directory => {
            let failure = failed(Errno::ENOENT);
            Err(failure
                .with_hint("a name that ends in a slash means a directory: make it first, or leave the slash out"))
        }
        _ => {
            // Whatever is wrong with the parent is told now, and not made.
            let above = base.open(&parent, OFlag::O_PATH | OFlag::O_DIRECTORY);
            above.map_err(|errno| base.failed("copying into", &parent, errno))?;
            Ok(Target { directory: parent, name })
        }
    }
}

/// Unpacks at `path`.
fn unpack_at(
    base: Base<'_>,
    path: &[u8],
    facts: &Facts,
    settings: unpack::Settings,
    data: impl Read,
) -> Result<Unpacked, Failure> {
    let asked = Asked::parse(path);
    let mut entries = Entries::new(data, &Limits { bytes: u64::MAX, entries: u64::MAX });
    if !facts.directory && !facts.contents && is_written_through(base, &asked) {
        return write_through(base, &asked, &mut entries);
    }
    let target = target(base, &asked, facts, settings.overwrite)?;
    let strip = usize::from(!facts.name.is_empty());
    match base {
        Base::Root(root) => {
            let prefix: Vec<u8> = target.directory.iter().copied().skip_while(|&byte| byte == b'/').collect();
            let prefix = if prefix == b"." { Vec::new() } else { prefix };
            let to = Destination { root, shown: prefix.clone(), prefix, resolve: Resolve::InRoot };
            unpack::unpack(to, &mut entries, (strip, &target.name), settings)
        }
        Base::Host => {
            let directory = base.open(&target.directory, OFlag::O_PATH | OFlag::O_DIRECTORY);
            let directory = directory.map_err(|errno| base.failed("copying into", &target.directory, errno))?;
            let shown = std::path::absolute(std::ffi::OsStr::from_bytes(&target.directory)).unwrap_or_default();
            let shown = shown.as_os_str().as_bytes().iter().copied().skip_while(|&byte| byte == b'/').collect();
            // What comes out of a container chooses its names: links below the destination are not followed.
            let to = Destination { root: directory.as_fd(), prefix: Vec::new(), resolve: Resolve::NoSymlinks, shown };
            unpack::unpack(to, &mut entries, (strip, &target.name), settings)
        }
    }
}

/// Whether the destination is a link to a file, or a device or pipe: then it is written, and not replaced.
fn is_written_through(base: Base<'_>, asked: &Asked) -> bool {
    let (parent, name) = asked.split();
    if name.is_empty() || asked.directory {
        return false;
    }
    let Ok(parent) = base.open(&parent, OFlag::O_PATH | OFlag::O_DIRECTORY) else { return false };
    let own = fstatat(&parent, &name[..], AtFlags::AT_SYMLINK_NOFOLLOW).map(|stat| type_of(&stat));
    let meant = base.open(&asked.path, OFlag::O_PATH).and_then(|meant| fstat(&meant)).map(|stat| type_of(&stat));
    match (own, meant) {
        (Ok(libc::S_IFLNK), Ok(meant)) => meant != libc::S_IFDIR,
        (Ok(own), _) => matches!(own, libc::S_IFCHR | libc::S_IFIFO),
        _ => false,
    }
}

fn write_through(base: Base<'_>, asked: &Asked, entries: &mut Entries<impl Read>) -> Result<Unpacked, Failure> {
    let failed = |errno| base.failed("writing", &asked.path, errno);
    let flags = OFlag::O_WRONLY | OFlag::O_TRUNC | OFlag::O_NOCTTY;
    let file = base.open(&asked.path, flags).map_err(failed)?;
    while let Some(entry) = entries.next()? {
        if entry.kind != Kind::File {
            let failure = Failure::new(
                "E_EXISTS",
                format!("writing {}: what is copied is no regular file", String::from_utf8_lossy(&asked.path)),
            );
            return Err(failure);
        }
        let copy = file.try_clone().map_err(|cause| visit::internal("writing the file", cause))?;
        unpack::write_contents(&mut std::fs::File::from(copy), &entry, entries, failed)?;
    }
    Ok(Unpacked::default())
}

/// A tar of the user's: into the container as it is.
fn stream_in(mut out: impl Write, stdin: Input<'_>) -> Result<Vec<String>, Failure> {
    write_facts(&mut out, &Facts { name: Vec::new(), directory: true, contents: true })?;
    stdin(&mut out)?;
    out.flush().map_err(pack::writing)?;
    Ok(Vec::new())
}

fn pass_on(from: &mut impl Read, stdout: &mut dyn Write) -> Result<Unpacked, Failure> {
    io::copy(from, stdout).and_then(|_| stdout.flush()).map_err(pack::writing)?;
    Ok(Unpacked::default())
}
