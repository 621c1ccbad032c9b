//! `secret create`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal, Read};

use clap::{Args, ValueHint};

use crate::cli::configuration::configured;
use crate::cli::render::output;
use crate::cli::tree::{Globals, Invocation};
use crate::cli::{dispatch, run};
use crate::failure::Failure;
use crate::host::env;
use crate::name::concealed::Concealed;
use crate::name::label::parse_label;
use crate::secret::{IfThere, LARGEST, NewSecret};
use crate::state::record::io_code;

/// Make a secret
///
/// Containers get it by --secret, and nobody else: it is in no image, no record of a container, and no list. Prints its id.
#[derive(Args, Clone, Debug)]
pub struct CreateArgs {
    /// Who keeps it: file, or shell [default: file]
    #[arg(short, long, value_name = "DRIVER")]
    driver: Option<String>,
    /// Option of the driver; of shell: store=COMMAND, lookup=COMMAND, delete=COMMAND
    #[arg(long, value_name = "KEY=VALUE")]
    driver_opts: Vec<String>,
    /// Take the value of the environment variable that FILE names
    #[arg(long)]
    env: bool,
    /// That there is a secret of this name is no failure; it stays as it is
    #[arg(long, conflicts_with = "replace")]
    ignore: bool,
    /// Label of the secret
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    label: Vec<String>,
    /// Replace a secret of this name; containers get the new one when they are started the next time
    #[arg(long)]
    replace: bool,
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// File with what is secret, or - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: String,
}

impl Invocation for CreateArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("From a file", "coracle secret create password ./password.txt"),
        ("From a program", "openssl rand -hex 32 | coracle secret create token -"),
        ("From the environment", "coracle secret create --env token CI_TOKEN"),
    ];
    const SECTIONS: &'static [(&'static str, &'static str)] = &[(
        "DRIVERS",
        "With file a secret is a file of the store that only its user can read. With shell it is what commands of the user's \
         keep: they get its id in the variable SECRET_ID; store gets the secret on standard input, lookup writes it to standard \
         output, and delete forgets it. pass(1) and other managers of passwords can be used so.",
    )];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let conf = configured();
        let driver = self.driver.clone().or_else(|| conf.text("secrets.driver")).unwrap_or_else(|| "file".into());
        // As podman: options of the driver that is configured are its, whether it is named or not.
        let of_driver = conf.text("secrets.driver").unwrap_or_else(|| "file".into()) == driver;
        let defaults = if of_driver { conf.table("secrets.opts") } else { BTreeMap::new() };
        let options = self.driver_opts.iter().map(|text| {
            let option = text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
            option.ok_or_else(|| Failure::new("E_CONFIG", format!("--driver-opts: {text:?} is not KEY=VALUE")))
        });
        let labels = self.label.iter().map(|text| parse_label(text).map_err(|error| run::of_flag("--label", error)));
        let if_there = match (self.replace, self.ignore) {
            (true, _) => IfThere::Replace,
            (false, true) => IfThere::Keep,
            (false, false) => IfThere::Refuse,
        };
        let new = NewSecret {
            name: self.name.parse()?,
            driver,
            options: defaults.into_iter().map(Ok).chain(options).collect::<Result<_, Failure>>()?,
            labels: labels.collect::<Result<_, _>>()?,
            data: self.data()?,
        };
        let id = dispatch::create_secret(&layout, new, if_there)?;
        output::write(&format!("{id}\n"))?;
        Ok(0)
    }
}

impl CreateArgs {
    fn data(&self) -> Result<Concealed, Failure> {
        if self.env {
            let value = env::get_named(&self.file).ok_or_else(|| {
                Failure::new("E_NOTFOUND", format!("making the secret {}: {} is not set", self.name, self.file))
            })?;
            return Ok(Concealed::new(value.into_encoded_bytes()));
        }
        let mut data = Vec::new();
        let read = if self.file == "-" {
            if io::stdin().is_terminal() {
                let failure = Failure::new("E_CONFIG", "reading a secret from a terminal, which shows what is typed");
                return Err(failure.with_hint("name a file, or pipe it in"));
            }
            io::stdin().lock().take(LARGEST as u64 + 1).read_to_end(&mut data)
        } else {
            File::open(&self.file).and_then(|file| file.take(LARGEST as u64 + 1).read_to_end(&mut data))
        };
        read.map_err(|cause| {
            let code = if cause.kind() == io::ErrorKind::NotFound { "E_NOTFOUND" } else { io_code(&cause) };
            Failure::new(code, format!("reading the secret {} from {}: {cause}", self.name, self.file))
        })?;
        Ok(Concealed::new(data))
    }
}
