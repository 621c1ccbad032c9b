//! Security modules, seccomp, Landlock: what the kernel has of them.

use std::io::Write;
use std::path::Path;

use super::kernel::one_line;

/// Linux security modules, as they concern us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modules {
    /// All that are active, in order; empty if the kernel does not tell.
    pub active: Vec<String>,
    /// Whether SELinux is enabled.
    pub selinux: bool,
    /// Whether AppArmor is enabled.
    pub apparmor: bool,
    /// The profile of AppArmor that confines us, if one does.
    pub apparmor_profile: Option<String>,
    /// Whether AppArmor has no profile for us: not even one that takes nothing from us.
    pub apparmor_unconfined: bool,
}

impl Modules {
    /// Those of this kernel and process.
    pub fn here() -> Self {
        let apparmor = one_line(Path::new("/sys/module/apparmor/parameters/enabled")).as_deref() == Some("Y");
        let label = || {
            let own = one_line(Path::new("/proc/self/attr/apparmor/current"));
            own.or_else(|| one_line(Path::new("/proc/self/attr/current")))
        };
        let active = one_line(Path::new("/sys/kernel/security/lsm")).unwrap_or_default();
        Self {
            active: active.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            selinux: Path::new("/sys/fs/selinux/enforce").exists(),
            apparmor,
            ..Self::default()
        }
        .with_apparmor_label(apparmor.then(label).flatten())
    }

    /// These, for a process with this label: a line of `/proc/self/attr/apparmor/current`.
    pub fn with_apparmor_label(self, label: Option<String>) -> Self {
        let apparmor_unconfined = label.as_deref() == Some("unconfined");
        Self { apparmor_unconfined, apparmor_profile: label.filter(|label| is_confining(label)), ..self }
    }
}

/// Has the next program that this process or a child of it executes run under a profile of AppArmor.
pub fn set_exec_profile(profile: &str) -> std::io::Result<()> {
    let own = Path::new("/proc/self/attr/apparmor/exec");
    let file = if own.exists() { own } else { Path::new("/proc/self/attr/exec") };
    std::fs::OpenOptions::new().write(true).open(file)?.write_all(format!("exec {profile}").as_bytes())
}

/// Whether `profile`, as `/proc/self/attr/apparmor/current` has it, takes anything from us.
fn is_confining(profile: &str) -> bool {
    !profile.is_empty() && !profile.starts_with("unconfined") && !profile.ends_with("(unconfined)")
}

/// The actions that seccomp filters can take (seccomp(2)); empty without seccomp.
pub fn seccomp_actions() -> Vec<String> {
    let actions = super::kernel::setting("kernel/seccomp/actions_avail").unwrap_or_default();
    actions.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_that_confine() {
        for (profile, confines) in
            [("unconfined", false), ("", false), ("coracle (unconfined)", false), ("docker-default (enforce)", true)]
        {
            assert_eq!(is_confining(profile), confines, "{profile}");
        }
    }
}
