//! `run`.

pub mod defaults;
pub mod devices;
pub mod health;
pub mod network;
pub mod process;
pub mod refused;
pub mod resources;
pub mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueHint};

use self::devices::DeviceFlags;
use self::health::HealthFlags;
use self::network::{NetworkFlags, Networking};
use self::process::ProcessFlags;
use self::refused::RefusedFlags;
use self::resources::{LimitFlags, ResourceFlags};
use self::volumes::{MountFlags, Mounts};
use super::dispatch;
use super::log_flags::LogFlags;
use super::rare::Rare;
use super::registry_flags::{PlatformFlags, PullFlags};
use super::tree::{Globals, Invocation};
use crate::container::attach::Attachment;
use crate::container::launch::Presence;
use crate::container::monitor::detach_keys::DetachKeys;
use crate::container::request::{
    CapabilityChanges, DirectoryWrites, Init, PidFiles, Removal, Request, RestartPolicy, RootfsSource, STOP_TIMEOUT,
    Stdin, Terminal,
};
use crate::container::run::check_cidfile;
use crate::failure::{Explain, Failure};
use crate::host::config::containers::ContainersConf;
use crate::host::security;
use crate::image::request::{Progress, RegistryAccess};
use crate::name::container_path::parse_container_path;
use crate::name::entrypoint::parse_entrypoint;
use crate::name::env_setting::{EnvSetting, parse_env_file};
use crate::name::host_name::parse_host_name;
use crate::name::image_location::ImageLocation;
use crate::name::label::{parse_label, parse_label_file};
use crate::name::mount::Access;
use crate::name::pull_policy::PullPolicy;
use crate::name::security_option::{SecurityOption, SecurityOptions};

/// Run a command in a new container
///
/// Makes a container from an image, which is pulled if it is not in the store, and runs a command in it: COMMAND, or the
/// one that the image names. The exit code is the command's.
#[derive(Args, Clone, Debug, Default)]
#[command(override_usage = "coracle run [OPTIONS] IMAGE [COMMAND [ARG]...]")]
pub struct RunArgs {
    /// Print the container's id and leave it running
    #[arg(short, long)]
    detach: bool,
    /// Pass on N descriptors beside the standard ones: 3, 4, and so on; none may be a terminal
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    preserve_fds: u16,
    /// Pass on the descriptors of these numbers, with commas between them; none may be a terminal
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(i32).range(3..))]
    preserve_fd: Vec<i32>,
    /// Remove the image, too, when the container has ended; implies --rm
    #[arg(long, conflicts_with = "detach")]
    rmi: bool,
    #[command(flatten)]
    presence: PresenceFlags,
    #[command(flatten)]
    container: ContainerFlags,
}

/// How a command takes part in the container that it starts.
#[derive(Args, Clone, Debug, Default)]
pub struct PresenceFlags {
    /// Keys that leave the container running, with a terminal; "" for none [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Pass signals to this command on to the container
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = super::tree::parse_boolean)]
    sig_proxy: Option<bool>,
}

impl PresenceFlags {
    /// The keys.
    pub fn keys(&self) -> Result<DetachKeys, Failure> {
        detach_keys(self.detach_keys.as_deref())
    }

    /// Whether signals are passed on.
    pub fn signals(&self) -> bool {
        self.sig_proxy.unwrap_or(true)
    }
}

/// What a new container is to be: of `run` and `create`.
#[derive(Args, Clone, Debug, Default)]
pub struct ContainerFlags {
    /// Image, then the command to run in place of the image's, and its arguments
    #[arg(value_name = "IMAGE", required = true, trailing_var_arg = true, num_args = 1..)]
    image_and_command: Vec<OsString>,

    /// Remove the container when it exits
    #[arg(long)]
    rm: bool,
    /// Let the container read standard input
    #[arg(short, long)]
    interactive: bool,
    /// Give the container a terminal of its own
    #[arg(short, long)]
    tty: bool,
    /// Name of the container [default: chosen at random]
    #[arg(long)]
    name: Option<String>,

