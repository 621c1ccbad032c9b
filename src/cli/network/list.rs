//! `network ls`.

use clap::Args;
use serde_json::Value;

use super::value;
use crate::cli::dispatch::networks as dispatch;
use crate::cli::render::format::{Format, Header};
use crate::cli::render::output;
use crate::cli::tree::{Globals, Invocation};
use crate::container::networks::filter::KEYS;
use crate::failure::Failure;
use crate::name::filter::Filters;

/// List networks
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// Show networks for which this is true only, for example name=front, label=KEY, driver=bridge, dangling=true
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Print JSON (json), or a Go template for each network (table TEMPLATE aligns the columns)
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Do not cut identifiers
    #[arg(long)]
    no_trunc: bool,
    /// Do not print the header
    #[arg(short = 'n', long)]
    noheading: bool,
    /// Print names only
    #[arg(short, long, conflicts_with = "format")]
    quiet: bool,
}

const TABLE: &str = "table {{.ID}}\\t{{.Name}}\\t{{.Driver}}";
const TITLES: &[(&str, &str)] = &[("ID", "NETWORK ID"), ("Name", "NAME"), ("Driver", "DRIVER")];

impl Invocation for ListArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("All networks", "coracle network ls"),
        ("Those in which no container is", "coracle network ls --quiet --filter dangling=true"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let filters = Filters::parse(&self.filter, KEYS)?;
        let usual = if self.quiet { "{{.Name}}" } else { TABLE };
        let format = Format::parse(self.format.as_deref().unwrap_or(usual))?;
        let all = dispatch::list(&globals.layout()?, &filters)?;
        let whole: Vec<Value> = all.iter().map(value).collect();
        let mut shown = whole.clone();
        if !self.no_trunc {
            for value in &mut shown {
                if let Some(id) = value["ID"].as_str().and_then(|id| id.get(..12)).map(str::to_owned) {
                    value["ID"] = id.into();
                }
            }
        }
        let header = if self.noheading { Header::Hidden } else { Header::Shown };
        output::write(&format.list(&whole, &shown, TITLES, header)?)?;
        Ok(0)
    }
}
