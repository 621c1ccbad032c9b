//! What is not given on the command line, from containers.conf and the environment.

use super::{Asked, ContainerFlags};
use crate::cli::configuration::configured;
use crate::failure::Failure;
use crate::host::config::containers::ContainersConf;
use crate::host::security;
use crate::lsm::capability;
use crate::name::capability::CapabilitySet;
use crate::name::capability_change::CapabilityName;

/// In types, with what is configured. What cannot be used of that is told; a value that is not one of the flag's is an error
/// that names the files.
pub fn settle<F: Clone>(
    mut flags: F,
    take_defaults: fn(&mut F, &ContainersConf),
    into_asked: impl Fn(F) -> Result<Asked, Failure>,
) -> Result<Asked, Failure> {
    let conf = configured();
    if conf.is_empty() {
        take_defaults(&mut flags, conf);
        return into_asked(flags);
    }
    let plain = flags.clone();
    take_defaults(&mut flags, conf);
    into_asked(flags).map_err(|failure| match into_asked(plain) {
        Ok(_) => {
            let files: Vec<_> = conf.files.iter().map(|file| file.display().to_string()).collect();
            let failure = failure.in_place(&format!("containers.conf ({})", files.join(", ")));
            failure.with_hint("the value is a default there: correct it, or give the flag")
        }
        Err(_) => failure,
    })
}

impl ContainerFlags {
    /// Takes what is not given from containers.conf, and from the environment.
    pub fn take_defaults(&mut self, conf: &ContainersConf) {
        self.process.take_environment();
        self.process.take_defaults(conf);
        self.resources.take_defaults(&mut self.limits, conf);
        self.mounts.take_defaults(conf);
        self.network.take_defaults(conf);
        self.devices.take_defaults(conf);
        if conf.flag("container_name_as_hostname") == Some(true) && self.process.has_own_host_name() {
            self.hostname = self.hostname.take().or_else(|| self.name.clone());
        }
        self.log.take_defaults(conf);
        self.init = self.init.or(conf.flag("init"));
        self.read_only = self.read_only.or(conf.flag("read_only"));
        self.pull = self.pull.take().or_else(|| conf.text("pull_policy"));
        self.stop_timeout = self.stop_timeout.or(conf.text("stop_timeout").and_then(|text| text.parse().ok()));
        if let Some(profile) = conf.text("seccomp_profile")
            && !self.security_opt.iter().any(|option| option.starts_with("seccomp"))
        {
            self.security_opt.push(format!("seccomp={profile}"));
        }
        // As podman's: there is nothing to confine with where AppArmor is not in force.
        if let Some(profile) = conf.text("apparmor_profile")
            && !self.security_opt.iter().any(|option| option.starts_with("apparmor"))
            && !self.devices.is_privileged()
            && security::Modules::here().apparmor
        {
            self.security_opt.push(format!("apparmor={profile}"));
        }
        if conf.has("default_capabilities") {
            self.take_capabilities(conf.list("default_capabilities"));
        }
    }

    /// What the list has more than we have by default is added, what it has less is dropped, as far as the flags do not say
    /// otherwise.
    fn take_capabilities(&mut self, names: &[String]) {
        let parse =
            |names: &[String]| names.iter().filter_map(|name| name.parse().ok()).collect::<Vec<CapabilityName>>();
        let (added, dropped) = (parse(&self.cap_add), parse(&self.cap_drop));
        if added.contains(&CapabilityName::All) || dropped.contains(&CapabilityName::All) {
            return;
        }
        let wanted = parse(names).into_iter().filter_map(|name| match name {
            CapabilityName::One(capability) => Some(capability),
            CapabilityName::All => None,
        });
        let wanted = CapabilitySet::of(&wanted.collect::<Vec<_>>());
        let differs = |one: CapabilitySet, other: CapabilitySet, flags: &[CapabilityName]| {
            let missing = one.iter().filter(|&capability| !other.contains(capability));
            let unsaid = missing.filter(|&capability| !flags.contains(&CapabilityName::One(capability)));
            unsaid.map(|capability| capability.to_string()).collect::<Vec<_>>()
        };
        let (more, less) =
            (differs(wanted, capability::DEFAULT, &dropped), differs(capability::DEFAULT, wanted, &added));
        self.cap_add.extend(more);
        self.cap_drop.extend(less);
        // A word that is none is refused as it would be on the command line.
        self.cap_add.extend(names.iter().filter(|name| name.parse::<CapabilityName>().is_err()).cloned());
    }
}
