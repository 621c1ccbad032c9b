//! `volume create`.

use std::collections::BTreeMap;

use clap::Args;

use crate::cli::render::output;
use crate::cli::tree::{Globals, Invocation};
use crate::cli::{dispatch, run};
use crate::failure::Failure;
use crate::name::label::parse_label;
use crate::name::volume::VolumeName;
use crate::state::schema::container::Timestamp;
use crate::state::schema::volume::VolumeRecord;
use crate::state::temporary::Published;
use crate::sys::random;
use crate::volume::VolumeError;

/// Make a volume
///
/// Prints its name. A volume is a directory of the store that containers share and that outlives them: it is mounted by
/// --volume NAME:DESTINATION, and filled then with what the image has there. Containers make the volumes that they name and that are not there.
#[derive(Args, Clone, Debug)]
pub struct CreateArgs {
    /// Who keeps its files: local
    #[arg(short, long, default_value = "local", hide_default_value = true)]
    driver: String,
    /// Label of the volume
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    label: Vec<String>,
    /// That there is a volume of this name is no failure; it stays as it is
    #[arg(long)]
    ignore: bool,
    /// Its name [default: chosen at random]
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

impl Invocation for CreateArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("For a database", "coracle volume create data"),
        ("In a script", "coracle volume create --ignore --label app=web cache"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let record = self.record()?;
        let published = dispatch::create_volume(&globals.layout()?, &record)?;
        if published == Published::WasThere && !self.ignore {
            return Err(VolumeError::Exists(record.name).into());
        }
        output::write(&format!("{}\n", record.name))?;
        Ok(0)
    }
}

impl CreateArgs {
    fn record(&self) -> Result<VolumeRecord, Failure> {
        if self.driver != "local" {
            let message = format!("--driver {:?}: there is no such volume driver", self.driver);
            return Err(Failure::new("E_UNSUPPORTED", message).with_hint("the only one is local"));
        }
        let labels = self.label.iter().map(|text| parse_label(text).map_err(|error| run::of_flag("--label", error)));
        Ok(VolumeRecord {
            name: self.name()?,
            created: Timestamp::now(),
            anonymous: self.name.is_none(),
            labels: labels.collect::<Result<_, _>>()?,
            options: BTreeMap::new(),
        })
    }

    fn name(&self) -> Result<VolumeName, Failure> {
        match &self.name {
            Some(name) => Ok(name.parse()?),
            None => random::bytes()
                .map(VolumeName::from_random)
                .map_err(|errno| Failure::new("E_IO", format!("getting random bytes for its name: {errno}"))),
        }
    }
}