    /// Attach to these streams only: stdin, stdout, stderr
    #[arg(short, long, value_name = "STREAM", value_delimiter = ',')]
    attach: Vec<String>,
    /// Remove a container of the same name first, even if it runs
    #[arg(long, requires = "name")]
    replace: bool,
    /// Start it again when it ends: no, always, unless-stopped, on-failure, on-failure:N
    #[arg(long, value_name = "POLICY", help_heading = "End")]
    restart: Option<String>,
    /// Signal that asks it to end [default: the image's, or SIGTERM]
    #[arg(long, value_name = "SIGNAL", help_heading = "End")]
    stop_signal: Option<String>,
    /// Seconds it has to end before it is killed [default: 10]
    #[arg(long, value_name = "SECONDS", help_heading = "End")]
    stop_timeout: Option<u32>,
    /// Kill it after so many seconds; 0 for never
    #[arg(long, value_name = "SECONDS", default_value_t = 0, help_heading = "End")]
    timeout: u32,

    #[command(flatten, next_help_heading = "Health")]
    health: Rare<HealthFlags>,

    /// Set an environment variable; NAME alone takes the value from here, PREFIX* all that begin so
    #[arg(short, long, value_name = "NAME[=VALUE]", help_heading = "Process")]
    env: Vec<OsString>,
    /// Set the environment variables of this file, one NAME=VALUE a line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Process")]
    env_file: Vec<PathBuf>,
    /// Working directory in the container
    #[arg(short, long, value_name = "DIR", help_heading = "Process")]
    workdir: Option<String>,
    /// User, and group, by name or by number
    #[arg(short, long, value_name = "USER[:GROUP]", help_heading = "Process")]
    user: Option<String>,
    /// How other users of the image are made: auto, range, native, emulate, fake
    #[arg(long, value_name = "MODE", help_heading = "Process")]
    ids: Option<String>,
    /// Replace the image's entrypoint: one program, a JSON array of words, or "" for none
    #[arg(long, value_name = "PROGRAM", help_heading = "Process")]
    entrypoint: Option<String>,
    /// Run an init that reaps orphans and passes signals on
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = super::tree::parse_boolean, help_heading = "Process")]
    init: Option<bool>,
    #[command(flatten, next_help_heading = "Process")]
    process: Rare<ProcessFlags>,

    /// Host name of the container [default: its short id]
    #[arg(short = 'h', long, value_name = "NAME", help_heading = "Surroundings")]
    hostname: Option<String>,
    /// Make the container's root directory read-only
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = super::tree::parse_boolean, help_heading = "Surroundings")]
    read_only: Option<bool>,
    #[command(flatten, next_help_heading = "Network")]
    network: NetworkFlags,
    #[command(flatten, next_help_heading = "Mounts")]
    mounts: MountFlags,
    /// Take IMAGE for a directory of the host to use as the root directory; DIR:O throws away what is written to it
    #[arg(long, help_heading = "Surroundings")]
    rootfs: bool,

    /// Add a capability, or ALL
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',', help_heading = "Privileges")]
    cap_add: Vec<String>,
    /// Drop a capability, or ALL
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',', help_heading = "Privileges")]
    cap_drop: Vec<String>,
    /// Security option: no-new-privileges, seccomp=FILE, seccomp=unconfined, mask=PATH, unmask=PATH, unmask=ALL, proc-opts=hidepid=2, apparmor=PROFILE
    #[arg(long, value_name = "OPTION", help_heading = "Privileges")]
    security_opt: Vec<String>,

    /// Label of the container
    #[arg(short, long, value_name = "KEY[=VALUE]", help_heading = "Bookkeeping")]
    label: Vec<String>,
    /// Label the container with the labels of this file, one KEY=VALUE a line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Bookkeeping")]
    label_file: Vec<PathBuf>,
    /// Write the container's id to this file, which must not exist
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Bookkeeping")]
    cidfile: Option<PathBuf>,
    /// Option of the storage driver: size=SIZE, what may be written into the container's root file system
    #[arg(long, value_name = "KEY=VALUE")]
    storage_opt: Vec<String>,

    #[command(flatten, next_help_heading = "Devices, secrets and hooks")]
    devices: Rare<DeviceFlags>,

    #[command(flatten)]
    refused: Rare<RefusedFlags>,
    /// Write the process id of the container's first process to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Bookkeeping")]
    pidfile: Option<PathBuf>,
    /// Write that of its monitor to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Bookkeeping")]
    conmon_pidfile: Option<PathBuf>,

    #[command(flatten, next_help_heading = "Limits")]
    limits: Rare<LimitFlags>,
    #[command(flatten, next_help_heading = "Limits")]
    resources: Rare<ResourceFlags>,

    #[command(flatten, next_help_heading = "Log")]
    log: Rare<LogFlags>,

    /// When to ask the registry for the image: always, missing, never or newer [default: missing]
    #[arg(long, value_name = "POLICY", help_heading = "Image")]
    pull: Option<String>,
    /// Print the steps that the container's init would execute, and make nothing
    #[arg(long, hide = true)]
    print_plan: bool,
    /// Do not show the progress of a pull
    #[arg(short, long, help_heading = "Image")]
    quiet: bool,
    #[command(flatten, next_help_heading = "Image")]
    platform: Rare<PlatformFlags>,
    #[command(flatten, next_help_heading = "Image")]
    registry: PullFlags,
}

