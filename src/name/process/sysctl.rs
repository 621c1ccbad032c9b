//! `--sysctl`: kernel settings that belong to a namespace (namespaces(7)).

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A kernel setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// Its path below `/proc/sys`.
    pub path: String,
    /// Its value.
    pub value: String,
}

/// Whose a kernel setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A network namespace's.
    Network,
    /// An IPC namespace's.
    Ipc,
    /// A UTS namespace's.
    Uts,
    /// A user namespace's.
    User,
}

/// Why a setting was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SysctlRefused {
    /// Not `NAME=VALUE`.
    #[error("{0:?} is not a kernel setting")]
    Grammar(String),
    /// One of all processes of the machine.
    #[error("{0} is a setting of the whole machine, or none at all: a container has only those of its namespaces")]
    Machine(String),
    /// One that has a flag of its own.
    #[error("{0} is what --hostname sets")]
    Hostname(String),
}

impl crate::failure::Explain for SysctlRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Grammar(_) => "expected NAME=VALUE, like net.ipv4.ip_forward=1".into(),
            Self::Machine(_) => {
                "a container has net.*, fs.mqueue.*, kernel.msg*, kernel.sem, kernel.shm*, kernel.domainname and user.*"
                    .into()
            }
            Self::Hostname(_) => "for example: --hostname web".into(),
        })
    }
}

impl FromStr for Sysctl {
    type Err = SysctlRefused;

    /// As sysctl(8) reads names: the first separator decides which one separates, so that `net/ipv4/conf/eth0.1/forwarding` and
    /// `net.ipv4.conf.eth0/1.forwarding` are the same.
    fn from_str(text: &str) -> Result<Self, SysctlRefused> {
        let shown = || text.chars().take(120).collect::<String>();
        let (name, value) = text.split_once('=').ok_or_else(|| SysctlRefused::Grammar(shown()))?;
        let (name, value) = (name.trim(), value.trim());
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte));
        let path: String = match name.find(['.', '/']).map(|at| name.as_bytes()[at]) {
            Some(b'/') => name.into(),
            _ => name
                .chars()
                .map(|c| {
                    if c == '.' {
                        '/'
                    } else if c == '/' {
                        '.'
                    } else {
                        c
                    }
                })
                .collect(),
        };
        let is_path = path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if !is_plain || !is_path || value.is_empty() || value.contains(['\0', '\n']) {
            return Err(SysctlRefused::Grammar(shown()));
        }
        let setting = Self { path, value: value.into() };
        match setting.path.as_str() {
            "kernel/hostname" => Err(SysctlRefused::Hostname(setting.name())),
            _ if setting.owner().is_none() => Err(SysctlRefused::Machine(setting.name())),
            _ => Ok(setting),
        }
    }
}

impl Sysctl {
    /// Its usual name.
    pub fn name(&self) -> String {
        self.path
            .chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect()
    }

    /// Whose it is; `None` for the machine's.
    pub fn owner(&self) -> Option<Owner> {
        const OF_IPC: &[&str] = &[
            "kernel/msgmax",
            "kernel/msgmnb",
            "kernel/msgmni",
            "kernel/sem",
            "kernel/shmall",
            "kernel/shmmax",
            "kernel/shmmni",
            "kernel/shm_rmid_forced",
        ];
        match self.path.as_str() {
            path if path.starts_with("net/") => Some(Owner::Network),
            path if path.starts_with("fs/mqueue/") || OF_IPC.contains(&path) => Some(Owner::Ipc),
            "kernel/domainname" => Some(Owner::Uts),
            path if path.starts_with("user/") => Some(Owner::User),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(path: &str, value: &str) -> Result<Sysctl, SysctlRefused> {
        Ok(Sysctl { path: path.into(), value: value.into() })
    }

    #[test]
    fn the_first_separator_decides() {
        assert_eq!("net.ipv4.ip_forward=1".parse(), setting("net/ipv4/ip_forward", "1"));
        assert_eq!("net/ipv4/conf/eth0.1/rp_filter = 1".parse(), setting("net/ipv4/conf/eth0.1/rp_filter", "1"));
        assert_eq!("net.ipv4.conf.eth0/1.rp_filter=1".parse(), setting("net/ipv4/conf/eth0.1/rp_filter", "1"));
        assert_eq!("kernel.sem=250 32000 100 128".parse(), setting("kernel/sem", "250 32000 100 128"));
        assert_eq!("net.ipv4.conf.eth0/1.rp_filter=1".parse::<Sysctl>().map(|one| one.name()), {
            Ok("net.ipv4.conf.eth0/1.rp_filter".to_owned())
        });
    }

    #[test]
    fn what_is_not_a_namespaces_is_refused() {
        for text in ["kernel.panic=1", "vm.swappiness=10", "fs.file-max=9", "kernel.shmx=1", "netx.a=1", "abi=1"] {
            assert!(matches!(text.parse::<Sysctl>(), Err(SysctlRefused::Machine(_))), "{text}");
        }
        assert!(matches!("kernel.hostname=x".parse::<Sysctl>(), Err(SysctlRefused::Hostname(_))));
        for text in
            ["", "net.ipv4.ip_forward", "=1", "net.=1", "net..x=1", "net/../kernel/panic=1", "net.a=", "net.a=\n"]
        {
            assert!(matches!(text.parse::<Sysctl>(), Err(SysctlRefused::Grammar(_))), "{text:?}");
        }
    }
}
