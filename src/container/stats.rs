//! `stats`: what the processes of a container use, summed up from the host's `/proc`. Without a control group of its own nobody
//! counts for the container; time of processes that have ended is known as far as their parents waited for them.

use super::group;
use super::live::Live;
use crate::failure::Failure;
use crate::host::processes::{self, Process};
use crate::name::container::{ContainerId, ContainerName};
use crate::state::layout::Layout;

/// What a container used up to a moment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Identifier.
    pub id: ContainerId,
    /// Name.
    pub name: ContainerName,
    /// When: seconds since boot.
    pub at: f64,
    /// Seconds since its first process was started.
    pub age: f64,
    /// Seconds on processors.
    pub cpu: f64,
    /// Bytes of memory in use; without a control group, shared ones in proportion.
    pub memory: u64,
    /// Bytes of memory that it can have: its limit, or the machine's.
    pub memory_limit: u64,
    /// Bytes received and sent; nothing if the network is not the container's own.
    pub network: Option<(u64, u64)>,
    /// Bytes read from and written to disks.
    pub disk: (u64, u64),
    /// Processes, their threads included.
    pub pids: u64,
}

/// What the container of this identifier uses now. `E_STATE` if it does not run.
pub fn sample(layout: &Layout, id: &ContainerId) -> Result<Sample, Failure> {
    let live = Live::find(layout, id)?;
    let init = live.processes.init;
    let members = processes::of_container(init).into_iter().filter_map(Process::read);
    let members: Vec<Process> = members.collect();
    let (at, ticks) = (processes::uptime(), processes::ticks_per_second() as f64);
    let cpu: u64 = members.iter().map(|process| process.cpu_ticks + process.waited_ticks).sum();
    let disk = members.iter().map(Process::disk_bytes).fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    let threads = |process: &Process| process.status("Threads").parse::<u64>().unwrap_or(1);
    let usage = group::of(layout, id).map(|group| group.usage()).unwrap_or_default();
    let sample = Sample {
        id: id.clone(),
        name: live.record.name.clone(),
        at,
        age: (at - live.processes.init_start as f64 / ticks).max(0.0),
        cpu: usage.cpu.unwrap_or(cpu as f64 / ticks),
        memory: usage.memory.unwrap_or_else(|| members.iter().map(Process::proportional_bytes).sum()),
        memory_limit: processes::memory_bytes().min(usage.memory_limit.unwrap_or(u64::MAX)),
        network: (live.record.network != "host").then(|| processes::network_bytes(init)),
        disk: usage.disk.unwrap_or(disk),
        pids: usage.pids.unwrap_or_else(|| members.iter().map(threads).sum()),
    };
    live.check()?;
    Ok(sample)
}

impl Sample {
    /// Percent of one processor since `before`, or since the container's start.
    pub fn cpu_percent(&self, before: Option<&Self>) -> f64 {
        let (cpu, time) = match before.filter(|before| before.id == self.id && before.cpu <= self.cpu) {
            Some(before) => (self.cpu - before.cpu, self.at - before.at),
            None => (self.cpu, self.age),
        };
        if time > 0.0 { 100.0 * cpu / time } else { 0.0 }
    }

    /// Percent of the memory that it can have.
    pub fn memory_percent(&self) -> f64 {
        if self.memory_limit == 0 { 0.0 } else { 100.0 * self.memory as f64 / self.memory_limit as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_of_the_time_between() {
        let at = |at: f64, cpu: f64| Sample {
            id: ContainerId::from_random([1; 32]),
            name: "web".parse().expect("a name"),
            at,
            age: at - 10.0,
            cpu,
            memory: 25,
            memory_limit: 100,
            network: None,
            disk: (0, 0),
            pids: 1,
        };
        assert_eq!(at(20.0, 5.0).cpu_percent(None), 50.0);
        assert_eq!(at(24.0, 6.0).cpu_percent(Some(&at(20.0, 5.0))), 25.0);
        assert_eq!(at(10.0, 5.0).cpu_percent(None), 0.0);
        assert_eq!(at(20.0, 5.0).memory_percent(), 25.0);
    }
}
