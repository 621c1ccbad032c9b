//! How the container's ids are made, and what is to be known of that before it is started.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use super::{Surroundings, foreign_abi};
use crate::container::base::Base;
use crate::container::driver;
use crate::container::files::recorded::from_hex;
use crate::container::request::{Request, SeccompChoice};
use crate::failure::Failure;
use crate::identity::choice::{Choice, Facts, Ids, choose, obstacle};
use crate::identity::credentials::{Credentials, FileCapabilities};
use crate::identity::keeper::Draft;
use crate::identity::ownership::Owner;
use crate::identity::supervisor::{MountRule, Recorded, Rule, Surroundings as Known};
use crate::identity::table;
use crate::lsm::capability::Sets;
use crate::name::capability::Capability;
use crate::name::container::ContainerId;
use crate::oci::digest::DiffId;
use crate::runtime::blueprint::{IdMaps, ProcessIds};
use crate::seccomp::table::Arch;
use crate::seccomp::{ForeignAbi, emulation_filter, pretence_filter};
use crate::state::layout::Layout;
use crate::state::schema::layer::LayerPath;
use crate::state::schema::owners::FileKey;
use crate::store::Store;
use crate::sys::random;
use crate::sys::status::{self, Status};

/// No kernel enforces it.
const LIMIT_TAKEN: &str = "--ulimit locks sets the limit that would carry them";

/// How they are made, for a container whose processes have these limits.
pub fn choice(
    request: &Request,
    surroundings: &Surroundings<'_>,
    limits: &[(u32, u64, u64)],
) -> Result<Choice, Failure> {
    let is_taken = limits.iter().any(|(resource, ..)| *resource == table::RESOURCE);
    let facts = Facts {
        has_ranges: surroundings.caller.ranges.is_some(),
        runs_as_root: surroundings.user.uid == 0,
        is_directory: matches!(surroundings.base, Base::Directory(_)),
        has_others: match surroundings.base {
            Base::Image(image) => !image.owners.is_only_root(),
            Base::Directory(_) => true,
        },
        // The container's root may not set that limit, and who makes it neither.
        obstacle: is_taken.then_some(LIMIT_TAKEN).or_else(|| obstacle(surroundings.kernel)),
    };
    Ok(choose(request.ids, facts)?)
}

/// The maps of the user namespace.
pub fn maps(ids: Ids, surroundings: &Surroundings<'_>) -> IdMaps {
    let caller = &surroundings.caller;
    let single = |uid, gid| IdMaps::Single { uid, gid, host_uid: caller.uid, host_gid: caller.gid };
    match (ids, &caller.ranges) {
        (Ids::Range, Some(ranges)) => {
            IdMaps::Ranges { uid_map: ranges.uid_map.clone(), gid_map: ranges.gid_map.clone() }
        }
        (Ids::Emulate, _) => single(0, 0),
        _ => single(surroundings.user.uid, surroundings.user.gid),
    }
}

/// What answers for the ids of a process that begins with the credentials of this limit.
pub fn of_process(
    ids: Ids,
    seccomp: &SeccompChoice,
    has_32_bit_programs: bool,
    limit: u64,
) -> Result<ProcessIds, Failure> {
    let compat = match seccomp {
        SeccompChoice::Default if foreign_abi(has_32_bit_programs) == ForeignAbi::Killed => None,
        _ => Arch::NATIVE.compat(),
    };
    let abis: Vec<Arch> = [Arch::NATIVE].into_iter().chain(compat).collect();
    Ok(match ids {
        Ids::Range | Ids::Native => ProcessIds::Kernels,
        Ids::Fake => ProcessIds::Pretended(pretence_filter(&abis)),
        Ids::Emulate => {
            let bytes =
                random::bytes().map_err(|errno| Failure::new("E_IO", format!("getting random bytes: {errno}")))?;
            let word = |at: usize| bytes[at..at + 8].iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
            let key = [word(0), word(8)];
            ProcessIds::Virtual { filter: emulation_filter(&abis, key), key, limit }
        }
    })
}

