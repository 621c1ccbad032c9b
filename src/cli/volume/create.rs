//! `volume create`.

use std::collections::BTreeMap;

use clap::Args;

use crate::cli::render::output;
use crate::cli::tree::{Globals, Invocation};
use crate::cli::{dispatch, run};
use crate::failure::Failure;
use crate::name::label::parse_label;
use crate::name::volume::VolumeName;
use crate::name::volume_options::{LocalVolume, parse_option};
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
    /// Who keeps its files: local, or a driver
    #[arg(short, long, default_value = "local", hide_default_value = true)]
    driver: String,
    /// Label of the volume
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    label: Vec<String>,
    /// Option of the driver; of local: type=none or tmpfs, device=DIR, o=bind,ro,size=BYTES,mode=OCTAL, nocopy
    #[arg(short, long, value_name = "KEY=VALUE")]
    opt: Vec<String>,
    /// User that its directory belongs to
    #[arg(long, value_name = "NUMBER")]
    uid: Option<u32>,
    /// Group that its directory belongs to
    #[arg(long, value_name = "NUMBER")]
    gid: Option<u32>,
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
        ("A directory of the host", "coracle volume create -o type=none -o o=bind -o device=/srv/data data"),
        ("In memory", "coracle volume create -o type=tmpfs -o o=size=64m scratch"),
    ];
    const SECTIONS: &'static [(&'static str, &'static str)] = &[
        (
            "OPTIONS OF LOCAL",
            "Without options the files are in a directory of the store. With type=none, o=bind and device=DIR they are those of a \
             directory of the host. With type=tmpfs they are in memory: each container that has the volume gets a tmpfs of \
             its own, as long as it runs, of the size= and mode= in o=. Other types, and size= without tmpfs, need \
             privilege and are refused. An unprivileged user has files of one id only, which containers see as their own: \
             there --uid and --gid are noted, and change nothing.",
        ),
        (
            "DRIVERS",
            "A driver NAME is a service that speaks Docker's VolumeDriver protocol on /run/docker/plugins/NAME.sock or \
             ~/.config/coracle/plugins/NAME.sock, or on the socket that a file NAME.spec in /etc/docker/plugins, \
             /usr/lib/docker/plugins or ~/.config/coracle/plugins names; or a program coracle-volume-NAME in the latter \
             directory or in /usr/bin. The program is executed for each request, with the word create, remove, mount, \
             unmount, path or list as its argument. It gets the JSON of that protocol on standard input, and writes the \
             answer's JSON to standard output. A volume of a driver is mounted by it when a container that has the \
             volume starts, and unmounted when that ends.",
        ),
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
        let options = self.opt.iter().map(|text| parse_option(text)).collect::<Result<BTreeMap<_, _>, _>>();
        let options = options.map_err(|error| run::of_flag("--opt", error))?;
        if self.driver == "local" {
            LocalVolume::of(&options).map_err(|error| run::of_flag("--opt", error))?;
        }
        let labels = self.label.iter().map(|text| parse_label(text).map_err(|error| run::of_flag("--label", error)));
        Ok(VolumeRecord {
            name: self.name()?,
            created: Timestamp::now(),
            anonymous: self.name.is_none(),
            labels: labels.collect::<Result<_, _>>()?,
            options,
            driver: self.driver.clone(),
            owner: (self.uid, self.gid),
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
