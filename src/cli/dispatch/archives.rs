//! Images in files and directories of the user's.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;

use super::super::save::SaveRequest;
use super::{registry_access, reporter, reporters, say_waiting};
use crate::failure::Failure;
use crate::image;
use crate::image::archive::{Archive, Writer};
use crate::image::load::{self, Loaded};
use crate::image::parallel;
use crate::image::request::{Progress, PullRequest};
use crate::image::save::{self, Content, Saved};
use crate::image::scp::Remote;
use crate::name::image_location::{ArchiveFormat, ArchiveLocation, ImageLocation, Member};
use crate::name::image_selector::ImageSelector;
use crate::name::reference::Reference;
use crate::name::remote_image::Machine;
use crate::oci::digest::ImageId;
use crate::oci::platform::Platform;
use crate::state::layout::Layout;
use crate::state::record::failure;
use crate::store::images::ResolvedImage;
use crate::store::{Store, StoreError};

/// Loads all images of the archive at `path`, or on standard input: what became of each.
pub fn load(
    layout: &Layout,
    path: Option<&Path>,
    platform: Option<&Platform>,
    progress: Progress,
) -> Result<Vec<Result<Loaded, Failure>>, Failure> {
    let store = Store::open(layout.clone())?;
    let archive = match path {
        Some(path) => Archive::open(&store, path)?,
        None => Archive::read(&store, standard(io::stdin())?, "standard input")?,
    };
    load_from(&store, &archive, None, platform, &*reporter(progress))
}

/// Images fetched at once.
const AT_ONCE: usize = 3;

/// Fetches what the locations mean, several at once; for each, in their order, the ids of the images.
pub fn pull_all(
    layout: &Layout,
    request: &PullRequest,
    locations: &[ImageLocation],
) -> Vec<Result<Vec<ImageId>, Failure>> {
    let work: Vec<_> = locations.iter().zip(reporters(request.progress, locations.len())).collect();
    parallel::all(&work, AT_ONCE, |(location, progress)| pull_from(layout, request, location, &**progress))
}

fn pull_from(
    layout: &Layout,
    request: &PullRequest,
    location: &ImageLocation,
    progress: &dyn image::progress::Progress,
) -> Result<Vec<ImageId>, Failure> {
    let store = Store::open(layout.clone())?;
    match location {
        ImageLocation::Registry(reference) => {
            let wanted = image::pull::Request {
                reference: reference.clone(),
                platform: request.platform.clone(),
                policy: request.policy,
                access: registry_access(request.access.clone()),
            };
            Ok(vec![image::pull::execute(&store, &wanted, progress)?.image])
        }
        ImageLocation::Store(selector) => Ok(vec![stored(&store, selector)?.record.id]),
        ImageLocation::Archive(location) => {
            let archive = Archive::open(&store, &location.path)?;
            let loaded = load_from(&store, &archive, location.member.as_ref(), request.platform.as_ref(), progress)?;
            loaded.into_iter().map(|outcome| outcome.map(|loaded| loaded.image)).collect()
        }
    }
}

pub(super) fn stored(store: &Store, selector: &ImageSelector) -> Result<ResolvedImage, Failure> {
    let image = store.images().resolve(selector)?;
    Ok(image.ok_or_else(|| StoreError::NoImage(selector.to_string()))?)
}

/// A standard stream, without the buffer that the library has for it.
fn standard(stream: impl AsFd) -> Result<File, Failure> {
    let owned = stream.as_fd().try_clone_to_owned();
    owned.map(File::from).map_err(|cause| failure("opening a standard stream again", &cause))
}

/// Loads the one image that `location` means.
pub(super) fn load_one(
    store: &Store,
    location: &ArchiveLocation,
    platform: Option<&Platform>,
    progress: Progress,
) -> Result<ResolvedImage, Failure> {
    let archive = Archive::open(store, &location.path)?;
    let image = archive.select_one(location.member.as_ref()).map_err(|cause| archive.failed(cause))?;
    let loaded = load::execute(store, &archive, image, platform, &*reporter(progress))?;
    let record = store.images().get(&loaded.image)?.ok_or_else(|| StoreError::NoImage(loaded.image.to_string()))?;
    Ok(ResolvedImage { record, reference: loaded.references.into_iter().next() })
}

