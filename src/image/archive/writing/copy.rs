//! Bytes of the store into files of the user's: by the kernel where it can, without a copy where the file system can.

use std::fs::File;
use std::io::{self, Read};

use crate::failure::Failure;
use crate::state::schema::image::BlobDescriptor;
use crate::store::StoreError;
use crate::sys::signal::SignalQueue;

/// How much is copied between two looks at the signals, in bytes.
const STRETCH: u64 = 16 << 20;

/// Notices that the user does not want any more of it, so that what is unfinished can be removed.
#[derive(Debug)]
pub(super) struct Interruption(Option<SignalQueue>);

impl Interruption {
    /// Signals that end a process only ask from now on.
    pub(super) fn watched() -> Result<Self, Failure> {
        let ends = |signal| matches!(signal, libc::SIGINT | libc::SIGTERM | libc::SIGHUP);
        let queue = SignalQueue::new(ends);
        queue.map(|queue| Self(Some(queue))).map_err(|errno| Failure::new("E_IO", format!("watching signals: {errno}")))
    }

    /// Signals end the process, since nothing would be left behind.
    pub(super) fn deadly() -> Self {
        Self(None)
    }

    /// Fails once a signal has arrived.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match self.0.as_ref().and_then(SignalQueue::next) {
            None => Ok(()),
            Some(signal) => {
                // 128 and the number, as a shell has it.
                let code = u8::try_from(128 + signal).unwrap_or(crate::failure::EXIT_OWN_FAILURE);
                Err(Failure::new("E_INTERRUPTED", "interrupted: nothing was written").with_exit_code(code))
            }
        }
    }
}

/// Copies all of the blob, which must have its size, to where `to` is.
pub(super) fn copy(
    blob: &BlobDescriptor,
    content: &File,
    mut to: &File,
    moved: &dyn Fn(u64),
    interruption: &Interruption,
) -> Result<(), Failure> {
    let failed = |cause: io::Error| crate::state::record::failure("writing the image", &cause);
    if content.metadata().map_err(failed)?.len() != blob.size {
        return Err(StoreError::DamagedBlob(blob.digest.clone()).into());
    }
    let mut done = 0;
    while done < blob.size {
        match io::copy(&mut content.take(STRETCH.min(blob.size - done)), &mut to).map_err(failed)? {
            0 => return Err(StoreError::DamagedBlob(blob.digest.clone()).into()),
            copied => done += copied,
        }
        moved(done);
        interruption.check()?;
    }
    Ok(())
}
