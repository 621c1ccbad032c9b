//! All commands: one table, from which the parser, help, the manual and completion come.

use clap::{ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::failure::Failure;
use crate::host::config::storage::StorageConf;
use crate::host::env;

/// What was given before the command, for all commands.
#[derive(Args, Clone, Debug, Default)]
pub struct Globals {
    /// Directory of images and containers [default: $XDG_DATA_HOME/coracle]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options", value_hint = clap::ValueHint::DirPath)]
    pub root: Option<std::path::PathBuf>,
    /// Directory of process records and sockets [default: $XDG_RUNTIME_DIR/coracle]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options", value_hint = clap::ValueHint::DirPath)]
    pub runroot: Option<std::path::PathBuf>,
    /// How root file systems are made: overlay, fuse or copy [default: the first that can be had]
    #[arg(long, global = true, value_name = "DRIVER", help_heading = "Global options")]
    pub storage_driver: Option<String>,
    /// Options of storage, which are given before the command: `run` has others of that name.
    #[arg(skip)]
    pub storage_options: Vec<String>,
    /// More of containers.conf: a file, or one of a directory containers.conf.modules
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options", value_hint = clap::ValueHint::FilePath)]
    pub module: Vec<std::path::PathBuf>,
}

impl Globals {
    /// The roots that these name.
    pub fn layout(&self) -> Result<crate::state::layout::Layout, Failure> {
        let absolute = |path: &Option<std::path::PathBuf>| -> Result<_, Failure> {
            let path = path.as_ref().map(std::path::absolute).transpose();
            path.map_err(|cause| Failure::new("E_DIR", format!("finding the working directory: {cause}")))
        };
        let parsed = |flag, text: Option<&str>| {
            text.map(str::parse).transpose().map_err(|error| super::run::of_flag(flag, error))
        };
        let variable = |variable| env::get(variable).map(|value| value.to_string_lossy().into_owned());
        let driver = match parsed("--storage-driver", self.storage_driver.as_deref())? {
            None => parsed("STORAGE_DRIVER", variable(&env::STORAGE_DRIVER).as_deref())?,
            given => given,
        };
        let mut conf = StorageConf::read();
        conf.broken.iter().for_each(|broken| super::error::warn(&broken.to_string()));
        let options = variable(&env::STORAGE_OPTS).unwrap_or_default();
        let refused = |flag| move |error| super::run::of_flag(flag, error);
        match self.storage_options.is_empty() {
            true => conf
                .take_options(options.split(',').filter(|option| !option.is_empty()))
                .map_err(refused("STORAGE_OPTS"))?,
            false => {
                conf.take_options(self.storage_options.iter().map(String::as_str)).map_err(refused("--storage-opt"))?
            }
        }
        let layout = crate::state::layout::Layout::discover(absolute(&self.root)?, absolute(&self.runroot)?)?;
        Ok(layout.with_storage_driver(driver).with_storage_wishes(conf.first, conf.size))
    }
}

/// The argument of [`Globals::storage_options`].
pub const STORAGE_OPTIONS: &str = "storage_options";

/// A command's arguments, and what it does with them.
pub trait Invocation: Args + FromArgMatches {
    /// For help and the manual: what each does, and the command line.
    const EXAMPLES: &'static [(&'static str, &'static str)];
    /// For the manual: exit codes and their meanings.
    const EXIT_STATUS: &'static [(&'static str, &'static str)] = &[("0", "Success."), ("125", "A failure.")];
    /// For the manual: paragraphs between the description and the options, each with its heading.
    const SECTIONS: &'static [(&'static str, &'static str)] = &[];

    /// Does it. The exit code of success is returned, too: it may be the container's.
    fn execute(self, globals: &Globals) -> Result<u8, Failure>;
}

/// One command.
pub struct Verb {
    /// Its name.
    pub name: &'static str,
    /// Other names, which help shows.
    pub aliases: &'static [&'static str],
    /// Whether help leaves it out.
    pub hidden: bool,
    /// Adds its arguments.
    pub augment: fn(Command) -> Command,
    /// The same with flags that take `=true` and `=false`, for parsing.
    pub augment_for_parsing: fn(Command) -> Command,
    /// Does what the arguments say.
    pub execute: fn(&ArgMatches, &Globals) -> Result<u8, Failure>,
    /// See [`Invocation::EXAMPLES`].
    pub examples: &'static [(&'static str, &'static str)],
    /// See [`Invocation::EXIT_STATUS`].
    pub exit_status: &'static [(&'static str, &'static str)],
    /// See [`Invocation::SECTIONS`].
    pub sections: &'static [(&'static str, &'static str)],
}

