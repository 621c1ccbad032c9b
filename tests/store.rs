//! What the store keeps: blobs, layers and images, as they come from honest registries, and what is left when something
//! goes wrong half-way.

#![allow(clippy::unwrap_used, reason = "what these helpers cannot do fails the test")]

#[path = "support/sandbox.rs"]
mod support;

use std::ffi::CStr;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use support::{Header, OPAQUE, OVERRIDE_STAT, Sandbox, Tar, xattr};

use coracle::failure::Explain;
use coracle::image::owners;
use coracle::name::image_selector::ImageSelector;
use coracle::name::reference::Reference;
use coracle::oci::digest::Digest;
use coracle::oci::platform::Platform;
use coracle::state::schema::image::{BlobDescriptor, ImageLayer, ImageOwners, ImageRecord, RunDefaults};
use coracle::state::schema::layer::{FileKind, Ownership};
use coracle::store::collect::{self, Freed};
use coracle::store::{Store, StoreError};

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().mode() & 0o7777
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

// Layers.

#[test]
fn files_have_the_modes_times_and_contents_of_the_tar() {
    let sandbox = Sandbox::new();
    let tar = Tar::new()
        .header(&Header::new(b'5', "./").mode(0o711))
        .header(&Header::new(b'5', "read-only/").mode(0o555))
        .file("read-only/file", "inside")
        .entry(Header::new(b'0', "setuid").mode(0o4755), b"x")
        .entry(Header::new(b'0', "shadow").mode(0), b"secret")
        .header(&Header::new(b'5', "closed").mode(0))
        .file("closed/file", "inside")
        .header(&Header::new(b'5', "sticky").mode(0o1777))
        .pax(&[("mtime", b"1234567890.123456789")])
        .file("precise", "")
        .pax(&[("mtime", b"-1.5")])
        .symlink("link", "precise")
        .header(&Header::new(b'6', "pipe").mode(0o620))
        .entry(Header::new(b'7', "contiguous"), b"as a file")
        .header(&Header { typeflag: 0, ..Header::new(b'5', "ancient/") })
        .header(&Header::new(b'V', "label"));
    let (tree, manifest) = sandbox.unpack(&tar.end()).unwrap();
    assert_eq!(mode(&tree), 0o711);
    assert_eq!(mode(&tree.join("read-only")), 0o555);
    assert_eq!(text(&tree.join("read-only/file")), "inside");
    assert_eq!(mode(&tree.join("setuid")), 0o4755);
    assert_eq!(mode(&tree.join("shadow")), 0);
    assert_eq!(mode(&tree.join("closed")), 0);
    assert_eq!(mode(&tree.join("sticky")), 0o1777);
    let time = |name: &str| {
        let metadata = tree.join(name).symlink_metadata().unwrap();
        (metadata.mtime(), metadata.mtime_nsec())
    };
    assert_eq!(time("precise"), (1_234_567_890, 123_456_789));
    assert_eq!(time("link"), (-2, 500_000_000));
    for directory in ["", "read-only", "closed", "sticky", "ancient"] {
        assert_eq!(time(directory), (1_600_000_000, 0), "{directory}");
    }
    assert!(tree.join("pipe").symlink_metadata().unwrap().file_type().is_fifo());
    assert_eq!(mode(&tree.join("pipe")), 0o620);
    assert_eq!(text(&tree.join("contiguous")), "as a file");
    assert!(tree.join("ancient").is_dir());
    assert!(!tree.join("label").exists());
    assert_eq!((manifest.entries, manifest.bytes), (13, 6 + 1 + 6 + 6 + 9));
    assert!(!manifest.foreign_owners);
    assert_eq!(manifest.owners, []);
    // Even a layer that locks its owner out can be removed.
    let diff_id = Digest::of(&tar_bytes());
    assert!(!sandbox.store.layers().contains(&diff_id));
    let layer = tree.parent().unwrap().file_name().unwrap().to_str().unwrap();
    sandbox.store.layers().remove(&format!("sha256:{layer}").parse().unwrap()).unwrap();
    assert!(!tree.exists());
    assert_eq!(std::fs::read_dir(sandbox.store.layout().tmp()).unwrap().count(), 0);
}

fn tar_bytes() -> Vec<u8> {
    Tar::new().end()
}

#[test]
fn directories_may_come_after_their_contents_or_not_at_all() {
    let sandbox = Sandbox::new();
    let tar = Tar::new()
        .file("late/deep/file", "x")
        .header(&Header::new(b'5', "late/deep").mode(0o500))
        .header(&Header::new(b'5', "late").mode(0o700))
        .file("implied/a/b", "y");
    let (tree, _) = sandbox.unpack(&tar.end()).unwrap();
    assert_eq!(mode(&tree.join("late")), 0o700);
    assert_eq!(mode(&tree.join("late/deep")), 0o500);
    assert_eq!(mode(&tree.join("implied/a")), 0o755);
    assert_eq!(mode(&tree), 0o755);
    assert_eq!(text(&tree.join("late/deep/file")), "x");
}

