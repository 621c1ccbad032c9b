//! `volume ls`.

use clap::Args;
use serde_json::Value;

use super::value;
use crate::cli::dispatch;
use crate::cli::render::format::{Format, Header};
use crate::cli::render::output;
use crate::cli::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::name::filter::Filters;
use crate::volume::filter::KEYS;

/// List volumes
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// Show volumes for which this is true only, for example name=data, label=KEY, dangling=true, until=24h
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Print JSON (json), or a Go template for each volume (table TEMPLATE aligns the columns)
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Do not print the header
    #[arg(short = 'n', long)]
    noheading: bool,
    /// Print names only
    #[arg(short, long, conflicts_with = "format")]
    quiet: bool,
}

const TABLE: &str = "table {{.Driver}}\\t{{.Name}}";
const TITLES: &[(&str, &str)] = &[("Name", "VOLUME NAME"), ("MountCount", "CONTAINERS")];

impl Invocation for ListArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("All volumes", "coracle volume ls"),
        ("Those that no container has", "coracle volume ls --quiet --filter dangling=true"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let filters = Filters::parse(&self.filter, KEYS)?;
        let usual = if self.quiet { "{{.Name}}" } else { TABLE };
        let format = Format::parse(self.format.as_deref().unwrap_or(usual))?;
        let values: Vec<Value> = dispatch::list_volumes(&globals.layout()?, &filters)?.iter().map(value).collect();
        let header = if self.noheading { Header::Hidden } else { Header::Shown };
        output::write(&format.list(&values, &values, TITLES, header)?)?;
        Ok(0)
    }
}