/// A command, or a word that groups some.
pub enum Entry {
    /// A command.
    Verb(Verb),
    /// A group: name, what it is about, commands.
    Group(&'static str, &'static str, &'static [Verb]),
}

impl Verb {
    const fn of<I: Invocation>(name: &'static str, aliases: &'static [&'static str]) -> Self {
        Self {
            name,
            aliases,
            hidden: false,
            augment: I::augment_args,
            augment_for_parsing: augment_for_parsing::<I>,
            execute: execute::<I>,
            examples: I::EXAMPLES,
            exit_status: I::EXIT_STATUS,
            sections: I::SECTIONS,
        }
    }

    const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }
}

fn execute<I: Invocation>(matches: &ArgMatches, globals: &Globals) -> Result<u8, Failure> {
    (*arguments::<I>(matches)?).execute(globals)
}

/// Not in the frame of what follows, which may be a monitor that lives for years.
#[inline(never)]
fn arguments<I: Invocation>(matches: &ArgMatches) -> Result<Box<I>, Failure> {
    I::from_arg_matches(matches).map(Box::new).map_err(|error| Failure::new("E_CONFIG", error.to_string()))
}

/// The habits of docker's and podman's parser: `--flag=false` is understood, and an option takes the next word whatever
/// it begins with.
fn augment_for_parsing<I: Args>(command: Command) -> Command {
    own_help(I::augment_args(command)).mut_args(|arg| match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("BOOL")
            .default_value("false")
            .value_parser(parse_boolean),
        ArgAction::Set | ArgAction::Append if !arg.is_positional() && !arg.is_require_equals_set() => {
            arg.allow_hyphen_values(true)
        }
        _ => arg,
    })
}

/// Go's booleans.
pub fn parse_boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false".into()),
    }
}