#[test]
fn later_entries_replace_earlier_ones() {
    let sandbox = Sandbox::new();
    let tar = Tar::new()
        .file("twice", "old")
        .file("twice", "new")
        .file("directory/with/contents", "gone")
        .entry(Header::new(b'0', "directory").owner(3, 4), b"a file now")
        .file("file", "gone")
        .file("file/with/contents", "a directory now")
        .symlink("link", "file")
        .directory("link")
        .file("link/inside", "x")
        .file("kept/inside", "kept")
        .header(&Header::new(b'5', "kept").mode(0o750).owner(1, 2))
        .header(&Header::new(b'5', "kept").mode(0o700));
    let (tree, manifest) = sandbox.unpack(&tar.end()).unwrap();
    assert_eq!(text(&tree.join("twice")), "new");
    assert_eq!(text(&tree.join("directory")), "a file now");
    assert_eq!(text(&tree.join("file/with/contents")), "a directory now");
    assert!(tree.join("link").symlink_metadata().unwrap().is_dir());
    assert_eq!(text(&tree.join("kept/inside")), "kept");
    assert_eq!(mode(&tree.join("kept")), 0o700);
    assert_eq!(xattr(&tree.join("kept"), OVERRIDE_STAT), None, "the last entry says 0:0");
    assert_eq!(xattr(&tree.join("directory"), OVERRIDE_STAT).as_deref(), Some("3:4:0644:file"));
    assert_eq!(manifest.owners, []);
}

#[test]
fn whiteouts_are_those_of_overlayfs() {
    let sandbox = Sandbox::new();
    let tar = Tar::new()
        .file("a/.wh.gone", "")
        .file("a/.wh.both", "")
        .file("a/both", "this layer's own")
        .file("a/after", "this layer's own")
        .file("a/.wh.after", "")
        .file("a/.wh.dir", "")
        .file("a/dir/new", "x")
        .directory("a/dir2")
        .file("a/.wh.dir2", "")
        .file("opaque/.wh..wh..opq", "")
        .file("opaque/new", "x")
        .directory("opaque-later")
        .file("opaque-later/.wh..wh..opq", "");
    let (tree, manifest) = sandbox.unpack(&tar.end()).unwrap();
    let gone = tree.join("a/gone").symlink_metadata().unwrap();
    assert!(gone.file_type().is_char_device());
    assert_eq!(gone.rdev(), 0);
    assert_eq!(text(&tree.join("a/both")), "this layer's own");
    assert_eq!(text(&tree.join("a/after")), "this layer's own");
    for opaque in ["a/dir", "a/dir2", "opaque", "opaque-later"] {
        assert_eq!(xattr(&tree.join(opaque), OPAQUE).as_deref(), Some("y"), "{opaque}");
    }
    assert_eq!(xattr(&tree.join("a"), OPAQUE), None);
    assert!(!manifest.opaque_root);
    let (_, manifest) = sandbox.unpack(&Tar::new().file(".wh..wh..opq", "").end()).unwrap();
    assert!(manifest.opaque_root);
}

/// The kernel agrees that these are whiteouts and opaque directories.
#[test]
fn an_overlay_of_the_layers_shows_what_the_image_means() {
    let sandbox = Sandbox::new();
    let (lower, _) = sandbox
        .unpack(&Tar::new().file("a/gone", "1").file("a/kept", "1").file("o/hidden", "1").file("d/hidden", "1").end())
        .unwrap();
    let (upper, _) = sandbox
        .unpack(
            &Tar::new().file("a/.wh.gone", "").file("o/.wh..wh..opq", "").file("d/new", "2").file(".wh.d", "").end(),
        )
        .unwrap();
    let merged = sandbox.path().join("merged");
    std::fs::create_dir(&merged).unwrap();
    let options = format!("lowerdir={}:{},userxattr", upper.display(), lower.display());
    let script = r#"mount -t overlay overlay -o "$1" "$2" && cd "$2" && find . -type f | sort"#;
    let mut command = std::process::Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", &options]).arg(&merged);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "./a/kept\n./d/new\n");
}

#[test]
fn hard_links_share_a_file() {
    let sandbox = Sandbox::new();
    let tar = Tar::new()
        .entry(Header::new(b'0', "bin/perl").owner(5, 6), b"perl")
        .hard_link("bin/perl5", "bin/perl")
        .hard_link("bin/absolute", "/bin/perl")
        .hard_link("bin/dotted", "./bin/perl")
        .header(&Header::new(b'2', "symlink").link("x").owner(7, 8))
        .hard_link("symlink2", "symlink");
    let (tree, manifest) = sandbox.unpack(&tar.end()).unwrap();
    assert_eq!(tree.join("bin/perl").metadata().unwrap().nlink(), 4);
    assert_eq!(text(&tree.join("bin/dotted")), "perl");
    assert_eq!(std::fs::read_link(tree.join("symlink2")).unwrap(), Path::new("x"));
    let owned: Vec<_> = manifest.owners.iter().map(|owner| owner.path.to_string()).collect();
    assert_eq!(owned, ["symlink", "symlink2"]);
}