fn load_from(
    store: &Store,
    archive: &Archive,
    member: Option<&Member>,
    platform: Option<&Platform>,
    progress: &dyn image::progress::Progress,
) -> Result<Vec<Result<Loaded, Failure>>, Failure> {
    let _stays = store.lock_shared(&mut say_waiting)?;
    let images = archive.select(member).map_err(|cause| archive.failed(cause))?;
    let load = |image| load::execute(store, archive, image, platform, progress).map_err(Failure::from);
    Ok(images.into_iter().map(load).collect())
}

/// Saves images.
pub fn save(layout: &Layout, request: SaveRequest) -> Result<(), Failure> {
    let store = Store::open(layout.clone())?;
    let _stays = store.lock_shared(&mut say_waiting)?;
    let images = find_saved(&store, &request)?;
    if request.format == ArchiveFormat::Directory && images.len() > 1 {
        let failure = Failure::new("E_CONFIG", "saving several images: a docker-dir holds one");
        return Err(failure.with_hint("--format docker-archive, oci-archive and oci-dir hold several"));
    }
    let writer = match &request.output {
        Some(path) => Writer::create(request.format, path)?,
        None => Writer::to_stream(request.format, standard(io::stdout())?)?,
    };
    save::execute(&store, &images, request.content, None, writer, &*reporter(request.progress)).map(drop)
}

/// The images that are to be saved. A name that no image has is one more name of the first, unless all are images.
fn find_saved(store: &Store, request: &SaveRequest) -> Result<Vec<Saved>, Failure> {
    let mut images: Vec<Saved> = Vec::new();
    for text in &request.images {
        let selector: ImageSelector = text.parse()?;
        match (store.images().resolve(&selector)?, selector, images.first_mut()) {
            (Some(image), ..) => images.push(Saved::under_own_name(image)),
            (None, ImageSelector::Reference(name, _), Some(first)) if !request.all_images => {
                first.names.push(local(name))
            }
            _ => return Err(StoreError::NoImage(text.clone()).into()),
        }
    }
    Ok(images)
}

fn local(name: Reference) -> Reference {
    if name.is_short() { name.in_localhost() } else { name }
}

/// Loads an image of the store on another machine.
pub fn send_image(
    layout: &Layout,
    ssh: &Path,
    image: &ImageSelector,
    machine: &Machine,
    progress: Progress,
) -> Result<(), Failure> {
    let store = Store::open(layout.clone())?;
    let _stays = store.lock_shared(&mut say_waiting)?;
    let saved = Saved::under_own_name(stored(&store, image)?);
    let (reader, writer) = io::pipe().map_err(|cause| failure("making a pipe", &cause))?;
    let remote = Remote::load(ssh, machine, reader.into())?;
    let format = ArchiveFormat::DockerArchive;
    let writer = Writer::to_stream(format, File::from(OwnedFd::from(writer)));
    let sent = writer
        .and_then(|writer| save::execute(&store, &[saved], Content::EVERYTHING, None, writer, &*reporter(progress)));
    // Whoever does not read any more knows better why.
    remote.finish().and(sent).map(drop)
}

/// Loads an image of another machine's store here.
pub fn receive_image(
    layout: &Layout,
    ssh: &Path,
    machine: &Machine,
    image: &ImageSelector,
    progress: Progress,
) -> Result<Vec<Result<Loaded, Failure>>, Failure> {
    let store = Store::open(layout.clone())?;
    let mut remote = Remote::save(ssh, machine, image)?;
    let stream = remote.child().stdout.take().map(|stream| File::from(OwnedFd::from(stream)));
    let archive = stream.map(|stream| Archive::read(&store, stream, &machine.to_string()));
    remote.finish()?;
    match archive {
        Some(archive) => load_from(&store, &archive?, None, None, &*reporter(progress)),
        None => Ok(Vec::new()),
    }
}

/// Loads an image of one machine on another; nothing of it is kept here.
pub fn forward_image(ssh: &Path, (from, to): (&Machine, &Machine), image: &ImageSelector) -> Result<(), Failure> {
    let mut source = Remote::save(ssh, from, image)?;
    let stream = source.child().stdout.take();
    let destination = Remote::load(ssh, to, stream.map_or_else(Stdio::null, Stdio::from))?;
    source.finish().and(destination.finish())
}
