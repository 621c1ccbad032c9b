//! Whether this user can make user namespaces, and if not, why (user_namespaces(7)).

use nix::errno::Errno;
use serde::Serialize;

use super::{kernel, security::Modules};

/// What decides whether user namespaces can be made.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Whether `/proc/self/ns/user` exists: the kernel was built with them.
    pub supported: bool,
    /// `user.max_user_namespaces`.
    pub limit: Option<u64>,
    /// Debian's `kernel.unprivileged_userns_clone`.
    pub clone_allowed: Option<bool>,
    /// Ubuntu's `kernel.apparmor_restrict_unprivileged_userns`.
    pub apparmor_restricts: bool,
    /// Whether AppArmor is enabled, and has no profile for us.
    pub unconfined: bool,
    /// Whether our root directory is not that of a mount: the kernel makes no user namespace in a chroot(2).
    pub chrooted: bool,
    /// Whether we are root, whom the two restrictions of distributions do not concern.
    pub privileged: bool,
}

/// The verdict, for `info` and for the hint of a failed run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Whether nothing known is in the way.
    pub available: bool,
    /// What was found.
    pub reason: String,
    /// What to do, if something is in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

impl Facts {
    /// Those of this process.
    pub fn gather(modules: &Modules) -> Self {
        let is_one = |setting: &str| kernel::setting(setting).map(|value| value == "1");
        Self {
            // A security module may hide what it is, and not that it is there.
            supported: std::path::Path::new("/proc/self/ns/user").try_exists().unwrap_or(true),
            limit: kernel::setting("user/max_user_namespaces").and_then(|value| value.parse().ok()),
            clone_allowed: is_one("kernel/unprivileged_userns_clone"),
            apparmor_restricts: is_one("kernel/apparmor_restrict_unprivileged_userns") == Some(true),
            unconfined: modules.apparmor_unconfined,
            chrooted: std::fs::read_to_string("/proc/self/mountinfo").is_ok_and(|mounts| is_chroot(&mounts)),
            privileged: nix::unistd::geteuid().is_root(),
        }
    }

    /// What they amount to.
    pub fn verdict(&self) -> Verdict {
        let refused =
            |reason: &str, cure: &str| Verdict { available: false, reason: reason.into(), cure: Some(cure.into()) };
        if !self.supported {
            return refused("the kernel was built without user namespaces", "boot a kernel with CONFIG_USER_NS");
        }
        if self.limit == Some(0) {
            return refused("user.max_user_namespaces is 0", "as root: sysctl -w user.max_user_namespaces=10000");
        }
        if self.clone_allowed == Some(false) && !self.privileged {
            return refused(
                "kernel.unprivileged_userns_clone is 0",
                "as root: sysctl -w kernel.unprivileged_userns_clone=1",
            );
        }
        if self.chrooted {
            return refused(
                "this process is in a chroot, where the kernel makes no user namespaces",
                "run coracle outside of the chroot, or enter the directory with pivot_root(8)",
            );
        }
        if self.apparmor_restricts && self.unconfined && !self.privileged {
            return refused(
                "AppArmor takes the capabilities from user namespaces of unconfined programs \
                 (kernel.apparmor_restrict_unprivileged_userns is 1)",
                "as root: give coracle an AppArmor profile with `userns,` (its package has one in /usr/share/coracle), or \
                 sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
            );
        }
        let limit = self.limit.map_or_else(String::new, |limit| format!(" (user.max_user_namespaces is {limit})"));
        Verdict { available: true, reason: format!("nothing is in the way{limit}"), cure: None }
    }
}

/// The cure when the kernel refuses a namespace, or its id maps, with `errno`.
pub fn cure(errno: Errno) -> String {
    Facts::gather(&Modules::here()).verdict().cure.unwrap_or_else(|| cure_of_errno(errno).into())
}

/// Where no setting is in the way (user_namespaces(7), namespaces(7), unshare(2)).
fn cure_of_errno(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOSPC | Errno::EUSERS => {
            "a limit on nested namespaces is reached: see the files in /proc/sys/user/max_*_namespaces"
        }
        // The hook of security modules (userns_create, Linux 6.1); AppArmor refuses with this error.
        Errno::EACCES => {
            "a security module refuses user namespaces to this program, and the kernel's log says which: a profile of \
             AppArmor has to grant `userns,`"
        }
        Errno::EPERM => {
            "this process may not make user namespaces: a seccomp filter or security module (of an outer container) forbids it"
        }
        _ => {
            "the kernel does not support a kind of namespace that containers need (user, mount, pid, ipc, uts, cgroup, net)"
        }
    }
}

/// Whether no mount of `mountinfo` (proc_pid_mountinfo(5)) is at the root directory.
fn is_chroot(mountinfo: &str) -> bool {
    !mountinfo.is_empty() && !mountinfo.lines().any(|line| line.split(' ').nth(4) == Some("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_cure() {
        let good = Facts { supported: true, limit: Some(10), ..Facts::default() };
        assert!(good.verdict().available);
        assert!(good.verdict().reason.contains("10"));
        let causes = [
            (Facts { supported: false, ..good.clone() }, "CONFIG_USER_NS"),
            (Facts { limit: Some(0), ..good.clone() }, "max_user_namespaces"),
            (Facts { clone_allowed: Some(false), ..good.clone() }, "unprivileged_userns_clone"),
            (Facts { chrooted: true, ..good.clone() }, "chroot"),
            (Facts { apparmor_restricts: true, unconfined: true, ..good.clone() }, "AppArmor"),
        ];
        for (facts, word) in causes {
            let verdict = facts.verdict();
            assert!(!verdict.available && verdict.cure.unwrap().contains(word), "{word}");
        }
        let restrictions = Facts { clone_allowed: Some(false), apparmor_restricts: true, unconfined: true, ..good };
        assert!(Facts { privileged: true, ..restrictions.clone() }.verdict().available);
        let confined = Facts { clone_allowed: None, unconfined: false, ..restrictions };
        assert!(confined.verdict().available);
    }

    #[test]
    fn a_security_module_is_not_taken_for_an_old_kernel() {
        assert!(cure_of_errno(Errno::EACCES).contains("AppArmor"));
        assert!(cure_of_errno(Errno::ENOSPC).contains("/proc/sys/user"));
        assert!(cure_of_errno(Errno::EINVAL).contains("the kernel does not support"));
    }

    /// A profile in its unconfined mode, as the package's, is a profile: AppArmor lets it have user namespaces.
    #[test]
    fn any_profile_may_grant_user_namespaces() {
        let modules =
            |label: &str| Modules { apparmor: true, ..Modules::default() }.with_apparmor_label(Some(label.into()));
        for (label, unconfined) in [("unconfined", true), ("coracle (unconfined)", false), ("other (enforce)", false)] {
            assert_eq!(modules(label).apparmor_unconfined, unconfined, "{label}");
        }
        assert_eq!(modules("other (enforce)").apparmor_profile.as_deref(), Some("other (enforce)"));
        assert_eq!(modules("coracle (unconfined)").apparmor_profile, None);
    }

    #[test]
    fn a_chroot_has_no_mount_at_its_root() {
        assert!(!is_chroot("23 28 0:21 / /proc rw - proc proc rw\n28 1 8:1 / / rw - ext4 /dev/sda1 rw\n"));
        assert!(is_chroot("23 28 0:21 / /proc rw - proc proc rw\n"));
        assert!(!is_chroot(""));
    }
}