/// The layout of every Debian image: a link to a directory, and files under both names. Links are not followed, so the
/// files end up in a directory, where they can be found under the name they were given.
#[test]
fn var_run_and_run() {
    let sandbox = Sandbox::new();
    let tar = Tar::new()
        .directory("run")
        .file("run/a", "a")
        .directory("var")
        .symlink("var/run", "/run")
        .symlink("var/lock", "/run/lock")
        .file("run/lock/b", "b");
    let (tree, _) = sandbox.unpack(&tar.end()).unwrap();
    assert_eq!(std::fs::read_link(tree.join("var/run")).unwrap(), Path::new("/run"));
    assert_eq!(text(&tree.join("run/lock/b")), "b");
    let (tree, _) = sandbox.unpack(&Tar::new().symlink("var/run", "/run").file("var/run/c", "c").end()).unwrap();
    assert_eq!(text(&tree.join("var/run/c")), "c");
    assert!(!Path::new("/run/c").exists());
}

#[test]
fn long_names_in_all_three_ways() {
    let sandbox = Sandbox::new();
    let component = "x".repeat(255);
    let long = format!("{component}/{}", "y".repeat(255));
    let pax = Tar::new()
        .pax(&[("path", format!("pax/{long}").as_bytes())])
        .file("short", "pax")
        .pax(&[("path", b"pax-link"), ("linkpath", long.as_bytes())])
        .symlink("short", "short");
    let gnu = pax
        .entry(Header::new(b'L', "././@LongLink"), format!("gnu/{long}\0").as_bytes())
        .file("short", "gnu")
        .entry(Header::new(b'K', "././@LongLink"), format!("gnu/{long}\0").as_bytes())
        .hard_link("gnu-link", "short");
    let mut ustar = Header::new(b'0', "name").block();
    ustar[345..345 + 155].copy_from_slice("p".repeat(155).as_bytes());
    support::seal(&mut ustar);
    let (tree, _) = sandbox.unpack(&gnu.raw(&ustar).end()).unwrap();
    assert_eq!(text(&tree.join("pax").join(&long)), "pax");
    assert_eq!(std::fs::read_link(tree.join("pax-link")).unwrap(), Path::new(&long));
    assert_eq!(text(&tree.join("gnu-link")), "gnu");
    assert!(tree.join("p".repeat(155)).join("name").exists());
    // As deep as the kernel lets a path be.
    let deep = "d/".repeat(2046) + "f";
    let tar = Tar::new().pax(&[("path", deep.as_bytes())]).file("f", "deep");
    let (tree, _) = sandbox.unpack(&tar.end()).unwrap();
    assert!(tree.join("d/d/d/d").is_dir());
}

/// Runs of zeroes take no room, wherever they are; the file is as long and has the same bytes.
#[test]
fn zeroes_take_no_room() {
    let sandbox = Sandbox::new();
    let zeroes = |mebibytes: usize| "\0".repeat(mebibytes << 20);
    let middle = format!("begin{}end", zeroes(64));
    let odd = format!("{}x{}y{}", zeroes(1), zeroes(2), &zeroes(1)[..77_777]);
    let tar =
        Tar::new().file("all", &zeroes(32)).file("middle", &middle).file("odd", &odd).file("short", &zeroes(1)[..100]);
    let (tree, manifest) = sandbox.unpack(&tar.end()).unwrap();
    for (name, content) in [("all", zeroes(32)), ("middle", middle), ("odd", odd), ("short", zeroes(1)[..100].into())] {
        let metadata = tree.join(name).metadata().unwrap();
        assert_eq!(metadata.len(), content.len() as u64, "{name}");
        assert!(metadata.blocks() * 512 < 600 << 10, "{name} takes {} blocks", metadata.blocks());
        assert!(text(&tree.join(name)) == content, "{name}");
    }
    assert_eq!(manifest.bytes, (32 << 20) + (64 << 20) + 8 + (3 << 20) + 2 + 77_777 + 100);
}

#[test]
fn names_are_any_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let sandbox = Sandbox::new();
    let odd = Header { name: b"caf\xe9\n\x1b[31m%".to_vec(), ..Header::new(b'2', "").link("t").owner(1, 1) };
    let (tree, manifest) = sandbox.unpack(&Tar::new().header(&odd).end()).unwrap();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9\n\x1b[31m%");
    assert!(tree.join(name).symlink_metadata().is_ok());
    assert_eq!(manifest.owners[0].path.as_bytes(), name.as_bytes());
}

