//! Images into files and directories of the user's, in such a way that what has its name is complete.

mod copy;
mod lists;
mod place;
mod tar_file;
mod tree;

use std::fs::File;
use std::path::Path;

use serde_json::{Value, json};

use super::{directory, docker, layout};
use crate::failure::Failure;
use crate::image::destination::{Destination, Rank};
use crate::image::pack::Packed;
use crate::name::image_location::ArchiveFormat;
use crate::state::record::failure;
use crate::state::schema::image::BlobDescriptor;
use copy::Interruption;
use lists::Naming;
use place::Unfinished;
use tar_file::TarFile;
use tree::Tree;

/// An archive or a directory being written.
#[derive(Debug)]
pub struct Writer {
    format: ArchiveFormat,
    sink: Sink,
    /// Absent for what is written where it is to be.
    unfinished: Option<Unfinished>,
    interruption: Interruption,
}

#[derive(Debug)]
enum Sink {
    Tar(TarFile),
    Tree(Tree),
}

impl Writer {
    /// Begins what is to be at `path`. Until the writer is dropped, signals that would end the process are answered between
    /// two pieces of a blob only.
    pub fn create(format: ArchiveFormat, path: &Path) -> Result<Self, Failure> {
        let existing = std::fs::metadata(path).ok();
        let is_directory = existing.as_ref().is_some_and(std::fs::Metadata::is_dir);
        let is_tar = matches!(format, ArchiveFormat::OciArchive | ArchiveFormat::DockerArchive);
        if is_tar && existing.is_some_and(|existing| !existing.is_file() && !existing.is_dir()) {
            // A device or a named pipe has its name already.
            return Self::to_stream(format, open(path)?);
        }
        if format == ArchiveFormat::OciLayout && is_directory && path.join(layout::INDEX).is_file() {
            let sink = Sink::Tree(Tree::existing(path)?);
            return Ok(Self { format, sink, unfinished: None, interruption: Interruption::watched()? });
        }
        refuse_others(format, path, is_directory)?;
        let interruption = Interruption::watched()?;
        let (unfinished, sink) = if is_tar {
            let (unfinished, file) = Unfinished::file(path)?;
            (unfinished, Sink::Tar(TarFile::new(file)?))
        } else {
            let (unfinished, made) = Unfinished::directory(path)?;
            (unfinished, Sink::Tree(Tree::new(&made)?))
        };
        Ok(Self { format, sink, unfinished: Some(unfinished), interruption })
    }

    /// Begins an archive that goes to a pipe, or to what else the caller has open.
    pub fn to_stream(format: ArchiveFormat, stream: File) -> Result<Self, Failure> {
        let sink = Sink::Tar(TarFile::new(stream)?);
        Ok(Self { format, sink, unfinished: None, interruption: Interruption::deadly() })
    }

    /// After the last document: writes down which images these were, under the name `word` where there is one instead of
    /// their own, and gives it all its name.
    pub fn finish(self, images: Vec<Packed>, word: Option<&str>) -> Result<(), Failure> {
        let named: Vec<_> = images
            .into_iter()
            .map(|image| {
                let names = lists::names(&image, word);
                (image, names)
            })
            .collect();
        // What is named is there, even after a power cut.
        self.sync_tree()?;
        match self.format {
            ArchiveFormat::Directory => self.put(directory::MARK, directory::VERSION.as_bytes())?,
            format => {
                let naming = if format == ArchiveFormat::DockerArchive { Naming::Docker } else { Naming::Oci };
                let mut index = match &self.sink {
                    Sink::Tree(tree) => tree.read(layout::INDEX)?.map(|bytes| lists::existing_index(&bytes)),
                    Sink::Tar(_) => None,
                }
                .unwrap_or_else(|| Ok(lists::empty_index()))?;
                named.iter().for_each(|(image, names)| lists::add(&mut index, &image.top, names, naming));
                self.put_json(layout::INDEX, &index)?;
                if format == ArchiveFormat::DockerArchive {
                    self.put_json(docker::LIST, &lists::docker_list(&named))?;
                }
                self.put_json(layout::MARK, &json!({ "imageLayoutVersion": layout::VERSION }))?;
            }
        }
        self.interruption.check()?;
        self.sync_tree()?;
        if let Sink::Tar(tar) = &self.sink {
            tar.finish(self.unfinished.is_some())?;
        }
        self.unfinished.map_or(Ok(()), Unfinished::publish)
    }

    fn sync_tree(&self) -> Result<(), Failure> {
        match &self.sink {
            Sink::Tar(_) => Ok(()),
            Sink::Tree(tree) => tree.sync(),
        }
    }

    fn put_json(&self, name: &str, value: &Value) -> Result<(), Failure> {
        self.put(name, value.to_string().as_bytes())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        match &self.sink {
            Sink::Tar(tar) => tar.put(name, bytes),
            Sink::Tree(tree) => tree.put(name, bytes),
        }
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    File::options().write(true).open(path).map_err(|cause| failure(&format!("opening {}", path.display()), &cause))
}

/// Refuses to replace what is something else.
fn refuse_others(format: ArchiveFormat, path: &Path, is_directory: bool) -> Result<(), Failure> {
    let is_tar = matches!(format, ArchiveFormat::OciArchive | ArchiveFormat::DockerArchive);
    let is_empty = || std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    let is_one = || format == ArchiveFormat::Directory && path.join(directory::MARK).is_file();
    let (what, hint) = match (is_tar, is_directory) {
        (true, true) => ("it is a directory", "name a file, or choose oci-dir or docker-dir"),
        (false, true) if !is_empty() && !is_one() => {
            ("there is something else in it", "name an empty directory, or one that does not exist")
        }
        (false, false) if path.exists() => ("it is not a directory", "name a directory, or choose an archive"),
        _ => return Ok(()),
    };
    let failure = Failure::new("E_ARCHIVE", format!("writing images to {}: {what}", path.display()));
    Err(failure.with_hint(hint))
}

impl Destination for Writer {
    fn at_once(&self) -> usize {
        match self.sink {
            Sink::Tar(_) => 1,
            Sink::Tree(_) => 4,
        }
    }

    fn has_blob(&self, blob: &BlobDescriptor) -> Result<bool, Failure> {
        match &self.sink {
            Sink::Tar(_) => Ok(false),
            Sink::Tree(tree) => tree.has(&self.blob_name(blob), blob.size),
        }
    }

    fn put_blob(&self, blob: &BlobDescriptor, content: File, moved: &dyn Fn(u64)) -> Result<(), Failure> {
        let name = self.blob_name(blob);
        let copy = |to: &File| copy::copy(blob, &content, to, moved, &self.interruption);
        match &self.sink {
            Sink::Tar(tar) => tar.put_with(&name, blob.size, copy),
            Sink::Tree(tree) => tree.put_with(&name, copy),
        }
    }

    fn put_document(&self, document: &BlobDescriptor, bytes: &[u8], rank: Rank) -> Result<(), Failure> {
        let name = match (self.format, rank) {
            (ArchiveFormat::Directory, Rank::Top) => directory::TOP.to_owned(),
            (ArchiveFormat::Directory, Rank::Member) => directory::document(&document.digest),
            _ => layout::blob(&document.digest),
        };
        self.put(&name, bytes)
    }
}

impl Writer {
    fn blob_name(&self, blob: &BlobDescriptor) -> String {
        match self.format {
            ArchiveFormat::Directory => directory::blob(&blob.digest),
            _ => layout::blob(&blob.digest),
        }
    }
}
