//! `pull`: an image from a registry into the store, if the policy wants that.

use super::fetch::{self, FetchCause, Status};
use super::progress::Progress;
use super::short_name;
use super::source::RegistrySource;
use crate::failure::{Explain, Failure};
use crate::host::config::policy::{Policy, PolicyRefused};
use crate::host::config::registries::Registries;
use crate::name::image_selector::ImageSelector;
use crate::name::pull_policy::PullPolicy;
use crate::name::reference::{DEFAULT_TAG, Reference};
use crate::oci::digest::{Digest, ImageId};
use crate::oci::manifest::{MAX_CONFIG, MAX_DOCUMENT};
use crate::oci::platform::Platform;
use crate::registry::{Access, Registry};
use crate::state::journal::{self, ImageEvent};
use crate::state::lock::{self, Waiting};
use crate::store::Store;
use crate::store::images::ResolvedImage;

/// How often a mirror is tried: there are others.
const MIRROR_TRIES: u32 = 2;
/// More tags than this are not pulled at once.
const MAX_TAGS: usize = 10_000;

/// An image to be fetched.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which.
    pub reference: Reference,
    /// The platform wanted; the host's where absent.
    pub platform: Option<Platform>,
    /// When to ask the registry.
    pub policy: PullPolicy,
    /// How to reach the registry.
    pub access: Access,
}

/// An image that is in the store now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The image.
    pub image: ImageId,
    /// The reference that points to it. Not always the one that was asked for: a short name may mean an image in
    /// `localhost`.
    pub reference: Reference,
    /// What the registry has under the reference: digest of a manifest or of an index.
    pub manifest_digest: Digest,
    /// What had to be done.
    pub status: Status,
}

/// An image could not be pulled.
#[derive(Debug, thiserror::Error)]
#[error("pulling {reference}")]
pub struct PullError {
    reference: Reference,
    #[source]
    cause: Box<FetchCause>,
}

impl PullError {
    /// Why.
    pub fn cause(&self) -> &FetchCause {
        &self.cause
    }
}

impl Explain for PullError {
    fn code(&self) -> &'static str {
        self.cause.code()
    }

    fn hint(&self) -> Option<String> {
        self.cause.hint()
    }
}

/// Brings the image into the store, if the policy wants that. When this returns, the threads it has started are gone,
/// and what it reports survives a power cut. A short name may stand for several images, of which the first that is had is
/// taken.
pub fn execute(store: &Store, request: &Request, progress: &dyn Progress) -> Result<Report, PullError> {
    let failed = |reference: &Reference, cause| PullError { reference: reference.clone(), cause: Box::new(cause) };
    let of_request = |cause| failed(&request.reference, cause);
    if request.reference.is_short()
        && let Some(report) = satisfied_locally(store, request).map_err(of_request)?
    {
        return Ok(report);
    }
    let names = short_name::resolve(&request.reference, progress).map_err(|refused| of_request(refused.into()))?;
    let mut remaining = names.references.iter().peekable();
    while let Some(reference) = remaining.next() {
        match pull(store, &Request { reference: reference.clone(), ..request.clone() }, progress) {
            Ok(report) => {
                names.remember(progress);
                return Ok(report);
            }
            Err(cause) if cause.is_the_places_fault() && remaining.peek().is_some() => {
                progress.message(&format!("{}; trying the next registry", line_of(failed(reference, cause))));
            }
            Err(cause) => return Err(failed(reference, cause)),
        }
    }
    Err(of_request(FetchCause::NotPresent))
}

/// The names of all tags that the image's repository has.
pub fn all_tags(reference: &Reference, access: &Access, progress: &dyn Progress) -> Result<Vec<Reference>, PullError> {
    let (reference, tags) = tags(reference, MAX_TAGS, access, progress)?;
    Ok(tags.iter().filter_map(|tag| format!("{}:{tag}", reference.name()).parse().ok()).collect())
}

/// At most `limit` tags of the image's repository, and the name of that: of the first that exists, if `reference` is short.
pub fn tags(
    reference: &Reference,
    limit: usize,
    access: &Access,
    progress: &dyn Progress,
) -> Result<(Reference, Vec<String>), PullError> {
    ask_for(reference, access, progress, &mut |registry, reference| Ok((reference.clone(), registry.tags(limit)?)))
}