#[test]
fn owners_are_recorded() {
    let sandbox = Sandbox::new();
    let tar = Tar::new()
        .header(&Header::new(b'5', ".").owner(0, 0))
        .entry(Header::new(b'0', "etc/shadow").mode(0o640).owner(0, 42), b"x")
        .entry(Header::new(b'0', "etc/passwd"), b"x")
        .header(&Header::new(b'5', "var/mail").mode(0o2775).owner(0, 8))
        .header(&Header::new(b'2', "link").link("x").owner(33, 33))
        .header(&Header::new(b'6', "pipe").mode(0o600).owner(1, 0))
        .header(&Header { device: (1, 3), ..Header::new(b'3', "null").mode(0o666) })
        .header(&Header { device: (8, 1), ..Header::new(b'4', "disk").mode(0o660).owner(0, 6) })
        .pax(&[("uid", b"4000000000"), ("gid", b"4000000001")])
        .file("huge", "");
    let (tree, manifest) = sandbox.unpack(&tar.end()).unwrap();
    let stamp = |name: &str| xattr(&tree.join(name), OVERRIDE_STAT);
    assert_eq!(stamp("").as_deref(), Some("0:0:0755:dir"));
    assert_eq!(stamp("etc"), None);
    assert_eq!(stamp("etc/passwd"), None);
    assert_eq!(stamp("etc/shadow").as_deref(), Some("0:42:0640:file"));
    assert_eq!(stamp("var/mail").as_deref(), Some("0:8:2775:dir"));
    assert_eq!(stamp("null").as_deref(), Some("0:0:0666:char-1-3"));
    assert_eq!(stamp("disk").as_deref(), Some("0:6:0660:block-8-1"));
    assert_eq!(stamp("huge").as_deref(), Some("4000000000:4000000001:0644:file"));
    assert_eq!(mode(&tree.join("var/mail")), 0o2775);
    assert!(tree.join("null").symlink_metadata().unwrap().is_file());
    assert!(manifest.foreign_owners);
    assert_eq!(manifest.devices, 2);
    let owners: Vec<_> = manifest.owners.iter().map(|owner| (owner.path.to_string(), owner.ownership)).collect();
    let link = Ownership { uid: 33, gid: 33, mode: 0o644, kind: FileKind::Symlink };
    let pipe = Ownership { uid: 1, gid: 0, mode: 0o600, kind: FileKind::Fifo };
    assert_eq!(owners, [("link".to_owned(), link), ("pipe".to_owned(), pipe)]);
    // For a privileged user they are real as well; for all others every byte is their own.
    let real = |name: &str| {
        let metadata = tree.join(name).symlink_metadata().unwrap();
        (metadata.uid(), metadata.gid())
    };
    let own = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    assert_eq!(real("etc/shadow"), if is_root() { (0, 42) } else { own });
    assert_eq!(real("link"), if is_root() { (33, 33) } else { own });
    assert_eq!(real("etc/passwd"), own);
}

#[test]
fn attributes_of_users_and_capabilities_are_kept() {
    let sandbox = Sandbox::new();
    // Bytes that look like the end of a PAX record.
    let capability = b"\x01\0\0\x02\n\x20\0\0=\0\0\0\0\0\0\0\0\0\0\0";
    let tar = Tar::new()
        .pax(&[
            ("SCHILY.xattr.security.capability", capability),
            ("SCHILY.xattr.user.comment", b"hello"),
            ("LIBARCHIVE.xattr.user.comment", b"aGVsbG8"),
            ("SCHILY.acl.access", b"user::rw-"),
        ])
        .file("ping", "x")
        .hard_link("ping6", "ping")
        .pax(&[("SCHILY.filetype", b"socket")])
        .file("socket", "")
        .pax(&[("SCHILY.xattr.user.comment", b"directory")])
        .directory("d");
    let (tree, manifest) = sandbox.unpack(&tar.end()).unwrap();
    let comment: &CStr = c"user.comment";
    assert_eq!(xattr(&tree.join("ping"), comment).as_deref(), Some("hello"));
    assert_eq!(xattr(&tree.join("d"), comment).as_deref(), Some("directory"));
    let names: Vec<_> = manifest.capabilities.iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(names, ["ping", "ping6"]);
    assert!(manifest.capabilities[0].value.starts_with("010000020a20"));
    assert_eq!((manifest.skipped.sockets, manifest.skipped.xattrs), (1, 1));
    assert!(!tree.join("socket").exists());
}