/// Every command.
pub static ENTRIES: &[Entry] = &[
    Entry::Verb(Verb::of::<super::run::RunArgs>("run", &[])),
    Entry::Verb(Verb::of::<super::create::CreateArgs>("create", &[])),
    Entry::Verb(Verb::of::<super::start::InitArgs>("init", &[])),
    Entry::Verb(Verb::of::<super::start::StartArgs>("start", &[])),
    Entry::Verb(Verb::of::<super::start::RestartArgs>("restart", &[])),
    Entry::Verb(Verb::of::<super::stop::StopArgs>("stop", &[])),
    Entry::Verb(Verb::of::<super::stop::KillArgs>("kill", &[])),
    Entry::Verb(Verb::of::<super::attach::AttachArgs>("attach", &[])),
    Entry::Verb(Verb::of::<super::exec::ExecArgs>("exec", &[])),
    Entry::Verb(Verb::of::<super::freeze::PauseArgs>("pause", &[])),
    Entry::Verb(Verb::of::<super::freeze::UnpauseArgs>("unpause", &[])),
    Entry::Verb(Verb::of::<super::top::TopArgs>("top", &[])),
    Entry::Verb(Verb::of::<super::stats::StatsArgs>("stats", &[])),
    Entry::Verb(Verb::of::<super::pull::PullArgs>("pull", &[])),
    Entry::Verb(Verb::of::<super::push::PushArgs>("push", &[])),
    Entry::Verb(Verb::of::<super::login::LoginArgs>("login", &[])),
    Entry::Verb(Verb::of::<super::logout::LogoutArgs>("logout", &[])),
    Entry::Verb(Verb::of::<super::search::SearchArgs>("search", &[])),
    Entry::Verb(Verb::of::<super::ps::PsArgs>("ps", &[])),
    Entry::Verb(Verb::of::<super::rm::RmArgs>("rm", &[])),
    Entry::Verb(Verb::of::<super::commit::CommitArgs>("commit", &[])),
    Entry::Verb(Verb::of::<super::cp::CpArgs>("cp", &[])),
    Entry::Verb(Verb::of::<super::diff::DiffArgs>("diff", &[])),
    Entry::Verb(Verb::of::<super::export::ExportArgs>("export", &[])),
    Entry::Verb(Verb::of::<super::import::ImportArgs>("import", &[])),
    Entry::Verb(Verb::of::<super::mount::MountArgs>("mount", &[])),
    Entry::Verb(Verb::of::<super::mount::UnmountArgs>("unmount", &["umount"])),
    Entry::Verb(Verb::of::<super::rename::RenameArgs>("rename", &[])),
    Entry::Verb(Verb::of::<super::update::UpdateArgs>("update", &[])),
    Entry::Verb(Verb::of::<super::wait::WaitArgs>("wait", &[])),
    Entry::Verb(Verb::of::<super::port::PortArgs>("port", &[])),
    Entry::Verb(Verb::of::<super::events::EventsArgs>("events", &[])),
    Entry::Verb(Verb::of::<super::logs::LogsArgs>("logs", &[])),
    Entry::Verb(Verb::of::<super::save::SaveArgs>("save", &[])),
    Entry::Verb(Verb::of::<super::load::LoadArgs>("load", &[])),
    Entry::Verb(Verb::of::<super::images::ImagesArgs>("images", &[])),
    Entry::Verb(Verb::of::<super::rmi::RmiArgs>("rmi", &[])),
    Entry::Verb(Verb::of::<super::tag::TagArgs>("tag", &[])),
    Entry::Verb(Verb::of::<super::tag::UntagArgs>("untag", &[])),
    Entry::Verb(Verb::of::<super::history::HistoryArgs>("history", &[])),
    Entry::Verb(Verb::of::<super::inspect::InspectArgs>("inspect", &[])),
    Entry::Group(
        "container",
        "Manage containers",
        &[
            Verb::of::<super::run::RunArgs>("run", &[]),
            Verb::of::<super::create::CreateArgs>("create", &[]),
            Verb::of::<super::start::InitArgs>("init", &[]),
            Verb::of::<super::start::StartArgs>("start", &[]),
            Verb::of::<super::start::RestartArgs>("restart", &[]),
            Verb::of::<super::stop::StopArgs>("stop", &[]),
            Verb::of::<super::stop::KillArgs>("kill", &[]),
            Verb::of::<super::attach::AttachArgs>("attach", &[]),
            Verb::of::<super::exec::ExecArgs>("exec", &[]),
            Verb::of::<super::freeze::PauseArgs>("pause", &[]),
            Verb::of::<super::top::TopArgs>("top", &[]),
            Verb::of::<super::stats::StatsArgs>("stats", &[]),
            Verb::of::<super::freeze::UnpauseArgs>("unpause", &[]),
            Verb::of::<super::ps::PsArgs>("ls", &["list", "ps"]),
            Verb::of::<super::rm::RmArgs>("rm", &[]),
            Verb::of::<super::prune::ContainerPruneArgs>("prune", &[]),
            Verb::of::<super::exists::ExistsArgs>("exists", &[]),
            Verb::of::<super::rename::RenameArgs>("rename", &[]),
            Verb::of::<super::update::UpdateArgs>("update", &[]),
            Verb::of::<super::wait::WaitArgs>("wait", &[]),
            Verb::of::<super::port::PortArgs>("port", &[]),
            Verb::of::<super::logs::LogsArgs>("logs", &[]),
            Verb::of::<super::inspect::InspectContainerArgs>("inspect", &[]),
            Verb::of::<super::commit::CommitArgs>("commit", &[]),
            Verb::of::<super::cp::CpArgs>("cp", &[]),
            Verb::of::<super::diff::DiffArgs>("diff", &[]),
            Verb::of::<super::export::ExportArgs>("export", &[]),
            Verb::of::<super::mount::MountArgs>("mount", &[]),
            Verb::of::<super::mount::UnmountArgs>("unmount", &["umount"]),
            Verb::of::<super::mount::CleanupArgs>("cleanup", &[]).hidden(),
        ],
    ),
    Entry::Group(
        "healthcheck",
        "Check the health of containers",
        &[Verb::of::<super::healthcheck::HealthcheckRunArgs>("run", &[])],
    ),
    Entry::Group(
        "image",
        "Manage images",
        &[
            Verb::of::<super::pull::PullArgs>("pull", &[]),
            Verb::of::<super::push::PushArgs>("push", &[]),
            Verb::of::<super::search::SearchArgs>("search", &[]),
            Verb::of::<super::images::ImagesArgs>("ls", &["list"]),
            Verb::of::<super::rmi::RmiArgs>("rm", &[]),
            Verb::of::<super::inspect::InspectImageArgs>("inspect", &[]),
            Verb::of::<super::import::ImportArgs>("import", &[]),
            Verb::of::<super::scp::ScpArgs>("scp", &[]),
            Verb::of::<super::save::SaveArgs>("save", &[]),
            Verb::of::<super::load::LoadArgs>("load", &[]),
            Verb::of::<super::diff::DiffArgs>("diff", &[]),
            Verb::of::<super::tag::TagArgs>("tag", &[]),
            Verb::of::<super::tag::UntagArgs>("untag", &[]),
            Verb::of::<super::history::HistoryArgs>("history", &[]),
            Verb::of::<super::image_tree::ImageTreeArgs>("tree", &[]),
            Verb::of::<super::exists::ImageExistsArgs>("exists", &[]),
            Verb::of::<super::prune::ImagePruneArgs>("prune", &[]),
            Verb::of::<super::image_mount::ImageMountArgs>("mount", &[]),
            Verb::of::<super::image_mount::ImageUnmountArgs>("unmount", &["umount"]),
        ],
    ),
    Entry::Group(
        "volume",
        "Manage volumes",
        &[
            Verb::of::<super::volume::create::CreateArgs>("create", &[]),
            Verb::of::<super::volume::list::ListArgs>("ls", &["list"]),
            Verb::of::<super::volume::remove::RmArgs>("rm", &["remove"]),
            Verb::of::<super::volume::inspect::InspectArgs>("inspect", &[]),
            Verb::of::<super::volume::inspect::ExistsArgs>("exists", &[]),
            Verb::of::<super::prune::VolumePruneArgs>("prune", &[]),
            Verb::of::<super::volume::export::ExportArgs>("export", &[]),
            Verb::of::<super::volume::export::ImportArgs>("import", &[]),
            Verb::of::<super::volume::mount::MountArgs>("mount", &[]),
            Verb::of::<super::volume::mount::UnmountArgs>("unmount", &["umount"]),
            Verb::of::<super::volume::mount::ReloadArgs>("reload", &[]),
        ],
    ),
    Entry::Group(
        "secret",
        "Manage secrets",
        &[
            Verb::of::<super::secret::create::CreateArgs>("create", &[]),
            Verb::of::<super::secret::list::ListArgs>("ls", &["list"]),
            Verb::of::<super::secret::inspect::InspectArgs>("inspect", &[]),
            Verb::of::<super::secret::remove::RmArgs>("rm", &["remove"]),
            Verb::of::<super::secret::inspect::ExistsArgs>("exists", &[]),
        ],
    ),
    Entry::Group(
        "network",
        "Manage networks",
        &[
            Verb::of::<super::network::create::CreateArgs>("create", &[]),
            Verb::of::<super::network::list::ListArgs>("ls", &["list"]),
            Verb::of::<super::network::remove::RmArgs>("rm", &["remove"]),
            Verb::of::<super::network::inspect::InspectArgs>("inspect", &[]),
            Verb::of::<super::network::inspect::ExistsArgs>("exists", &[]),
            Verb::of::<super::network::connect::ConnectArgs>("connect", &[]),
            Verb::of::<super::network::connect::DisconnectArgs>("disconnect", &[]),
            Verb::of::<super::network::update::UpdateArgs>("update", &[]),
            Verb::of::<super::network::update::ReloadArgs>("reload", &[]),
            Verb::of::<super::network::prune::PruneArgs>("prune", &[]),
        ],
    ),
    Entry::Group(
        "manifest",
        "Manage lists of images for several platforms",
        &[
            Verb::of::<super::manifest::CreateArgs>("create", &[]),
            Verb::of::<super::manifest::AddArgs>("add", &[]),
            Verb::of::<super::manifest::AnnotateArgs>("annotate", &[]),
            Verb::of::<super::manifest::InspectArgs>("inspect", &[]),
            Verb::of::<super::manifest::PushArgs>("push", &[]),
            Verb::of::<super::manifest::RemoveArgs>("remove", &[]),
            Verb::of::<super::manifest::RmArgs>("rm", &[]),
            Verb::of::<super::manifest::ExistsArgs>("exists", &[]),
        ],
    ),
    Entry::Group(
        "system",
        "Manage coracle itself",
        &[
            Verb::of::<super::info::InfoArgs>("info", &[]),
            Verb::of::<super::events::EventsArgs>("events", &[]),
            Verb::of::<super::df::DfArgs>("df", &[]),
            Verb::of::<super::prune::SystemPruneArgs>("prune", &[]),
            Verb::of::<super::check::CheckArgs>("check", &[]),
        ],
    ),
    Entry::Verb(Verb::of::<super::unshare::UnshareArgs>("unshare", &[])),
    Entry::Verb(Verb::of::<super::info::InfoArgs>("info", &[])),
    Entry::Verb(Verb::of::<super::version::VersionArgs>("version", &[])),
    Entry::Verb(Verb::of::<super::completion::CompletionArgs>("completion", &[])),
    Entry::Verb(Verb::of::<super::manual::ManualArgs>("manual", &[]).hidden()),
    Entry::Verb(Verb::of::<super::complete::CompleteArgs>("__complete", &[]).hidden()),
];

