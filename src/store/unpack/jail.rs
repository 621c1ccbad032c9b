//! The parent's side: starting the jail, feeding it, hearing what came of it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::fcntl::SpliceFFlags;

use super::error::JailReport;
use super::limits::Limits;
use super::{IDENTITY, READY, ROLE_NAME, SINGLE};
use crate::oci::digest::DiffId;
use crate::state::schema::layer::LayerManifest;
use crate::store::StoreError;
use crate::sys::namespace::{IdMap, has_many_ids, write_id_maps};

/// Most that a pipe holds without privilege (/proc/sys/fs/pipe-max-size).
const PIPE_SIZE: i32 = 1 << 20;
/// A manifest is smaller: it is made of what the jail may keep in memory.
const MAX_REPORT: u64 = 512 << 20;
/// An error is one line.
const MAX_ERROR: u64 = 64 << 10;

/// A running jail. Dropped before it has finished, it is killed.
#[derive(Debug)]
pub(crate) struct Jail {
    child: Child,
    diff_id: DiffId,
}

impl Jail {
    /// Starts `program` in the role that unpacks, with the directory `tree` as its target.
    pub(crate) fn start(program: &Path, tree: &Path, limits: &Limits, diff_id: &DiffId) -> Result<Self, StoreError> {
        let limits = serde_json::to_string(limits).map_err(|error| StoreError::StartJail(error.into()))?;
        let mut command = Command::new(program);
        command.arg0(ROLE_NAME).arg(limits).current_dir(tree).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(StoreError::StartJail)?;
        let mut jail = Self { child, diff_id: diff_id.clone() };
        jail.give_ids()?;
        Ok(jail)
    }

    /// Waits until the jail has its namespaces and maps its ids: only the parent may map several.
    fn give_ids(&mut self) -> Result<(), StoreError> {
        let mut ready = [0];
        let answered = self.child.stdout.as_mut().map(|stdout| stdout.read_exact(&mut ready));
        if !matches!(answered, Some(Ok(()))) || ready[0] != READY {
            return Err(self.failure());
        }
        let order = self.map_ids().map_err(StoreError::StartJail)?;
        if let Some(stdin) = &self.child.stdin {
            // A smaller pipe works as well, only slower.
            let _ = nix::fcntl::fcntl(stdin, nix::fcntl::FcntlArg::F_SETPIPE_SZ(PIPE_SIZE));
        }
        self.feed(&[order]).map(drop)
    }

    fn map_ids(&self) -> io::Result<u8> {
        let pid = self.child.id();
        // Root of a namespace of one id, such as that of `coracle unshare`, has nothing to give either.
        if nix::unistd::geteuid().is_root() && has_many_ids()? {
            match write_id_maps(pid, IdMap::Identity) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                result => return result.map(|()| IDENTITY),
            }
        }
        write_id_maps(pid, IdMap::Single).map(|()| SINGLE)
    }

    /// Sends some of `bytes` and returns how many. A jail that is not there any more is asked what was the matter.
    ///
    /// SIGPIPE must be ignored, as it is in every Rust program that does not change that.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<usize, StoreError> {
        let Some(stdin) = &mut self.child.stdin else { return Err(self.failure()) };
        loop {
            match stdin.write(bytes) {
                Ok(written) => return Ok(written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(self.failure()),
                Err(error) => return Err(StoreError::StartJail(error)),
            }
        }
    }

    /// As [`Jail::feed`], of bytes that are in `file` at `offset`, too: the kernel passes on its own copy of them, where the
    /// file system can do that.
    pub(crate) fn feed_from(&mut self, file: &File, offset: u64, bytes: &[u8]) -> Result<usize, StoreError> {
        let Some(stdin) = &self.child.stdin else { return Err(self.failure()) };
        let Ok(mut offset) = i64::try_from(offset) else { return self.feed(bytes) };
        match nix::fcntl::splice(file, Some(&mut offset), stdin, None, bytes.len(), SpliceFFlags::empty()) {
            Ok(0) | Err(Errno::EINTR | Errno::EINVAL) => self.feed(bytes),
            Ok(count) => Ok(count),
            Err(Errno::EPIPE) => Err(self.failure()),
            Err(errno) => Err(StoreError::StartJail(errno.into())),
        }
    }

    /// Waits for the jail to end and returns its report.
    pub(crate) fn finish(mut self) -> Result<LayerManifest, StoreError> {
        self.child.stdin = None;
        let mut report = Vec::new();
        let read = self.child.stdout.take().map(|stdout| stdout.take(MAX_REPORT).read_to_end(&mut report));
        if !matches!(read, Some(Ok(_))) || report.len() as u64 == MAX_REPORT {
            let _ = self.child.kill();
        }
        let failure = self.failure_text();
        let status = self.child.wait().map_err(StoreError::StartJail)?;
        match serde_json::from_slice(&report) {
            Ok(manifest) if status.success() => Ok(manifest),
            _ => Err(self.explain(&failure, Some(status))),
        }
    }

    /// What the jail says of its end. It has ended or is about to.
    fn failure(&mut self) -> StoreError {
        self.child.stdin = None;
        self.child.stdout = None;
        let text = self.failure_text();
        let status = self.child.wait().ok();
        self.explain(&text, status)
    }

    fn failure_text(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            // Whatever could be read is what there is to say.
            let _ = stderr.take(MAX_ERROR).read_to_end(&mut text);
        }
        text
    }

    fn explain(&self, text: &[u8], status: Option<std::process::ExitStatus>) -> StoreError {
        let diff_id = self.diff_id.clone();
        match JailReport::parse(text) {
            Some(source) => StoreError::Unpack { diff_id, source },
            None if status.is_some_and(|status| status.signal() == Some(libc::SIGSYS)) => {
                StoreError::JailViolated { diff_id }
            }
            None => {
                let how = status.map_or_else(|| "status unknown".to_owned(), |status| status.to_string());
                StoreError::JailDied { diff_id, how }
            }
        }
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        // Both fail only if it has been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