#[test]
fn a_layer_with_another_diff_id_is_refused() {
    let sandbox = Sandbox::new();
    let before = sandbox.surroundings();
    let wrong = Digest::of(b"something else");
    let mut ingest = sandbox.store.layers().ingest(&wrong).unwrap();
    ingest.write_all(&Tar::new().file("f", "x").end()).unwrap();
    assert_eq!(ingest.commit().unwrap_err().code(), "E_DIGEST_MISMATCH");
    assert!(!sandbox.store.layers().contains(&wrong));
    assert_eq!(sandbox.surroundings(), before);
    // Padding after the end, as GNU tar writes it, and none at all, as others do.
    sandbox.unpack(&[Tar::new().file("f", "x").end(), vec![0; 8192]].concat()).unwrap();
    sandbox.unpack(&Tar::new().file("f", "x").0).unwrap();
    sandbox.unpack(&[]).unwrap();
}

#[test]
fn two_who_unpack_the_same_layer_both_succeed() {
    let sandbox = Sandbox::new();
    let tar = Tar::new().file("f", "x").end();
    let diff_id = Digest::of(&tar);
    let mut first = sandbox.store.layers().ingest(&diff_id).unwrap();
    let mut second = sandbox.store.layers().ingest(&diff_id).unwrap();
    first.write_all(&tar).unwrap();
    second.write_all(&tar).unwrap();
    assert_eq!(first.commit().unwrap(), second.commit().unwrap());
    assert_eq!(text(&sandbox.store.layers().path(&diff_id).join("f")), "x");
    assert_eq!(std::fs::read_dir(sandbox.store.layout().tmp()).unwrap().count(), 0);
}

// Other file systems: the tests named `inside_` run in a mount namespace with such a one as the temporary directory.

/// Runs the test `name` of this program with a new file system of type `fstype` for its files. Its user is then 0 in a user
/// namespace, so that the jail is one within another.
fn run_on(fstype: &str, options: &str, name: &str) {
    let directory = tempfile::tempdir().unwrap();
    let script = r#"mount -t "$1" -o "$2" none "$3" && TMPDIR="$3" exec "$4" --exact "$5" --ignored --nocapture"#;
    let mut command = std::process::Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", fstype, options]);
    command.arg(directory.path()).arg(std::env::current_exe().unwrap()).arg(name);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn without_extended_attributes_the_manifest_has_everything() {
    run_on("ramfs", "mode=700", "inside_a_file_system_without_extended_attributes");
}

#[test]
#[ignore = "started by without_extended_attributes_the_manifest_has_everything"]
fn inside_a_file_system_without_extended_attributes() {
    let sandbox = Sandbox::new();
    let tar = Tar::new()
        .entry(Header::new(b'0', "shadow").mode(0o640).owner(0, 42), b"x")
        .hard_link("shadow-", "shadow")
        .header(&Header { device: (1, 3), ..Header::new(b'3', "null") })
        .file("d/.wh..wh..opq", "")
        .header(&Header::new(b'5', "d").owner(1, 1))
        .header(&Header::new(b'5', "d"))
        .file("plain", "")
        .entry(Header::new(b'0', "replaced").owner(1, 1), b"")
        .file("replaced", "");
    let (_, manifest) = sandbox.unpack(&tar.end()).unwrap();
    assert!(!manifest.xattrs);
    let owners: Vec<_> =
        manifest.owners.iter().map(|o| (o.path.to_string(), o.ownership.gid, o.ownership.kind)).collect();
    let expected = [
        ("null".to_owned(), 0, FileKind::Char { major: 1, minor: 3 }),
        ("shadow".to_owned(), 42, FileKind::File),
        ("shadow-".to_owned(), 42, FileKind::File),
    ];
    assert_eq!(owners, expected);
    assert_eq!(manifest.opaque[0].as_bytes(), b"d");
}

#[test]
fn a_full_disk_says_so_and_gets_its_space_back() {
    run_on("tmpfs", "size=2m,nr_inodes=200", "inside_a_full_file_system");
}

#[test]
#[ignore = "started by a_full_disk_says_so_and_gets_its_space_back"]
fn inside_a_full_file_system() {
    let sandbox = Sandbox::new();
    let bytes = Tar::new().file("large", &"x".repeat(3 << 20)).end();
    let files = (0..300).fold(Tar::new(), |tar, number| tar.file(&number.to_string(), "")).end();
    sandbox.refuses("bytes", &bytes, "E_NOSPACE");
    sandbox.refuses("inodes", &files, "E_NOINODES");
    let error = sandbox.store.blobs().put(&bytes).unwrap_err();
    assert_eq!(error.code(), "E_NOSPACE");
    assert!(error.hint().unwrap().contains("rmi"));
    assert_eq!(std::fs::read_dir(sandbox.store.layout().tmp()).unwrap().count(), 0);
    sandbox.unpack(&Tar::new().file("small", "x").end()).unwrap();
}

// Blobs.

#[test]
fn blobs_are_published_only_when_they_are_right() {
    let sandbox = Sandbox::new();
    let blobs = sandbox.store.blobs();
    let digest = blobs.put(b"hello").unwrap();
    assert_eq!(digest, Digest::of(b"hello"));
    assert!(blobs.contains(&digest));
    assert_eq!(blobs.read(&digest, 5).unwrap(), b"hello");
    assert_eq!(blobs.read(&digest, 4).unwrap_err().code(), "E_TOO_LARGE");
    assert_eq!(mode(&sandbox.store.layout().blob(&digest)), 0o400);
    let other = Digest::of(b"other");
    assert_eq!(blobs.read(&other, 5).unwrap_err().code(), "E_NOTFOUND");
    let before = sandbox.surroundings();
    let attempt = |bytes: &[u8], size: Option<u64>| {
        let mut writer = blobs.writer(&other, size).unwrap();
        match writer.write_all(bytes) {
            Ok(()) => writer.commit().map_err(|error| error.code()),
            Err(error) => Err(StoreError::from_write(error).unwrap().code()),
        }
    };
    assert_eq!(attempt(b"othe", Some(5)), Err("E_SIZE_MISMATCH"));
    assert_eq!(attempt(b"others", Some(5)), Err("E_SIZE_MISMATCH"));
    assert_eq!(attempt(b"otter", Some(5)), Err("E_DIGEST_MISMATCH"));
    assert_eq!(attempt(b"othe", None), Err("E_DIGEST_MISMATCH"));
    assert_eq!(sandbox.surroundings(), before, "nothing is published and nothing is left");
    assert_eq!(attempt(b"other", Some(5)), Ok(()));
    assert!(blobs.contains(&other));
    // Bits that rot are noticed.
    let path = sandbox.store.layout().blob(&other);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, "0ther").unwrap();
    assert_eq!(blobs.read(&other, 5).unwrap_err().code(), "E_STORE_CORRUPT");
}