/// All that `run` was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The container.
    pub request: Request,
    /// How to speak to the registry, if the image has to be pulled.
    pub access: RegistryAccess,
    /// What is said while pulling.
    pub progress: Progress,
    /// What becomes of the plan.
    pub plan: PlanUse,
    /// How the command takes part.
    pub presence: Presence,
    /// Whether a container of the same name is removed first.
    pub replaces: bool,
    /// Whether the image is removed last.
    pub removes_image: bool,
}

/// What becomes of a container's launch plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanUse {
    /// It is executed.
    Execute,
    /// It is printed (`--print-plan`).
    Print,
}

impl Invocation for RunArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("A shell in Debian, removed afterwards", "coracle run --rm -it debian bash"),
        ("Compile what is in this directory", "coracle run --rm -v ./:/src -w /src gcc make"),
        ("In the background, with a name", "coracle run -d --name web nginx"),
        ("A copy-on-write view of this machine", "coracle run --rm -it --rootfs /:O bash"),
    ];
    const EXIT_STATUS: &'static [(&'static str, &'static str)] = &[
        ("N", "The exit code of the command; 128 + N if signal N ended it."),
        ("125", "coracle itself failed; the command was not run."),
        ("126", "The command cannot be executed."),
        ("127", "The command was not found."),
    ];
    const SECTIONS: &'static [(&'static str, &'static str)] = &[
        (
            "ENVIRONMENT FILES",
            "A line of an environment file is NAME=VALUE, or NAME to take the value from here. Everything after the first \
             equals sign is the value: there is no quoting. Empty lines and lines that begin with # are skipped. \
             Variables of --env win over those of files, and later ones over earlier ones.",
        ),
        (
            "MOUNTS",
            "A source that begins with a slash or a dot is a path of the host, taken below the working directory if it is not \
             absolute. Any other is the name of a volume, which is made if it is not there; without a source a volume is made \
             for this container alone, and goes with it under --rm and rm --volumes. What the image has at the destination is \
             copied into a new volume, unless the option nocopy says otherwise. Volumes that the image asks for are of this \
             kind, too, unless --image-volume says otherwise. --mount says all this in words. Mounts are private, \
             unless rslave lets mounts of the host come in later, and set-user-id bits and devices on them have no effect. What \
             is read-only is that with all that is mounted below it. With the option O writes go to a layer on top of the \
             source, which is thrown away when the container ends, or kept in upperdir= and workdir=. The options z and Z \
             change nothing, since processes of a container have the SELinux label of who started it, and U neither, since \
             all files have the one id of the container. --mount type=image,src=IMAGE shows an image of the store, \
             type=glob,src=PATTERN each path that matches, type=devpts terminals of its own, and type=ramfs memory that is \
             never swapped; a field with a comma is put in quotation marks.",
        ),
        (
            "LIMITS",
            "What all processes of a container use together is limited by a control group, which is made where the kernel lets \
             this user make one: below the own group, if that was delegated (control groups v2); in a scope that systemd's \
             user manager is asked for; or below the own groups of the single controllers, as far as they may be written to \
             (control groups v1). coracle info says which of these it is. A limit that cannot be enforced is an error; with \
             --limits=soft the memory of each process, and the number of processes, are limited as far as limits of single \
             processes can do that, and what is not enforced is said. When there is no memory left below the limit, the \
             kernel kills a process of the container, and this is said, too.",
        ),
        (
            "CONFIGURATION",
            "What is not given comes from containers.conf(5): the files of /usr/share/containers, of /etc/containers, and of \
             $XDG_CONFIG_HOME/containers, each with those of its directory containers.conf.d, later ones winning; or from the file \
             that CONTAINERS_CONF names; then from those that --module names, a path or a file below the directories \
             containers.conf.modules of the same places; and last from that of CONTAINERS_CONF_OVERRIDE. Honoured are, of [containers]: \
             annotations, apparmor_profile, base_hosts_file, cgroup_conf, cgroupns, cgroups, container_name_as_hostname, \
             default_capabilities, default_sysctls, default_ulimits, devices, dns_options, dns_searches, dns_servers, env, \
             env_host, host_containers_internal_ip, http_proxy, init, interface_name, ipcns, keyring, log_driver, log_path, \
             log_size_max, log_tag, mounts, netns, no_hosts, oom_score_adj, pidns, pids_limit, prepare_volume_on_create, \
             privileged, read_only, seccomp_profile, shm_size, tz, umask, userns, utsns, volumes; of [engine]: cdi_spec_dirs, \
             chown_copied_files, compression_format, compression_level, detach_keys, env, healthcheck_events, \
             helper_binaries_dir, hooks_dir, image_default_format, image_parallel_copies, image_volume_mode, \
             multi_image_archive, network_cmd_options, network_cmd_path, pull_policy, retry, retry_delay, stop_timeout, \
             volume_plugins; of [network]: default_network, default_rootless_network_cmd, default_subnet, \
             default_subnet_pools, pasta_options; of [secrets]: driver, opts. All commands go by those that concern them. Other \
             keys have no meaning here: that is told once, with the reason, and by coracle info. A file that cannot be read \
             is a warning. With keyring = false processes have the session keyring of who started the container. A pids_limit \
             that cannot be enforced is enforced as far as possible, as with --limits=soft. Variables of proxies are set only if http_proxy says \
             so. The environment is, from weakest to strongest: that of env, of --env-host and --http-proxy, the image's, as \
             --env-merge and --unsetenv change it, then --env-file and --env.",
        ),
        ("DIFFERENCES FROM PODMAN", refused::PARAGRAPH),
        (
            "LOGS",
            "What a container writes is kept unless it is run with --rm, without --detach, and without naming a log driver or \
             option: by json-file in Docker's format, by k8s-file in that of Kubernetes, by journald in systemd's journal. With passthrough the container gets the standard output and error \
             of this command, which must not be a terminal, and with none its output is not kept. A file of a log is as long as \
             max-size (500k, 10m, 1g) says; then a new one is begun, and of the old ones so many are kept that there are \
             max-file in all, 1 by default. Old ones are not compressed. The file is in the container's directory, or \
             elsewhere with path. With journald the tag of the entries is the short id, or what tag says. What cannot be \
             written, as on a full disk, is lost: the container does not wait for it, and the log says how many lines are \
             missing.",
        ),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let asked = self.settled()?;
        dispatch::run(&globals.layout()?, *asked)
    }
}

