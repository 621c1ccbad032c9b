//! `--ulimit`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The resources that can be limited (getrlimit(2)), by docker's and podman's names.
const RESOURCES: &[(&str, u32)] = &[
    ("as", libc::RLIMIT_AS),
    ("core", libc::RLIMIT_CORE),
    ("cpu", libc::RLIMIT_CPU),
    ("data", libc::RLIMIT_DATA),
    ("fsize", libc::RLIMIT_FSIZE),
    ("locks", libc::RLIMIT_LOCKS),
    ("memlock", libc::RLIMIT_MEMLOCK),
    ("msgqueue", libc::RLIMIT_MSGQUEUE),
    ("nice", libc::RLIMIT_NICE),
    ("nofile", libc::RLIMIT_NOFILE),
    ("nproc", libc::RLIMIT_NPROC),
    ("rss", libc::RLIMIT_RSS),
    ("rtprio", libc::RLIMIT_RTPRIO),
    ("rttime", libc::RLIMIT_RTTIME),
    ("sigpending", libc::RLIMIT_SIGPENDING),
    ("stack", libc::RLIMIT_STACK),
];

/// Limits on each process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ulimit {
    /// All as the caller has them.
    Host,
    /// One.
    One {
        /// `RLIMIT_*`.
        resource: u32,
        /// Soft limit; `u64::MAX` is none (`RLIM_INFINITY`).
        soft: u64,
        /// Hard limit.
        hard: u64,
    },
}

/// Why it was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UlimitRefused {
    /// Not of the form.
    #[error("{0:?} is not a limit: expected NAME=SOFT[:HARD], like nofile=1024:4096, or host; -1 is no limit")]
    Malformed(String),
    /// An unknown name.
    #[error(
        "{0:?} is no resource: expected as, core, cpu, data, fsize, locks, memlock, msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending or stack"
    )]
    Unknown(String),
    /// The soft limit is above the hard one.
    #[error("{0:?}: the soft limit is above the hard one")]
    Reversed(String),
}

impl crate::failure::Explain for UlimitRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }
}

impl FromStr for Ulimit {
    type Err = UlimitRefused;

    fn from_str(text: &str) -> Result<Self, UlimitRefused> {
        let short = || text.chars().take(80).collect::<String>();
        if text == "host" {
            return Ok(Self::Host);
        }
        let (name, values) = text.split_once('=').ok_or_else(|| UlimitRefused::Malformed(short()))?;
        let name = name.to_ascii_lowercase();
        let name = name.strip_prefix("rlimit_").unwrap_or(&name);
        let known = RESOURCES.iter().find(|(known, _)| *known == name);
        let &(_, resource) = known.ok_or_else(|| UlimitRefused::Unknown(name.chars().take(80).collect()))?;
        let (soft, hard) = values.split_once(':').unwrap_or((values, values));
        let value = |text: &str| match text {
            "-1" | "unlimited" => Some(u64::MAX),
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok(),
            _ => None,
        };
        let (Some(soft), Some(hard)) = (value(soft), value(hard)) else {
            return Err(UlimitRefused::Malformed(short()));
        };
        if soft > hard { Err(UlimitRefused::Reversed(short())) } else { Ok(Self::One { resource, soft, hard }) }
    }
}

/// The name of `RLIMIT_*`.
pub fn name(resource: u32) -> &'static str {
    RESOURCES.iter().find(|(_, number)| *number == resource).map_or("", |(name, _)| name)
}

/// All resources, as `RLIMIT_*`.
pub fn resources() -> impl Iterator<Item = u32> {
    RESOURCES.iter().map(|&(_, resource)| resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let one = |resource, soft, hard| Ok(Ulimit::One { resource, soft, hard });
        assert_eq!("nofile=1024:4096".parse(), one(libc::RLIMIT_NOFILE, 1024, 4096));
        assert_eq!("RLIMIT_CORE=0".parse(), one(libc::RLIMIT_CORE, 0, 0));
        assert_eq!("stack=8192:-1".parse(), one(libc::RLIMIT_STACK, 8192, u64::MAX));
        assert_eq!("host".parse(), Ok(Ulimit::Host));
        for text in
            ["", "nofile", "nofile=", "nofile=x", "nofile=1:", "nofile=1:2:3", "nofile=-2", "files=1", "nofile=2:1"]
        {
            assert!(text.parse::<Ulimit>().is_err(), "{text}");
        }
        assert_eq!((name(libc::RLIMIT_NOFILE), name(999)), ("nofile", ""));
    }
}