#[test]
fn leftovers_of_the_dead_are_removed_by_the_next_writer() {
    let sandbox = Sandbox::new();
    let tmp = sandbox.store.layout().tmp();
    std::fs::create_dir_all(tmp.join("layer.1.0/tree/a")).unwrap();
    std::fs::write(tmp.join("layer.1.0/tree/a/b"), "x").unwrap();
    std::fs::set_permissions(tmp.join("layer.1.0/tree/a"), std::fs::Permissions::from_mode(0o000)).unwrap();
    std::fs::write(tmp.join("blob.1.0"), "x").unwrap();
    let writer = sandbox.store.blobs().writer(&Digest::of(b""), None).unwrap();
    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 1, "only the new one");
    // Another process that tidies up leaves what is being written alone.
    let other = Store::open(sandbox.store.layout().clone()).unwrap();
    other.blobs().put(b"x").unwrap();
    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 1);
    writer.commit().unwrap();
}

// The store itself.

#[test]
fn a_root_that_lets_others_in_is_refused() {
    let sandbox = Sandbox::new();
    let layout = sandbox.store.layout().clone();
    for open in [0o710, 0o701, 0o770, 0o777] {
        std::fs::set_permissions(layout.data(), std::fs::Permissions::from_mode(open)).unwrap();
        let error = Store::open(layout.clone()).unwrap_err();
        assert_eq!(error.code(), "E_DIR");
        assert!(error.hint().unwrap().contains("chmod 700"));
    }
    std::fs::set_permissions(layout.data(), std::fs::Permissions::from_mode(0o700)).unwrap();
    Store::open(layout.clone()).unwrap();
    for directory in [layout.data().to_owned(), layout.tmp(), layout.layers(), layout.images()] {
        assert_eq!(mode(&directory), 0o700);
    }
    if !is_root() {
        let foreign = coracle::state::layout::Layout::discover(Some("/usr".into()), Some("/usr".into())).unwrap();
        assert_eq!(Store::open(foreign).unwrap_err().code(), "E_DIR");
    }
}

// Images.

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn selector(text: &str) -> ImageSelector {
    let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    ImageSelector::Reference(reference(text), hex.then(|| text.to_owned()))
}

/// An image of one layer and one blob for each of its parts.
fn image(sandbox: &Sandbox, name: &str, tar: &[u8]) -> ImageRecord {
    let store = &sandbox.store;
    let blob = |bytes: &[u8], media_type: &str| BlobDescriptor {
        digest: store.blobs().put(bytes).unwrap(),
        media_type: media_type.into(),
        size: bytes.len() as u64,
    };
    if !store.layers().contains(&Digest::of(tar)) {
        sandbox.unpack(tar).unwrap();
    }
    let layer = ImageLayer {
        diff_id: Digest::of(tar),
        descriptor: blob(tar, "application/vnd.oci.image.layer.v1.tar"),
        opaque: false,
    };
    let record = ImageRecord {
        id: blob(format!("config of {name}").as_bytes(), "config").digest,
        manifest: blob(format!("manifest of {name}").as_bytes(), "application/vnd.oci.image.manifest.v1+json"),
        platform: Platform::host(),
        created: Some("2026-01-01T00:00:00Z".into()),
        layers: vec![layer],
        size: tar.len() as u64,
        config: RunDefaults { cmd: Some(vec!["sh".into()]), ..RunDefaults::default() },
        owners: None,
    };
    store.images().put(&record).unwrap();
    store.images().tag(&reference(name), &record.id, &record.manifest.digest).unwrap();
    record
}