/// The first answer about an image: of the places that a short name may stand for, and of the mirrors of each.
pub(super) fn ask_for<T>(
    reference: &Reference,
    access: &Access,
    progress: &dyn Progress,
    ask: &mut dyn FnMut(&Registry<'_>, &Reference) -> Result<T, FetchCause>,
) -> Result<T, PullError> {
    let failed = |cause: FetchCause| PullError { reference: reference.clone(), cause: Box::new(cause) };
    let names = short_name::resolve(reference, progress).map_err(|refused| failed(refused.into()))?;
    let mut failure = FetchCause::NotPresent;
    for reference in &names.references {
        match at_each_endpoint(reference, access, progress, &mut |registry| ask(registry, reference)) {
            Ok(answer) => {
                names.remember(progress);
                return Ok(answer);
            }
            Err(cause) => failure = cause,
        }
    }
    Err(failed(failure))
}

/// The whole story in one line.
fn line_of(failure: impl Into<Failure>) -> String {
    failure.into().to_string()
}

fn pull(store: &Store, request: &Request, progress: &dyn Progress) -> Result<Report, FetchCause> {
    let mut on_wait = |waiting: &Waiting<'_>| progress.message(&waiting_line(waiting));
    let _stays = store.lock_shared(&mut on_wait)?;
    if let Some(report) = satisfied_locally(store, request)? {
        return Ok(report);
    }
    let _alone = lock::image_exclusive(store.layout(), &request.reference, &mut on_wait)?;
    // Whoever held the lock may have fetched it meanwhile.
    if let Some(report) = satisfied_locally(store, request)? {
        return Ok(report);
    }
    let local = local_image(store, request)?.filter(|image| fits(image, request));
    let current = local.as_ref().filter(|image| is_all_there(store, image, request)).cloned();
    let (local, current) = (reported(store, local)?, reported(store, current)?);
    match ask_registry(store, request, current.as_ref(), progress) {
        Err(FetchCause::Registry(error)) if let (PullPolicy::Newer, Some(local)) = (request.policy, local) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            progress.message(&format!("keeping the image that is in the store: {error}{cause}"));
            Ok(local)
        }
        outcome => outcome.inspect(|report| {
            let name = report.reference.to_string();
            journal::note_image(store.layout(), ImageEvent::Pull, report.image.hex(), &name);
        }),
    }
}

/// What the store has, if the policy does not want the registry to be asked.
fn satisfied_locally(store: &Store, request: &Request) -> Result<Option<Report>, FetchCause> {
    let policy = request.policy;
    if policy == PullPolicy::Always {
        return Ok(None);
    }
    // What a digest names cannot have become newer.
    let is_final = policy != PullPolicy::Newer || request.reference.digest().is_some();
    match local_image(store, request)? {
        Some(image) if is_final && fits(&image, request) => reported(store, Some(image)),
        Some(image) if policy == PullPolicy::Never => {
            let wanted = request.platform.clone().unwrap_or_else(Platform::host).to_string();
            Err(FetchCause::PresentForOther { found: image.record.platform.to_string(), wanted })
        }
        None if policy == PullPolicy::Never => Err(FetchCause::NotPresent),
        _ => Ok(None),
    }
}

fn local_image(store: &Store, request: &Request) -> Result<Option<ResolvedImage>, FetchCause> {
    Ok(store.images().resolve(&ImageSelector::Reference(request.reference.clone(), None))?)
}

fn fits(image: &ResolvedImage, request: &Request) -> bool {
    request.platform.as_ref().is_none_or(|wanted| image.record.platform.satisfies(wanted))
}