impl RunArgs {
    /// What is asked for, with the defaults of this machine; as [`super::tree`] does it, in a frame of its own.
    #[inline(never)]
    fn settled(self) -> Result<Box<Asked>, Failure> {
        let working_directory = std::env::current_dir();
        let working_directory = working_directory
            .map_err(|cause| Failure::new("E_DIR", format!("finding the working directory: {cause}")))?;
        defaults::settle(self, Self::take_defaults, |args| args.into_asked(&working_directory, security::Modules::here))
            .map(Box::new)
    }

    fn take_defaults(&mut self, conf: &ContainersConf) {
        self.container.take_defaults(conf);
    }

    /// In types: see [`ContainerFlags::into_asked`].
    pub fn into_asked(self, working_directory: &Path, modules: fn() -> security::Modules) -> Result<Asked, Failure> {
        let (keys, signals) = (self.presence.keys()?, self.presence.signals());
        if self.detach && !self.container.attach.is_empty() {
            return Err(Failure::new("E_CONFIG", "--detach leaves the container, --attach stays with it: choose one"));
        }
        let (input, output, error) = self.container.attached_streams()?;
        let mut container = self.container;
        container.rm |= self.rmi;
        let mut asked = container.into_asked(working_directory, modules)?;
        asked.removes_image = self.rmi;
        asked.request.preserved = (3..3 + i32::from(self.preserve_fds)).chain(self.preserve_fd).collect();
        let request = &asked.request;
        if !request.preserved.is_empty() && request.restart != RestartPolicy::No {
            let message = "--preserve-fds: descriptors are given to one process, --restart would start another";
            return Err(Failure::new("E_CONFIG", message).with_hint("leave one of them out"));
        }
        let terminal = request.terminal == Terminal::New;
        let is_plain = input && output && error && signals && !terminal && request.restart == RestartPolicy::No;
        asked.presence = match self.detach {
            true => Presence::Detached,
            false if is_plain => Presence::Monitor,
            false => {
                let input = input && request.stdin == Stdin::Open;
                Presence::Attached(Attachment { input, output, error, terminal, signals, keys })
            }
        };
        Ok(asked)
    }
}