#[test]
fn whom_an_image_belongs_to_is_known_without_looking_at_its_files() {
    let sandbox = Sandbox::new();
    let passwd = |text: &str| Tar::new().file("etc/passwd", text);
    let root = "root:x:0:0::/:/bin/sh\n";
    let foreign = Header::new(b'5', "srv").owner(33, 33);
    for (name, tar, others, accounts) in [
        ("scratch", Tar::new().file("program", "x"), false, false),
        ("root", passwd(root), false, false),
        ("accounts", passwd(&format!("{root}a:x:1:1::/:/bin/sh\n")), false, true),
        ("files", passwd(root).header(&foreign), true, false),
        ("link", passwd(root).symlink("etc/passwd", "/usr/passwd").file("usr/passwd", "a:x:1:1::/:\n"), false, true),
        ("pipe", Tar::new().header(&Header::new(b'6', "etc/passwd")), false, true),
    ] {
        let record = image(&sandbox, name, &tar.end());
        // Given means that nothing is only said to belong to others.
        let expected = ImageOwners { others, accounts, given: !others || is_root() };
        // What older versions have written has to be found out.
        assert_eq!(owners::of(&sandbox.store, &record).unwrap(), expected, "{name}");
        assert_eq!(expected.is_only_root(), !others && !accounts);
        let known = ImageOwners { others: true, accounts: true, given: false };
        let written = ImageRecord { owners: Some(known), ..record };
        sandbox.store.images().put(&written).unwrap();
        assert_eq!(owners::of(&sandbox.store, &resolved(&sandbox, name).unwrap()).unwrap(), known);
    }
}

fn resolved(sandbox: &Sandbox, text: &str) -> Option<ImageRecord> {
    sandbox.store.images().resolve(&selector(text)).unwrap().map(|found| found.record)
}

#[test]
fn images_are_found_by_every_name_they_have() {
    let sandbox = Sandbox::new();
    let tar = Tar::new().file("f", "x").end();
    let debian = image(&sandbox, "debian:12", &tar);
    let local = image(&sandbox, "localhost/hello", &tar);
    assert_eq!(resolved(&sandbox, "debian:12").as_ref(), Some(&debian));
    assert_eq!(resolved(&sandbox, "docker.io/library/debian:12").as_ref(), Some(&debian));
    assert_eq!(resolved(&sandbox, "debian"), None);
    assert_eq!(resolved(&sandbox, "hello").as_ref(), Some(&local), "short names are also local ones");
    assert_eq!(resolved(&sandbox, "docker.io/library/hello"), None);
    assert_eq!(resolved(&sandbox, "quay.io/hello"), None);
    // By id.
    assert_eq!(resolved(&sandbox, debian.id.short()).as_ref(), Some(&debian));
    let by_id = |text: &str| sandbox.store.images().resolve(&ImageSelector::Id(text.into()));
    assert_eq!(by_id(debian.id.hex()).unwrap().unwrap().record, debian);
    assert_eq!(by_id(&debian.id.to_string()).unwrap().unwrap().reference, None);
    assert!(by_id("../x").unwrap().is_none());
    assert!(by_id("").unwrap().is_none());
    // A name wins over an id that begins like it.
    let tricky = image(&sandbox, debian.id.short(), &tar);
    assert_eq!(resolved(&sandbox, debian.id.short()), Some(tricky));
    // The last tag wins.
    sandbox.store.images().tag(&reference("debian:12"), &local.id, &local.manifest.digest).unwrap();
    assert_eq!(resolved(&sandbox, "debian:12"), Some(local));
}

#[test]
fn a_digest_does_not_cross_names() {
    let sandbox = Sandbox::new();
    let evil = image(&sandbox, "evil:1", &Tar::new().end());
    let digest = &evil.manifest.digest;
    assert_eq!(resolved(&sandbox, &format!("good@{digest}")), None);
    assert_eq!(resolved(&sandbox, &format!("quay.io/evil@{digest}")), None);
    assert_eq!(resolved(&sandbox, &format!("evil@{digest}")).as_ref(), Some(&evil));
    assert_eq!(resolved(&sandbox, &format!("evil@{}", Digest::of(b"x"))), None);
    // The digest of the index that it came from is as good.
    let index = Digest::of(b"index");
    sandbox.store.images().tag(&reference("multi:1"), &evil.id, &index).unwrap();
    assert_eq!(resolved(&sandbox, &format!("multi@{index}")).as_ref(), Some(&evil));
    assert_eq!(resolved(&sandbox, &format!("multi@{digest}")), Some(evil));
}

