//! Images in files and directories of the user's: OCI layouts, `dir:`, and tars of layouts and of docker's.
//!
//! Reading: an [`Archive`] is opened, its members are listed, and each is a [`Source`](crate::image::source::Source).

mod directory;
mod docker;
mod error;
mod files;
mod input;
mod layout;
mod source;
mod tar_index;
mod writing;

use std::fs::File;
use std::path::Path;

pub use error::{ArchiveError, ReadError};
pub use source::ArchiveSource;
pub use writing::Writer;

use crate::image::fetch::FetchCause;
use crate::name::image_location::Member;
use crate::name::reference::Reference;
use crate::oci::digest::Digest;
use crate::oci::manifest::{Descriptor, Document, Fetched, Index, MAX_DOCUMENT};
use crate::oci::media_type;
use crate::oci::platform::Platform;
use crate::registry;
use crate::store::Store;
use files::Files;
use source::Place;

/// An archive that is open.
#[derive(Debug)]
pub struct Archive {
    origin: String,
    files: Files,
    images: Vec<Image>,
}

/// One image of an archive.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its names, as the archive has them.
    names: Vec<String>,
    /// What they are references to; those that are none are left out.
    references: Vec<Reference>,
    content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    /// One document, or one for each of several platforms.
    Described(Vec<Descriptor>),
    Docker(docker::Item),
    Directory,
}

impl Image {
    /// The references that the archive has for it.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    fn shown(&self, position: usize) -> String {
        let names: Vec<String> = self.names.iter().map(|name| name.chars().take(300).collect()).collect();
        if names.is_empty() { format!("@{position}") } else { names.join(", ") }
    }

    fn is_named(&self, wanted: &str) -> bool {
        let reference = wanted.parse::<Reference>().ok();
        self.names.iter().any(|name| name == wanted)
            || reference.is_some_and(|reference| self.references.contains(&reference))
    }
}

impl Archive {
    /// The archive, or the directory, at `path`.
    pub fn open(store: &Store, path: &Path) -> Result<Self, ReadError> {
        Self::of_files(path.display().to_string(), input::at_path(store, path))
    }

    /// The archive that `stream` gives; messages call it `origin`.
    pub fn read(store: &Store, stream: File, origin: &str) -> Result<Self, ReadError> {
        Self::of_files(origin.to_owned(), input::of_file(store, stream))
    }

    fn of_files(origin: String, files: Result<Files, FetchCause>) -> Result<Self, ReadError> {
        let listed = files.and_then(|files| Ok((list(&files)?, files)));
        match listed {
            Ok((images, files)) => Ok(Self { origin, files, images }),
            Err(cause) => Err(ReadError { origin, cause: Box::new(cause) }),
        }
    }

    /// `cause`, with the archive in which it is.
    pub fn failed(&self, cause: impl Into<FetchCause>) -> ReadError {
        ReadError { origin: self.origin.clone(), cause: Box::new(cause.into()) }
    }

    /// What the archive has.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// The image that is meant; without a word, all that there are.
    pub fn select(&self, member: Option<&Member>) -> Result<Vec<&Image>, ArchiveError> {
        let found = match member {
            None => return Ok(self.images.iter().collect()),
            Some(Member::Position(position)) => self.images.get(*position),
            Some(Member::Name(name)) => self.images.iter().find(|image| image.is_named(name)),
        };
        found.map(|image| vec![image]).ok_or_else(|| ArchiveError::NoSuchImage {
            wanted: match member {
                Some(Member::Position(position)) => format!("@{position}"),
                Some(Member::Name(name)) => name.clone(),
                None => String::new(),
            },
            available: self.shown(),
        })
    }

    /// The only image that is meant.
    pub fn select_one(&self, member: Option<&Member>) -> Result<&Image, ArchiveError> {
        match self.select(member)?[..] {
            [image] => Ok(image),
            _ => Err(ArchiveError::Several(self.shown())),
        }
    }

    fn shown(&self) -> Vec<String> {
        self.images.iter().enumerate().map(|(position, image)| image.shown(position)).collect()
    }