impl ContainerFlags {
    /// Which streams `--attach` names: input, output, error; all where it is absent.
    fn attached_streams(&self) -> Result<(bool, bool, bool), Failure> {
        let mut streams = (self.attach.is_empty(), self.attach.is_empty(), self.attach.is_empty());
        for word in &self.attach {
            match word.to_ascii_lowercase().as_str() {
                "stdin" => streams.0 = true,
                "stdout" => streams.1 = true,
                "stderr" => streams.2 = true,
                _ => {
                    return Err(Failure::new("E_CONFIG", format!("--attach: {word:?} is not stdin, stdout or stderr")));
                }
            }
        }
        Ok(streams)
    }

    /// In types. Reads the files of `--env-file` and `--label-file`; `modules` is asked only where they matter.
    pub fn into_asked(self, working_directory: &Path, modules: fn() -> security::Modules) -> Result<Asked, Failure> {
        self.refused.check()?;
        let rootfs = self.rootfs_source(working_directory)?;
        let Mounts { binds, tmpfs, volumes, images, kernel, read_only_tmpfs, from, of_image, fill_at_once } =
            self.mounts.parsed(working_directory)?;
        let Networking { mode: network, ports, resolution } = self.network.parsed(working_directory)?;
        if let Some(cidfile) = &self.cidfile {
            check_cidfile(cidfile)?;
        }
        let restart: RestartPolicy = parsed("--restart", self.restart.as_deref())?.unwrap_or_default();
        if self.rm && restart != RestartPolicy::No {
            return Err(Failure::new(
                "E_CONFIG",
                "--rm removes the container when it ends, --restart starts it again: choose one",
            ));
        }
        let size_limit = size_limit(&self.storage_opt)?;
        let terminal = if self.tty { Terminal::New } else { Terminal::None };
        let devices::Given { devices, privileged, secrets, hooks_dirs } = self.devices.parsed(working_directory)?;
        let mut capabilities = CapabilityChanges {
            add: all_parsed("--cap-add", &self.cap_add)?,
            drop: all_parsed("--cap-drop", &self.cap_drop)?,
        };
        let mut security = self.security_options(modules)?;
        self.devices.widen(&mut capabilities, &mut security);
        let request = Request {
            rootfs,
            name: parsed("--name", self.name.as_deref())?,
            removal: if self.rm { Removal::AtExit } else { Removal::Never },
            stdin: if self.interactive { Stdin::Open } else { Stdin::Null },
            terminal,
            log: self.log.request(working_directory, terminal)?,
            env: env_settings(&self.env_file, &self.env)?,
            workdir: with("--workdir", self.workdir.as_deref(), parse_container_path)?,
            user: parsed("--user", self.user.as_deref())?,
            ids: parsed("--ids", self.ids.as_deref())?.unwrap_or_default(),
            entrypoint: with("--entrypoint", self.entrypoint.as_deref(), parse_entrypoint)?,
            command: self.image_and_command[1..].to_vec(),
            hostname: with("--hostname", self.hostname.as_deref(), parse_host_name)?,
            rootfs_access: if self.read_only == Some(true) { Access::ReadOnly } else { Access::ReadWrite },
            network,
            ports,
            resolution,
            init: if self.init == Some(true) { Init::Reaper } else { Init::Payload },
            capabilities,
            security,
            devices,
            privileged,
            secrets,
            hooks_dirs,
            mounts: binds,
            tmpfs,
            volumes,
            images,
            kernel_mounts: kernel,
            read_only_tmpfs,
            volumes_from: from,
            image_volumes: of_image,
            fill_at_once,
            labels: self.labels()?,
            restart,
            health: self.health.request()?,
            stop_signal: parsed("--stop-signal", self.stop_signal.as_deref())?,
            stop_timeout: self.stop_timeout.unwrap_or(STOP_TIMEOUT),
            time_limit: (self.timeout > 0).then_some(self.timeout),
            limits: self.resources.request(&self.limits)?,
            process: self.process.request()?,
            preserved: BTreeSet::new(),
            pid_files: PidFiles {
                container: self.pidfile.map(|path| working_directory.join(path)),
                monitor: self.conmon_pidfile.map(|path| working_directory.join(path)),
            },
            size_limit,
            cidfile: self.cidfile,
        };
        let progress = if self.quiet { Progress::Quiet } else { Progress::Shown };
        let plan = if self.print_plan { PlanUse::Print } else { PlanUse::Execute };
        let access = self.registry.access()?;
        Ok(Asked {
            request,
            access,
            progress,
            plan,
            presence: Presence::Detached,
            replaces: self.replace,
            removes_image: false,
        })
    }

