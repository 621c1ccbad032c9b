//! Devices that containers' file systems and networks could use.

use std::fs::OpenOptions;
use std::os::unix::fs::FileTypeExt;

use serde::Serialize;

/// Whether a device can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Its path.
    pub path: &'static str,
    /// Whether it is there and can be opened for reading and writing.
    pub usable: bool,
    /// Why not.
    pub reason: String,
}

/// Tries to open the character device at `path`.
pub fn probe(path: &'static str) -> Device {
    let kind = std::fs::metadata(path).map(|metadata| metadata.file_type().is_char_device());
    let opened = match kind {
        Ok(true) => OpenOptions::new().read(true).write(true).open(path).map(drop).map_err(|error| error.to_string()),
        Ok(false) => Err("it is not a character device".into()),
        Err(error) => Err(error.to_string()),
    };
    let reason = opened.as_ref().err().cloned().unwrap_or_else(|| "it can be opened".into());
    Device { path, usable: opened.is_ok(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_others() {
        assert!(probe("/dev/null").usable);
        assert!(!probe("/dev").usable);
        assert!(!probe("/dev/no-such-device").usable);
    }
}