/// Whether a fetch of what the registry has under the same digest would find nothing to do.
fn is_all_there(store: &Store, image: &ResolvedImage, request: &Request) -> bool {
    let wanted = request.platform.clone().unwrap_or_else(Platform::host);
    let is_sound = |digest, limit| store.blobs().read(digest, limit).is_ok();
    image.reference.as_ref() == Some(&request.reference)
        && image.record.platform.satisfies(&wanted)
        && is_sound(&image.record.id, MAX_CONFIG)
        && is_sound(&image.record.manifest.digest, MAX_DOCUMENT)
        && image
            .record
            .layers
            .iter()
            .all(|layer| store.layers().contains(&layer.diff_id) && store.blobs().contains(&layer.descriptor.digest))
}

fn reported(store: &Store, image: Option<ResolvedImage>) -> Result<Option<Report>, FetchCause> {
    let Some(ResolvedImage { record, reference: Some(reference) }) = image else { return Ok(None) };
    let pointer = store.images().reference(&reference)?;
    Ok(pointer.map(|pointer| Report {
        image: record.id,
        reference,
        manifest_digest: pointer.manifest_digest,
        status: Status::AlreadyPresent,
    }))
}

/// Fetches the image, unless `current` is what the registry has: one question then answers all.
fn ask_registry(
    store: &Store,
    request: &Request,
    current: Option<&Report>,
    progress: &dyn Progress,
) -> Result<Report, FetchCause> {
    check_policy(&request.reference, &request.access)?;
    at_each_endpoint(&request.reference, &request.access, progress, &mut |registry| {
        if let (Some(current), None) = (current, request.reference.digest()) {
            let digest = registry.resolve_tag(request.reference.tag().unwrap_or(DEFAULT_TAG))?;
            let is_same = |digest: &Digest| *digest == current.manifest_digest;
            if digest.is_some_and(|digest| is_same(&digest) && store.blobs().read(&digest, MAX_DOCUMENT).is_ok()) {
                return Ok(current.clone());
            }
        }
        let source = RegistrySource { registry, reference: &request.reference };
        let references = std::slice::from_ref(&request.reference);
        let fetched = fetch::execute(store, &source, request.platform.as_ref(), references, progress)?;
        Ok(Report {
            image: fetched.image,
            reference: request.reference.clone(),
            manifest_digest: fetched.manifest_digest,
            status: fetched.status,
        })
    })
}

/// Fails if policy.json does not want the image.
pub(super) fn check_policy(reference: &Reference, access: &Access) -> Result<(), FetchCause> {
    match Policy::discover(access.signature_policy.clone()).map_err(PolicyRefused::from)? {
        Some(policy) => Ok(policy.check(reference)?),
        None => Ok(()),
    }
}

/// Asks the mirrors of `reference`, in order, and then where it belongs, until one has an answer.
fn at_each_endpoint<T>(
    reference: &Reference,
    access: &Access,
    progress: &dyn Progress,
    ask: &mut dyn FnMut(&Registry<'_>) -> Result<T, FetchCause>,
) -> Result<T, FetchCause> {
    let configured = Registries::discover();
    configured.warnings().for_each(|warning| progress.message(&warning));
    let notice = |line: &str| progress.message(line);
    for endpoint in configured.endpoints(reference)? {
        let mut access = access.clone();
        // They are for the registry that the user named.
        access.credential = access.credential.filter(|_| endpoint.reference.registry() == reference.registry());
        if endpoint.is_mirror {
            access.retry.tries = access.retry.tries.min(MIRROR_TRIES);
        }
        let registry = Registry::at(&endpoint, &configured, access, &notice).map_err(FetchCause::from);
        match registry.and_then(|registry| ask(&registry)) {
            Err(cause) if endpoint.is_mirror && cause.is_the_places_fault() => {
                let failure = line_of(PullError { reference: endpoint.reference, cause: Box::new(cause) });
                progress.message(&format!("{failure}; this is a mirror, trying the next place"));
            }
            outcome => {
                if outcome.is_ok() && endpoint.reference != *reference {
                    progress.message(&format!("{reference} came from {}", endpoint.reference));
                }
                return outcome;
            }
        }
    }
    Err(FetchCause::NotPresent)
}

fn waiting_line(waiting: &Waiting<'_>) -> String {
    match waiting.holder {
        Some(pid) => format!("waiting: process {pid} is already at it"),
        None => "waiting: another process is already at it".into(),
    }
}