    /// One of the images, for `platform` where it has several; the host's where absent.
    pub fn source(&self, image: &Image, platform: Option<&Platform>) -> Result<ArchiveSource<'_>, FetchCause> {
        let files = &self.files;
        Ok(match &image.content {
            Content::Described(descriptors) => {
                let wanted = platform.cloned().unwrap_or_else(Platform::host);
                let index = Index { media_type: media_type::OCI_INDEX.into(), manifests: descriptors.clone() };
                let descriptor = match &index.manifests[..] {
                    [only] => only,
                    _ => registry::select(&index, &wanted)?,
                };
                let top = source::document(files, layout::blob(&descriptor.digest), descriptor)?;
                ArchiveSource { files, top, place: Place::Layout }
            }
            Content::Docker(item) => {
                let (top, names) = docker::describe(files, item)?;
                ArchiveSource { files, top, place: Place::Listed(names) }
            }
            Content::Directory => ArchiveSource { files, top: top_of_directory(files)?, place: Place::Directory },
        })
    }
}

/// What an archive is is found out by its files. A layout comes first: it knows more than the list that docker puts
/// beside it.
fn list(files: &Files) -> Result<Vec<Image>, ArchiveError> {
    let has = |name: &str| Ok::<_, ArchiveError>(files.find(name)?.is_some());
    let images = if has(layout::MARK)? && has(layout::INDEX)? {
        of_layout(layout::list(files)?)
    } else if matches!(files, Files::Directory(_)) && has(directory::MARK)? && has(directory::TOP)? {
        vec![Image { names: Vec::new(), references: Vec::new(), content: Content::Directory }]
    } else if has(docker::LIST)? {
        docker::list(files)?.into_iter().map(of_item).collect()
    } else {
        return Err(ArchiveError::Unknown);
    };
    if images.is_empty() { Err(ArchiveError::Empty) } else { Ok(images) }
}

fn top_of_directory(files: &Files) -> Result<Fetched, ArchiveError> {
    let bytes = files.get(directory::TOP)?.read(MAX_DOCUMENT)?;
    let document = Document::parse(&bytes, media_type::presumed(&bytes).as_deref())
        .map_err(|cause| ArchiveError::Document { name: directory::TOP.into(), cause })?;
    Ok(Fetched { digest: Digest::of(&bytes), bytes, document })
}

/// Docker completes a name without a registry with its own.
fn of_item(item: docker::Item) -> Image {
    let names = item.names();
    let references = names.iter().filter_map(|name| name.parse().ok()).collect();
    Image { names, references, content: Content::Docker(item) }
}

/// One image for each name; names of the same image, and platforms of the same name, belong together.
fn of_layout(listed: Vec<layout::Listed>) -> Vec<Image> {
    let mut images: Vec<Image> = Vec::new();
    let platforms = listed.iter().filter(|entry| entry.descriptor.platform.is_some()).count();
    let is_index = platforms > 1 && platforms == listed.len();
    for entry in listed {
        let (names, reference) = named(&entry);
        let content = Content::Described(vec![entry.descriptor.clone()]);
        let platform_of = |image: &Image| image.names == names && (!names.is_empty() || is_index);
        if let Some(same) = images.iter_mut().find(|image| image.content == content) {
            same.names.extend(names);
            same.references.extend(reference);
        } else if let Some(Image { content: Content::Described(all), .. }) =
            images.iter_mut().find(|image| platform_of(image))
        {
            all.push(entry.descriptor);
        } else {
            images.push(Image { names, references: reference.into_iter().collect(), content });
        }
    }
    images
}

/// The names in the annotations, and what they mean. A name without a registry that is not docker's own is a local one.
fn named(entry: &layout::Listed) -> (Vec<String>, Option<Reference>) {
    let parsed = |text: &str| text.parse::<Reference>().ok();
    let local = |reference: Reference| if reference.is_short() { reference.in_localhost() } else { reference };
    let (whole, tag) = (entry.annotation(layout::CONTAINERD_NAME), entry.annotation(layout::REF_NAME));
    let reference = whole.map_or_else(|| tag.and_then(parsed).map(local), parsed);
    let mut names: Vec<String> = whole.into_iter().chain(tag).map(str::to_owned).collect();
    names.dedup();
    (names, reference)
}
