//! The plans of processes that join a container which runs already: one that is to be the container's own (`exec`), and one of
//! ours that visits its files (`cp`, `diff`, `export`, `commit`).

use std::os::fd::OwnedFd;

use nix::sched::CloneFlags;

use super::{DEVPTS, LaunchPlan, Planner, ROOT, join_group};
use crate::cgroup::group::Group;
use crate::net::plan::NetworkPlan;
use crate::runtime::blueprint::{IdMaps, Process};
use crate::runtime::step::{Missing, Place, Step};

/// A container to be joined by a process that is in its user and pid namespaces already.
#[derive(Debug)]
pub struct Joined {
    /// A process of it.
    pub member: OwnedFd,
    /// Its namespaces that are not ours, but for those of users and processes.
    pub namespaces: CloneFlags,
    /// The maps of its user namespace.
    pub ids: IdMaps,
    /// Its control group, if it has one.
    pub group: Option<Group>,
}

impl LaunchPlan {
    /// The plan that puts `process` into a container. Nothing is opened before the container's own root is ours, and nothing
    /// is made in it.
    pub fn joining(container: Joined, process: Process) -> Self {
        let Joined { member, namespaces, ids, group } = container;
        let mut planner = Planner { steps: Vec::with_capacity(24), next_slot: 0, driver: Default::default() };
        planner.steps.extend(join_group(group.as_ref()));
        planner.steps.extend([
            Step::TieToMonitor,
            Step::Join { member, namespaces },
            Step::HoldRoot(ROOT),
            Step::EnterDirectory { place: Place::new(ROOT, &process.cwd), missing: Missing::Refuse },
            Step::NewSession,
        ]);
        if let Some(size) = process.terminal {
            planner.steps.push(Step::HoldTerminals { slot: DEVPTS, at: Place::new(ROOT, "dev/pts") });
            planner.steps.push(Step::OpenTerminal { devpts: DEVPTS, console: None, size });
        }
        planner.surroundings(&process);
        planner.privileges(&process, &ids, None);
        planner.execute(process);
        Self::without_namespaces(planner.steps)
    }

    /// The plan that puts a process of ours where the files of a container are, with what may be done there: into the user and
    /// mount namespaces of `member`, but not among its processes.
    pub fn visiting(member: OwnedFd) -> Self {
        let namespaces = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS;
        // Hidden before it is where others could look at it, and again: new credentials undo both.
        let steps = vec![Step::SetUmask(0), Step::TieToMonitor, Step::Join { member, namespaces }, Step::TieToMonitor];
        Self::without_namespaces(steps)
    }

    /// These steps, in the namespaces that there are.
    pub fn without_namespaces(steps: Vec<Step>) -> Self {
        let (namespaces, network) = (CloneFlags::empty(), NetworkPlan::Host);
        Self {
            namespaces,
            id_maps: None,
            group: None,
            virtual_ids: None,
            network,
            shares_users: false,
            joins: false,
            is_among_others: false,
            falls_back: false,
            steps,
        }
    }
}
