//! Power cuts: what was acknowledged is there afterwards, and every byte of it.
//!
//! A file system on a loop device is shut down as if the power were cut (FS_IOC_SHUTDOWN without flushing the journal),
//! right after the command has said that it is done. `noauto_da_alloc` takes ext4's own help away from whoever forgets fsync.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use support::{LIMIT, Lab, image, output, skip};

/// EXT4_IOC_SHUTDOWN (fs/ext4/ext4.h) with EXT4_GOING_FLAGS_NOLOGFLUSH: neither data nor the journal is written any more.
const SHUTDOWN: &str =
    r#"open(F, "<", $ARGV[0]) or die $!; my $flags = pack("L", 2); ioctl(F, 0x8004587d, $flags) or die $!"#;

/// A store on a file system of its own. Unmounted when dropped.
struct Disk {
    lab: Lab,
    mounted: bool,
}

fn run(program: &str, arguments: &[&str]) -> output::Output {
    output::run(Command::new(program).args(arguments), &[], LIMIT)
}

impl Disk {
    /// An empty ext4, or the reason why there is none.
    fn new() -> Result<Self, String> {
        let lab = Lab::new();
        let file = File::create(lab.path("disk")).unwrap();
        file.set_len(600 << 20).unwrap();
        let made = run("/usr/sbin/mkfs.ext4", &["-qF", &lab.arg("disk")]);
        if made.code != 0 {
            return Err(format!("mkfs.ext4: {}", made.errors()));
        }
        let mut disk = Self { lab, mounted: false };
        disk.mount()?;
        Ok(disk)
    }

    fn point(&self) -> PathBuf {
        self.lab.root().join("data")
    }

    fn mount(&mut self) -> Result<(), String> {
        let point = self.point();
        let mounted =
            run("/usr/bin/mount", &["-o", "loop,noauto_da_alloc", &self.lab.arg("disk"), point.to_str().unwrap()]);
        if mounted.code != 0 {
            return Err(format!("mounting a loop device: {}", mounted.errors()));
        }
        self.mounted = true;
        Ok(())
    }

    fn unmount(&mut self) {
        if std::mem::take(&mut self.mounted) {
            run("/usr/bin/umount", &[self.point().to_str().unwrap()]).ok();
        }
    }

    /// Cuts the power, and switches it on again.
    fn cut(&mut self) {
        let lock = self.lab.store().join("lock");
        run("/usr/bin/perl", &["-e", SHUTDOWN, lock.to_str().unwrap()]).ok();
        self.unmount();
        self.mount().unwrap();
    }

    fn assert_sound(&self, what: &str) {
        let clean = self.lab.coracle(["system", "check"]);
        assert!(clean.code == 0 && clean.text().starts_with("No damage: "), "after {what}: {clean:?}");
    }

    fn runs(&self, name: &str, file: &str) -> String {
        self.lab.coracle(["run", "--rm", "--pull", "never", name, "cat", file]).ok().text()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if std::mem::take(&mut self.mounted) {
            let _ = run("/usr/bin/umount", &[self.point().to_str().unwrap()]);
        }
    }
}

#[test]
fn root_loses_nothing_that_was_acknowledged_when_the_power_is_cut() {
    for round in 1..=5 {
        let mut disk = match Disk::new() {
            Ok(disk) => disk,
            Err(reason) => return skip("root_power", &reason),
        };
        let name = image("layers");
        disk.lab.pull("layers");
        disk.cut();
        disk.assert_sound("pull");
        assert_eq!(disk.runs(&name, "/changed"), "second", "round {round}");

        disk.lab.coracle(["tag", &name, "named"]).ok();
        disk.cut();
        disk.assert_sound("tag");
        assert_eq!(disk.runs("named", "/changed"), "second", "round {round}");

        disk.lab.coracle(["run", "--name", "c", &name, "sh", "-c", "echo new >/new"]).ok();
        disk.lab.coracle(["commit", "-q", "c", "committed"]).ok();
        disk.cut();
        disk.assert_sound("commit");
        assert_eq!(disk.runs("committed", "/new"), "new", "round {round}");

        disk.lab.coracle(["rm", "-f", "c"]).ok();
        disk.lab.coracle(["untag", "named", "named"]).ok();
        disk.lab.coracle(["rmi", "committed"]).ok();
        disk.cut();
        disk.assert_sound("untag and rmi");
        let names = disk.lab.coracle(["images", "--format", "{{.Repository}}"]).ok().text();
        assert_eq!(format!("{names}:latest"), name, "round {round}");
        assert_eq!(disk.runs(&name, "/changed"), "second", "round {round}");
        // What the cut left of the removal goes with the next.
        disk.lab.coracle(["image", "prune", "-f"]).ok();
        let left = disk.lab.coracle(["system", "df", "--format", "{{.Type}} {{.RawSize}}"]).ok().text();
        assert!(left.contains("Leftovers 0"), "{left}");
        disk.lab.coracle(["rm", "--all", "--force"]).ok();
        disk.unmount();
    }
}