/// The limit that stands for the credentials that the container's process begins with.
pub fn first_limit(surroundings: &Surroundings<'_>) -> u64 {
    let user = &surroundings.user;
    if (user.uid, user.gid) == (0, 0) && user.groups.as_deref().unwrap_or_default().is_empty() {
        table::ROOT
    } else {
        table::USER
    }
}

/// The credentials of a process of this user.
pub fn credentials(sets: &Sets, uid: u32, gid: u32, groups: &[u32]) -> Credentials {
    Credentials::of_user(uid, gid, groups, sets.bounding, sets.permitted, sets.inheritable)
}

/// What its supervisor is to know.
pub fn draft(request: &Request, surroundings: &Surroundings<'_>, id: &ContainerId, sets: &Sets) -> Draft {
    let layout = surroundings.layout;
    let user = &surroundings.user;
    let mut journals = vec![layout.container_owners(id)];
    let callers = request.mounts.iter().map(|mount| (&mount.destination, Rule::Callers));
    let mut mounts: Vec<MountRule> =
        callers.map(|(destination, rule)| MountRule { destination: destination.clone(), rule }).collect();
    for mount in &request.volumes {
        let Some(name) = &mount.name else { continue };
        mounts.push(MountRule { destination: mount.destination.clone(), rule: Rule::Own(journals.len()) });
        journals.push(layout.volume_owners(name));
    }
    let is_standard = request.security.seccomp == SeccompChoice::Default;
    let layers = match surroundings.base {
        Base::Image(image) => image.layers.clone(),
        Base::Directory(_) => Vec::new(),
    };
    let (layout, id) = (layout.clone(), id.clone());
    Draft {
        surroundings: Known {
            bounding: sets.bounding,
            user: Owner { uid: user.uid, gid: user.gid },
            mounts,
            views_vary: !is_standard || sets.bounding.contains(Capability::SysAdmin),
        },
        credentials: [
            Credentials::root(sets.bounding),
            credentials(sets, user.uid, user.gid, user.groups.as_deref().unwrap_or_default()),
        ],
        journals,
        recorded: Box::new(move || recorded(&layout, &layers, &id)),
    }
}

/// What layers know of files that do not say it themselves. What cannot be read is not known.
fn recorded(layout: &Layout, layers: &[DiffId], id: &ContainerId) -> Recorded {
    let Ok(store) = Store::open(layout.clone()) else { return Recorded::default() };
    let mut recorded = Recorded::default();
    // What is known of a layer's file is known of its copy.
    let copy = driver::Copy::of(layout, id);
    for layer in layers {
        let Ok(manifest) = store.layers().manifest(layer) else { continue };
        let tree = store.layers().path(layer);
        let in_layer = |path: &LayerPath| {
            let path = tree.join(OsStr::from_bytes(path.as_bytes()));
            let path = CString::new(path.as_os_str().as_bytes()).ok()?;
            Status::of_path(&path, libc::AT_SYMLINK_NOFOLLOW, status::USUAL).ok()
        };
        let key = |path: &LayerPath| {
            let found = copy.as_ref().map_or_else(|| in_layer(path), |copy| copy.status(path))?;
            let (inode, seconds, nanoseconds) = found.key();
            Some(FileKey { inode, born: (seconds, nanoseconds) })
        };
        let owners = manifest.owners.iter().filter_map(|owner| Some((key(&owner.path)?, owner.ownership)));
        for (file, ownership) in owners {
            // Through FUSE no births are seen; a layer's file keeps its number as long as the layer is there.
            recorded.owners.extend([(file, ownership), (FileKey { born: (0, 0), ..file }, ownership)]);
        }
        let capabilities = manifest.capabilities.iter().filter_map(|capability| {
            Some((key(&capability.path)?, FileCapabilities::parse(&from_hex(&capability.value)?)?))
        });
        recorded.capabilities.extend(capabilities);
    }
    recorded
}
