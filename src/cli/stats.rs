//! `stats` and `container stats`.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::dispatch;
use super::render::format::{Format, Header};
use super::render::{output, size};
use super::tree::{Globals, Invocation};
use crate::container::stats::Sample;
use crate::container::top::duration;
use crate::failure::Failure;
use crate::name::container::ContainerId;
use crate::state::layout::Layout;

/// Show what containers use
///
/// Of the containers named, or of all that run: processor time, memory, network and disk. On a terminal the table is shown
/// anew until it is interrupted.
#[derive(Args, Clone, Debug)]
pub struct StatsArgs {
    /// Show containers that do not run, too, with nothing in use
    #[arg(short, long, conflicts_with = "containers")]
    all: bool,
    /// Print JSON (json), or a Go template for each container (table TEMPLATE aligns the columns)
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Seconds between two looks
    #[arg(short, long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    interval: u32,
    /// Take the container made last
    #[arg(short, long, conflicts_with_all = ["all", "containers"])]
    latest: bool,
    /// Look once
    #[arg(long)]
    no_stream: bool,
    /// Do not clear the screen between two looks
    #[arg(long)]
    no_reset: bool,
    /// Show ids in full
    #[arg(long)]
    no_trunc: bool,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

const TABLE: &str = "table {{.ID}}\\t{{.Name}}\\t{{.CPUPerc}}\\t{{.MemUsage}}\\t{{.MemPerc}}\\t{{.NetIO}}\\t{{.BlockIO}}\\t{{.PIDs}}\\t{{.CPU}}\\t{{.AvgCPU}}";

const TITLES: &[(&str, &str)] = &[
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET IO"),
    ("BlockIO", "BLOCK IO"),
    ("PIDs", "PIDS"),
    ("CPU", "CPU TIME"),
    ("AvgCPU", "AVG CPU %"),
];

impl Invocation for StatsArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("All that run, anew every second", "coracle stats -i 1"),
        ("One, for a script", "coracle stats --no-stream --format json web"),
    ];
    const SECTIONS: &'static [(&'static str, &'static str)] = &[(
        "FIGURES",
        "The figures are sums over the processes of the container. Memory that several processes share is counted in \
         proportion (PSS). Time and disk traffic of processes that have ended are counted as far as their parents tell. CPU % \
         is of one processor, since the look before, and in the first since the start of the container. With the network of \
         the host there is no traffic of the container's own.",
    )];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let format = Format::parse(self.format.as_deref().unwrap_or(TABLE))?;
        let named = self.named(&layout)?;
        let mut before = BTreeMap::new();
        loop {
            let looked = self.look(&layout, named.as_deref())?;
            if named.is_some() && looked.is_empty() {
                return Ok(0);
            }
            let rows: Vec<Value> = looked.iter().map(|(id, found)| self.row(id, found, &before)).collect();
            let items: Vec<Value> = rows.iter().map(item).collect();
            let text = format.list(&items, &rows, TITLES, Header::Shown)?;
            if !self.no_stream
                && !self.no_reset
                && matches!(format, Format::Table(_))
                && std::io::stdout().is_terminal()
            {
                output::clear_screen()?;
            }
            output::write(&text)?;
            if self.no_stream {
                return Ok(0);
            }
            before = looked.into_iter().filter_map(|(id, found)| Some((id, found.sample()?))).collect();
            std::thread::sleep(Duration::from_secs(u64::from(self.interval)));
        }
    }
}

/// What was found of a container.
enum Found {
    Running(Sample),
    /// It does not run: its name.
    Idle(String),
}

impl Found {
    fn sample(self) -> Option<Sample> {
        match self {
            Self::Running(sample) => Some(sample),
            Self::Idle(_) => None,
        }
    }
}

impl StatsArgs {
    /// The containers that were named, if any were. Each must run.
    fn named(&self, layout: &Layout) -> Result<Option<Vec<ContainerId>>, Failure> {
        if !self.latest && self.containers.is_empty() {
            return Ok(None);
        }
        let mut ids: Vec<ContainerId> = Vec::new();
        if self.latest {
            ids.push(dispatch::latest_container(layout)?);
        }
        for name in &self.containers {
            ids.push(dispatch::find_container(layout, name)?);
        }
        ids.iter().try_for_each(|id| dispatch::stats(layout, id).map(drop))?;
        Ok(Some(ids))
    }

    /// What is in use now; containers that have ended meanwhile are left out.
    fn look(&self, layout: &Layout, named: Option<&[ContainerId]>) -> Result<Vec<(ContainerId, Found)>, Failure> {
        let all: Vec<(ContainerId, String)> = match named {
            Some(named) => named.iter().map(|id| (id.clone(), String::new())).collect(),
            None => {
                let containers =
                    dispatch::list_containers(layout, &crate::name::filter::Filters::default())?.into_iter();
                containers.map(|container| (container.id, container.name.as_str().to_owned())).collect()
            }
        };
        let mut found = Vec::new();
        for (id, name) in all {
            match dispatch::stats(layout, &id) {
                Ok(sample) => found.push((id, Found::Running(sample))),
                Err(failure) if failure.code() == "E_STATE" && self.all => found.push((id, Found::Idle(name))),
                Err(failure) if failure.code() == "E_STATE" => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(found)
    }

    /// What templates see, under podman's names.
    fn row(&self, id: &ContainerId, found: &Found, before: &BTreeMap<ContainerId, Sample>) -> Value {
        let shown = if self.no_trunc { id.as_str() } else { id.short() };
        let sample = match found {
            Found::Running(sample) => sample,
            Found::Idle(name) => {
                return json!({
                    "ID": shown, "ContainerID": id.as_str(), "Name": name, "CPUPerc": "--", "MemUsage": "-- / --",
                    "MemUsageBytes": "-- / --", "MemPerc": "--", "NetIO": "-- / --", "BlockIO": "-- / --", "PIDs": "--",
                    "CPU": "--", "AvgCPU": "--", "UpTime": "--",
                });
            }
        };
        let pair = |(one, other): (u64, u64)| format!("{} / {}", amount(one), amount(other));
        json!({
            "ID": shown,
            "ContainerID": id.as_str(),
            "Name": sample.name.as_str(),
            "CPUPerc": format!("{:.2}%", sample.cpu_percent(before.get(id))),
            "MemUsage": pair((sample.memory, sample.memory_limit)),
            "MemUsageBytes": format!("{} / {}", sample.memory, sample.memory_limit),
            "MemPerc": format!("{:.2}%", sample.memory_percent()),
            "NetIO": sample.network.map_or_else(|| "-- / --".to_owned(), pair),
            "BlockIO": pair(sample.disk),
            "PIDs": sample.pids.to_string(),
            "CPU": duration(sample.cpu),
            "AvgCPU": format!("{:.2}%", sample.cpu_percent(None)),
            "UpTime": duration(sample.age),
        })
    }
}

/// podman's spelling: `1.99MB`.
fn amount(bytes: u64) -> String {
    size::decimal(bytes).replace(' ', "")
}

/// What `--format json` shows, under podman's names.
fn item(row: &Value) -> Value {
    let of = |field: &str| row[field].clone();
    json!({
        "id": of("ID"),
        "name": of("Name"),
        "cpu_time": of("CPU"),
        "cpu_percent": of("CPUPerc"),
        "avg_cpu": of("AvgCPU"),
        "mem_usage": of("MemUsage"),
        "mem_percent": of("MemPerc"),
        "net_io": of("NetIO"),
        "block_io": of("BlockIO"),
        "pids": of("PIDs"),
    })
}