    fn rootfs_source(&self, working_directory: &Path) -> Result<RootfsSource, Failure> {
        let Some(image) = self.image_and_command.first() else {
            return Err(Failure::new("E_CONFIG", "no image was given"));
        };
        let platform = self.platform.clone().into_inner().platform()?;
        let pull = parsed("--pull", self.pull.as_deref())?.unwrap_or(PullPolicy::Missing);
        if !self.rootfs {
            let image = utf8("the image", image)?;
            if let Ok(ImageLocation::Archive(location)) = image.parse() {
                return Ok(RootfsSource::Archive { location, platform });
            }
            let selector = image.parse().map_err(|error| of_flag("IMAGE", error))?;
            return Ok(RootfsSource::Image { selector, pull, platform });
        }
        if platform.is_some() {
            return Err(Failure::new(
                "E_CONFIG",
                "--rootfs takes a directory as it is: it cannot have another platform",
            ));
        }
        let (path, writes) = split_rootfs(image)?;
        Ok(RootfsSource::Directory { path: working_directory.join(path), writes })
    }

    fn labels(&self) -> Result<BTreeMap<String, String>, Failure> {
        let mut labels = BTreeMap::new();
        for path in &self.label_file {
            let contents = read("--label-file", path)?;
            labels.extend(parse_label_file(&contents).map_err(|error| of_file("--label-file", path, error))?);
        }
        for text in &self.label {
            labels.extend([parse_label(text).map_err(|error| of_flag("--label", error))?]);
        }
        Ok(labels)
    }

    fn security_options(&self, modules: fn() -> security::Modules) -> Result<SecurityOptions, Failure> {
        let mut options = SecurityOptions::default();
        for option in all_parsed::<SecurityOption>("--security-opt", &self.security_opt)? {
            // Labels are never set, so there is nothing to disable; a profile of AppArmor that we are under ourselves
            // is another matter.
            if option == SecurityOption::AppArmorUnconfined && modules().apparmor_profile.is_some() {
                return Err(Failure::new(
                    "E_CONFIG",
                    "--security-opt apparmor=unconfined: coracle itself is confined by AppArmor and cannot leave that",
                ));
            }
            if let SecurityOption::AppArmor(profile) = &option
                && !modules().apparmor
            {
                let message = format!("--security-opt apparmor={profile}: this kernel has no AppArmor in force");
                return Err(Failure::new("E_CONFIG", message).with_hint("leave it out here"));
            }
            options.apply(option);
        }
        Ok(options)
    }
}