#[test]
fn ambiguous_ids_are_refused() {
    let sandbox = Sandbox::new();
    let tar = Tar::new().end();
    // Seventeen ids cannot have seventeen different first digits.
    for number in 0..17 {
        image(&sandbox, &format!("i{number}"), &tar);
    }
    let ambiguous = "0123456789abcdef"
        .chars()
        .find_map(|digit| sandbox.store.images().resolve(&ImageSelector::Id(digit.into())).err());
    assert_eq!(ambiguous.unwrap().code(), "E_NAME_INVALID");
    assert_eq!(sandbox.store.images().list().unwrap().len(), 17);
}

/// Removes an image, and what nothing points to then: its names, and what was freed.
fn remove(store: &Store, id: &Digest) -> (Vec<String>, Freed) {
    let alone = store.lock_exclusive(&mut |_| {}).unwrap();
    let names = store.images().forget(id, &alone).unwrap();
    (names.iter().map(|found| found.reference.to_string()).collect(), collect::free_all(store, &alone).unwrap())
}

#[test]
fn removing_an_image_keeps_what_others_use() {
    let sandbox = Sandbox::new();
    let (shared, own) = (Tar::new().file("shared", "").end(), Tar::new().file("own", "").end());
    let first = image(&sandbox, "first", &shared);
    let second = image(&sandbox, "second", &shared);
    let third = image(&sandbox, "third", &own);
    let store = &sandbox.store;
    let (names, freed) = remove(store, &first.id);
    assert_eq!(names, ["docker.io/library/first:latest"]);
    assert_eq!(freed.layers, []);
    assert_eq!(freed.blobs.len(), 2, "its configuration and its manifest");
    assert_eq!(resolved(&sandbox, "second").as_ref(), Some(&second));
    assert!(store.layers().contains(&Digest::of(&shared)));
    assert!(freed.bytes() > 0);
    freed.discard().unwrap();
    // A container keeps its layers, whatever else its record says.
    let container = store.layout().containers().join("c1");
    std::fs::create_dir(&container).unwrap();
    let record = serde_json::json!({"v": 7, "image": {"id": third.id, "name": "third"}, "layers": [Digest::of(&own)], "more": {}});
    std::fs::write(container.join("record.json"), record.to_string()).unwrap();
    assert_eq!(collect::containers_of(store, &third.id).unwrap(), ["c1"]);
    assert_eq!(remove(store, &third.id).1.layers, []);
    assert!(store.layers().contains(&Digest::of(&own)));
    // Without it they are garbage, which a collection finds.
    std::fs::remove_dir_all(container).unwrap();
    let alone = store.lock_exclusive(&mut |_| {}).unwrap();
    assert_eq!(collect::free_all(store, &alone).unwrap().layers, [Digest::of(&own)]);
    drop(alone);
    remove(store, &second.id);
    for directory in [store.layout().layers(), store.layout().images(), store.layout().references()] {
        assert_eq!(std::fs::read_dir(directory).unwrap().count(), 0);
    }
    assert_eq!(std::fs::read_dir(store.layout().blobs(&second.id)).unwrap().count(), 0);
}

#[test]
fn one_damaged_record_loses_one_image_and_frees_nothing() {
    let sandbox = Sandbox::new();
    let tar = Tar::new().file("f", "").end();
    let (good, bad) = (image(&sandbox, "good", &tar), image(&sandbox, "bad", &tar));
    let store = &sandbox.store;
    let path = store.layout().image(&bad.id);
    std::fs::write(&path, "{\"v\":1,").unwrap();
    assert_eq!(store.images().list().unwrap().len(), 1);
    let damaged = store.images().scan().unwrap().1;
    assert_eq!(damaged[0].code(), "E_STATE");
    assert!(damaged[0].to_string().contains(path.to_str().unwrap()));
    let error = store.images().resolve(&selector("bad")).unwrap_err();
    assert_eq!(error.code(), "E_STATE");
    // Nobody knows what the damaged image needs.
    assert_eq!(remove(store, &good.id).1.layers, []);
    assert!(store.layers().contains(&Digest::of(&tar)));
}

#[test]
fn a_reference_can_be_taken_away() {
    let sandbox = Sandbox::new();
    let record = image(&sandbox, "a", &Tar::new().end());
    sandbox.store.images().tag(&reference("b:2"), &record.id, &record.manifest.digest).unwrap();
    assert_eq!(sandbox.store.images().list().unwrap()[0].references.len(), 2);
    let untagged = sandbox.store.images().untag(&reference("a")).unwrap().unwrap();
    assert_eq!(untagged.image, record.id);
    assert!(sandbox.store.images().untag(&reference("a")).unwrap().is_none());
    let left = &sandbox.store.images().list().unwrap()[0].references;
    assert_eq!(left[0].reference.to_string(), "docker.io/library/b:2");
}