/// The command of this path, as `["image", "ls"]`; aliases count.
pub fn find(path: &[&str]) -> Option<&'static Verb> {
    let named = |verb: &&'static Verb, name: &str| verb.name == name || verb.aliases.contains(&name);
    match path {
        [name] => ENTRIES.iter().find_map(|entry| match entry {
            Entry::Verb(verb) if named(&verb, name) => Some(verb),
            _ => None,
        }),
        [group, name] => ENTRIES.iter().find_map(|entry| match entry {
            Entry::Group(this, _, verbs) if this == group => verbs.iter().find(|verb| named(verb, name)),
            _ => None,
        }),
        _ => None,
    }
}

/// Everything, as help, manual and completion show it.
pub fn documented() -> Command {
    let verb = |verb: &'static Verb| {
        let command = (verb.augment)(Command::new(verb.name)).hide(verb.hidden).visible_aliases(verb.aliases.iter());
        let command = own_help(command);
        match verb.examples {
            [] => command,
            examples => command.after_help(example_text(examples)),
        }
    };
    let mut root = root();
    for entry in ENTRIES {
        root = root.subcommand(match entry {
            Entry::Verb(this) => verb(this),
            Entry::Group(name, about, verbs) => {
                let group = Command::new(*name).about(*about).subcommand_required(true);
                own_help(group).subcommands(verbs.iter().map(verb))
            }
        });
    }
    root
}