/// The settings of environment files, then those of `--env`.
pub(super) fn env_settings(files: &[PathBuf], given: &[OsString]) -> Result<Vec<EnvSetting>, Failure> {
    let mut settings = Vec::new();
    for path in files {
        settings
            .extend(parse_env_file(&read("--env-file", path)?).map_err(|error| of_file("--env-file", path, error))?);
    }
    for text in given {
        settings.push(EnvSetting::parse(text).map_err(|error| of_flag("--env", error))?);
    }
    Ok(settings)
}

/// `size=SIZE`.
fn size_limit(options: &[String]) -> Result<Option<u64>, Failure> {
    let mut limit = None;
    for option in options {
        let Some(size) = option.strip_prefix("size=") else {
            let failure = Failure::new("E_CONFIG", format!("--storage-opt {option:?}: there is no such option"));
            return Err(failure.with_hint("size=SIZE limits what may be written into the container's root file system"));
        };
        limit = Some(crate::name::byte_size::parse_bytes(size).map_err(|error| of_flag("--storage-opt", error))?);
    }
    Ok(limit)
}

/// The keys of `--detach-keys`, or those of containers.conf, where an empty text stands for none as well.
pub(super) fn detach_keys(given: Option<&str>) -> Result<DetachKeys, Failure> {
    let conf = ContainersConf::here();
    if given.is_some() || !conf.has("detach_keys") {
        return Ok(parsed("--detach-keys", given)?.unwrap_or_default());
    }
    let keys = conf.text("detach_keys").unwrap_or_default();
    let expected = "a list of keys with commas between them, like ctrl-p,ctrl-q";
    keys.parse().map_err(|_| conf.unusable("detach_keys", &keys, expected).into())
}

/// `DIR` or `DIR:O`.
fn split_rootfs(text: &OsStr) -> Result<(&Path, DirectoryWrites), Failure> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = text.as_bytes();
    let (path, writes) = match bytes.strip_suffix(b":O") {
        Some(path) => (path, DirectoryWrites::Discarded),
        None => (bytes, DirectoryWrites::Through),
    };
    if path.is_empty() || path.ends_with(b":idmap") {
        return Err(Failure::new("E_CONFIG", format!("{text:?} is not a root directory: expected DIR or DIR:O")));
    }
    Ok((Path::new(OsStr::from_bytes(path)), writes))
}

fn utf8<'a>(what: &str, text: &'a OsStr) -> Result<&'a str, Failure> {
    text.to_str().ok_or_else(|| Failure::new("E_NAME_INVALID", format!("{what} {text:?} is not text")))
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|cause| {
        let code = if cause.kind() == std::io::ErrorKind::NotFound { "E_NOTFOUND" } else { "E_IO" };
        Failure::new(code, format!("{flag}: reading {path:?}: {cause}"))
    })
}

pub(super) fn parsed<T: FromStr<Err: Explain>>(flag: &'static str, text: Option<&str>) -> Result<Option<T>, Failure> {
    with(flag, text, str::parse)
}

pub(super) fn with<T, E: Explain>(
    flag: &'static str,
    text: Option<&str>,
    parse: fn(&str) -> Result<T, E>,
) -> Result<Option<T>, Failure> {
    text.map(parse).transpose().map_err(|error| of_flag(flag, error))
}

pub(super) fn all_parsed<T: FromStr<Err: Explain>>(flag: &'static str, texts: &[String]) -> Result<Vec<T>, Failure> {
    texts.iter().map(|text| text.parse()).collect::<Result<_, T::Err>>().map_err(|error| of_flag(flag, error))
}

/// A value that was refused, with the flag it was given to.
#[derive(Debug, thiserror::Error)]
#[error("{place}")]
struct InPlace<E: Explain> {
    place: String,
    #[source]
    cause: E,
}

impl<E: Explain> Explain for InPlace<E> {
    fn code(&self) -> &'static str {
        self.cause.code()
    }

    fn hint(&self) -> Option<String> {
        self.cause.hint()
    }

    fn exit_code(&self) -> u8 {
        self.cause.exit_code()
    }
}

pub(super) fn of_flag(flag: &'static str, cause: impl Explain) -> Failure {
    InPlace { place: flag.into(), cause }.into()
}

fn of_file(flag: &'static str, path: &Path, cause: impl Explain) -> Failure {
    InPlace { place: format!("{flag} {path:?}"), cause }.into()
}

#[cfg(test)]
mod tests;
