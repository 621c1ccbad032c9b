//! A container's share of the machine: its control group, and the limits of its processes.

use nix::sys::resource::RLIM_INFINITY;

use crate::cgroup::draft::{Draft, Wanted};
use crate::cgroup::error::CgroupError;
use crate::container::hardening;
use crate::container::request::{Enforcement, GroupMode, LimitRequest};
use crate::failure::Failure;
use crate::host::cgroup::Ground;
use crate::host::limits;
use crate::name::container::ContainerId;
use crate::name::resources::Bound;
use crate::name::ulimit::{self, Ulimit};

/// Bytes of `/dev/shm` where nothing else is asked for: docker's and podman's.
pub const SHM_SIZE: Bound = Bound::At(64 << 20);

/// What a request comes to on this machine.
#[derive(Debug, Default)]
pub struct Share {
    /// The control group.
    pub group: Option<Draft>,
    /// `RLIMIT_*`, soft, hard.
    pub limits: Vec<(u32, u64, u64)>,
    /// What is not as it was asked for.
    pub warnings: Vec<String>,
}

/// The name of a container's control group.
pub fn group_name(id: &ContainerId) -> String {
    format!("coracle-{id}")
}

/// The share that `request` asks for. Before Linux 5.14 the number of processes is the user's, not the container's.
pub fn share(request: &LimitRequest, id: &ContainerId, counts_per_namespace: bool) -> Result<Share, Failure> {
    let mut share = Share { limits: rlimits(request, counts_per_namespace), ..Share::default() };
    let name = group_name(id);
    let wanted = Wanted {
        name: &name,
        resources: &request.resources,
        parent: request.parent.as_deref(),
        split: request.groups == GroupMode::Split,
    };
    let is_wanted = !request.resources.is_empty() || request.parent.is_some();
    match (request.groups, request.enforcement) {
        (GroupMode::Disabled, _) if is_wanted => {
            let failure =
                Failure::new("E_CONFIG", "--cgroups=disabled leaves nothing by which limits could be enforced");
            return Err(failure.with_hint("leave it out, or the limits"));
        }
        (GroupMode::Disabled, _) => {}
        (GroupMode::AsNeeded, _) if !is_wanted => {}
        (_, Enforcement::Strict) => share.group = Some(Draft::new(&wanted)?),
        (_, Enforcement::Soft) => soften(&mut share, request, &wanted, counts_per_namespace)?,
    }
    if share.group.is_some() && request.resources.pids.is_some() {
        // The group counts.
        share.limits.retain(|&(resource, soft, _)| resource != libc::RLIMIT_NPROC || soft != hardening::PROCESS_LIMIT);
    }
    share.warn_of_lowered(request);
    Ok(share)
}

/// Takes what limits of single processes can do for what no group can.
fn soften(
    share: &mut Share,
    request: &LimitRequest,
    wanted: &Wanted<'_>,
    counts_per_namespace: bool,
) -> Result<(), CgroupError> {
    let sketch = Draft::lenient(wanted)?;
    share.group = sketch.draft;
    for flag in sketch.left_out {
        let instead = match (flag, request.resources.memory, request.resources.pids) {
            ("--memory", Some(Bound::At(bytes)), _) => {
                share.replace(libc::RLIMIT_DATA, bytes, bytes);
                "each process for itself may have so much memory"
            }
            ("--pids-limit", _, Some(Bound::At(pids))) if counts_per_namespace => {
                share.replace(libc::RLIMIT_NPROC, pids, pids);
                "processes with the capability SYS_RESOURCE of this machine are not counted"
            }
            _ => {
                share.warnings.push(format!("{flag} is not enforced"));
                continue;
            }
        };
        share.warnings.push(format!("{flag} is enforced in part: {instead}"));
    }
    Ok(())
}

/// The same with a control group in any case, if there can be one of version 2: systemd manages the groups below its own.
pub fn for_systemd(request: &LimitRequest) -> LimitRequest {
    let is_to_be_had = || matches!(Ground::find(), Ok(Ground::Unified(_) | Ground::Systemd(_)));
    match request.groups {
        GroupMode::AsNeeded if is_to_be_had() => LimitRequest { groups: GroupMode::Enabled, ..request.clone() },
        _ => request.clone(),
    }
}

/// The limits of each process: those of every container, or all of the caller's, and those that were asked for.
pub fn rlimits(request: &LimitRequest, counts_per_namespace: bool) -> Vec<(u32, u64, u64)> {
    let mut share = Share::default();
    if request.ulimits.contains(&Ulimit::Host) {
        share.limits = ulimit::resources()
            .filter_map(|resource| {
                let (soft, hard) = limits::of(resource)?;
                Some((resource, soft, hard))
            })
            .collect();
    } else {
        share.limits = hardening::limits(counts_per_namespace);
    }
    for ulimit in &request.ulimits {
        if let Ulimit::One { resource, soft, hard } = *ulimit {
            share.replace(resource, soft, hard);
        }
    }
    share.limits
}

/// How readily processes may be killed: not less than we are.
pub fn oom_score_adj(asked: i16) -> i16 {
    asked.max(limits::oom_score_adj())
}

impl Share {
    fn replace(&mut self, resource: u32, soft: u64, hard: u64) {
        self.limits.retain(|&(other, ..)| other != resource);
        self.limits.push((resource, soft, hard));
    }

    /// Of limits that were asked for and are above our own only ours can be had.
    fn warn_of_lowered(&mut self, request: &LimitRequest) {
        for ulimit in &request.ulimits {
            let Ulimit::One { resource, hard, .. } = *ulimit else { continue };
            let own = limits::of(resource).map_or(RLIM_INFINITY, |(_, own)| own);
            if hard > own {
                let name = ulimit::name(resource);
                self.warnings.push(format!("--ulimit {name}: lowered to {own}, which is this user's own hard limit"));
            }
        }
        if let Some(asked) = request.oom_score_adj {
            let score = oom_score_adj(asked);
            if score != asked {
                self.warnings.push(format!("--oom-score-adj: raised to {score}, this user's own"));
            }
        }
    }
}