/// Only what parsing needs, and of the commands those that have a name that `is_meant`: to know all would take longer than the
/// rest of the parsing. A command's arguments are made when the command is met.
pub(super) fn parser(is_meant: &dyn Fn(&str) -> bool) -> Command {
    let is_named = |verb: &Verb| is_meant(verb.name) || verb.aliases.iter().any(|alias| is_meant(alias));
    let verb =
        |verb: &'static Verb| Command::new(verb.name).aliases(verb.aliases.iter()).defer(verb.augment_for_parsing);
    let mut root = root();
    for entry in ENTRIES {
        match entry {
            Entry::Verb(this) if is_named(this) => root = root.subcommand(verb(this)),
            Entry::Group(name, _, verbs) if is_meant(name) => {
                let verbs = verbs.iter().filter(|verb| is_named(verb)).map(verb);
                root = root.subcommand(own_help(Command::new(*name)).subcommand_required(true).subcommands(verbs));
            }
            _ => {}
        }
    }
    root
}

fn root() -> Command {
    let version = clap::Arg::new("version").short('v').long("version").action(ArgAction::Version);
    let storage = clap::Arg::new(STORAGE_OPTIONS).long("storage-opt").action(ArgAction::Append).value_name("KEY=VALUE");
    let storage =
        storage.help("How root file systems are made, in the place of options of storage.conf (before the command)");
    own_help(Globals::augment_args(Command::new("coracle")))
        .arg(storage.help_heading("Global options"))
        .version(env!("CARGO_PKG_VERSION"))
        .about("Run containers: rootless, for one user, without a daemon")
        .long_about(None)
        .disable_version_flag(true)
        .max_term_width(100)
        .arg(version.help("Print the version"))
}

/// Help is one text, for `-h` and `--help`; `-h` is another flag of `run`.
fn own_help(command: Command) -> Command {
    let help = clap::Arg::new("help").long("help").action(ArgAction::Help).help_heading(None).help("Print help");
    let taken = command.get_arguments().any(|arg| arg.get_short() == Some('h'));
    let help = if taken { help } else { help.short('h') };
    command.disable_help_flag(true).arg(help)
}

fn example_text(examples: &[(&str, &str)]) -> String {
    let mut text = String::from("Examples:");
    for (what, line) in examples {
        text.push_str(&format!("\n  {what}:\n    {line}"));
    }
    text
}
