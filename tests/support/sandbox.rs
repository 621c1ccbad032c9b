//! A store in a directory of its own, and tars made byte by byte, so that they can be as wrong as an attacker's.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::Write;
use std::path::{Path, PathBuf};

use coracle::failure::Explain;
use coracle::oci::digest::Digest;
use coracle::state::layout::Layout;
use coracle::state::schema::layer::LayerManifest;
use coracle::store::unpack::limits::Limits;
use coracle::store::{Store, StoreError};

/// The program that is tested. A test program that has been copied elsewhere finds it beside itself.
pub fn program() -> PathBuf {
    let beside = std::env::current_exe().unwrap().with_file_name("coracle");
    if beside.exists() { beside } else { env!("CARGO_BIN_EXE_coracle").into() }
}

/// A store, and next to it things that must never change.
pub struct Sandbox {
    root: tempfile::TempDir,
    pub store: Store,
}

impl Sandbox {
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("coracle-test-").tempdir().unwrap();
        let data = root.path().join("data");
        let layout = Layout::discover(Some(data), Some(root.path().join("run"))).unwrap();
        let store = Store::open(layout).unwrap().with_program(program());
        let canary = root.path().join("canary");
        std::fs::create_dir_all(canary.join("directory")).unwrap();
        std::fs::write(canary.join("file"), "canary").unwrap();
        std::fs::write(canary.join("directory/file"), "canary").unwrap();
        Self { root, store }
    }

    /// Another program is started to unpack.
    pub fn set_program(&mut self, program: PathBuf) {
        self.store = Store::open(self.store.layout().clone()).unwrap().with_program(program);
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    pub fn canary(&self) -> PathBuf {
        self.root.path().join("canary")
    }

    /// Everything but the layers that are there: path, type, mode, owner, size, time, contents.
    pub fn surroundings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut pending = vec![self.root.path().to_owned()];
        while let Some(directory) = pending.pop() {
            use std::os::unix::fs::MetadataExt;
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let metadata = path.symlink_metadata().unwrap();
                let contents = if metadata.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
                // The store's own directories change their times when temporary files come and go.
                let time = if path.starts_with(self.canary()) { metadata.mtime_nsec() } else { 0 };
                let facts = (metadata.mode(), metadata.uid(), metadata.gid(), metadata.nlink(), time);
                lines.push(format!("{} {facts:?} {}", path.display(), Digest::of(&contents)));
                if metadata.is_dir() {
                    pending.push(path);
                }
            }
        }
        lines.sort();
        lines
    }

    /// Unpacks `tar` as a layer.
    pub fn unpack(&self, tar: &[u8]) -> Result<(PathBuf, LayerManifest), StoreError> {
        self.unpack_within(tar, &Limits::default())
    }

    pub fn unpack_within(&self, tar: &[u8], limits: &Limits) -> Result<(PathBuf, LayerManifest), StoreError> {
        let diff_id = Digest::of(tar);
        let mut ingest = self.store.layers().ingest_within(&diff_id, limits)?;
        if let Err(error) = ingest.write_all(tar) {
            return Err(StoreError::from_write(error).unwrap());
        }
        let manifest = ingest.commit()?;
        assert_eq!(self.store.layers().manifest(&diff_id).unwrap(), manifest);
        Ok((self.store.layers().path(&diff_id), manifest))
    }

    /// Asserts that `tar` is refused with `code`, that nothing outside the target was touched and nothing is left.
    #[track_caller]
    pub fn refuses(&self, what: &str, tar: &[u8], code: &str) {
        let before = self.surroundings();
        match self.unpack(tar) {
            Ok((path, _)) => panic!("{what}: unpacked to {}", path.display()),
            Err(error) => assert_eq!(error.code(), code, "{what}: {}", coracle::failure::Failure::from(error)),
        }
        assert_eq!(self.surroundings(), before, "{what}: something was touched, or is left behind");
    }
}

/// Layers may have directories that even their owner cannot empty as they are.
impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = coracle::state::temporary::remove(&self.root.path().join("data"));
    }
}

/// A tar being made.
#[derive(Clone, Default)]
pub struct Tar(pub Vec<u8>);

/// A header with everything that can be set.
#[derive(Clone)]
pub struct Header {
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    pub typeflag: u8,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub size: u64,
    pub mtime: u64,
    pub device: (u32, u32),
}

impl Header {
    pub fn new(typeflag: u8, name: &str) -> Self {
        let mode = if typeflag == b'5' { 0o755 } else { 0o644 };
        let (name, link) = (name.into(), Vec::new());
        Self { name, link, typeflag, mode, uid: 0, gid: 0, size: 0, mtime: 1_600_000_000, device: (0, 0) }
    }

    pub fn link(mut self, link: &str) -> Self {
        self.link = link.into();
        self
    }

    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    pub fn owner(mut self, uid: u64, gid: u64) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    /// The header's block, names cut to what fits, with a right checksum.
    pub fn block(&self) -> [u8; 512] {
        let mut block = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name[..self.name.len().min(100)]);
        put(100, format!("{:07o}\0", self.mode).as_bytes());
        put(108, format!("{:07o}\0", self.uid).as_bytes());
        put(116, format!("{:07o}\0", self.gid).as_bytes());
        put(124, format!("{:011o}\0", self.size).as_bytes());
        put(136, format!("{:011o}\0", self.mtime).as_bytes());
        put(156, &[self.typeflag]);
        put(157, &self.link[..self.link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(329, format!("{:07o}\0", self.device.0).as_bytes());
        put(337, format!("{:07o}\0", self.device.1).as_bytes());
        seal(&mut block);
        block
    }
}

/// Writes the right checksum into a header.
pub fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

impl Tar {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn header(self, header: &Header) -> Self {
        self.raw(&header.block())
    }

    /// A header and its contents; the size is set.
    pub fn entry(self, mut header: Header, contents: &[u8]) -> Self {
        header.size = contents.len() as u64;
        let padding = contents.len().next_multiple_of(512) - contents.len();
        self.header(&header).raw(contents).raw(&vec![0; padding])
    }

    pub fn file(self, name: &str, contents: &str) -> Self {
        self.entry(Header::new(b'0', name), contents.as_bytes())
    }

    pub fn directory(self, name: &str) -> Self {
        self.header(&Header::new(b'5', name))
    }

    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.header(&Header::new(b'2', name).link(target))
    }

    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.header(&Header::new(b'1', name).link(target))
    }

    /// A PAX header for the next entry.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            data.extend(pax_record(key, value));
        }
        self.pax_raw(b'x', &data)
    }

    pub fn pax_raw(self, typeflag: u8, data: &[u8]) -> Self {
        self.entry(Header::new(typeflag, "PaxHeaders/x"), data)
    }

    /// The complete tar.
    pub fn end(self) -> Vec<u8> {
        self.raw(&[0; 1024]).0
    }
}

pub fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = 1 + key.len() + 1 + value.len() + 1;
    let mut length = rest + 1;
    while length.to_string().len() + rest != length {
        length = length.to_string().len() + rest;
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// The value of a file's extended attribute.
pub fn xattr(path: &Path, name: &std::ffi::CStr) -> Option<String> {
    use std::os::fd::AsFd;
    let file = std::fs::File::open(path).unwrap();
    match coracle::sys::xattr::get(file.as_fd(), name) {
        Err(nix::errno::Errno::ENODATA) => None,
        value => Some(String::from_utf8(value.unwrap()).unwrap()),
    }
}

pub const OVERRIDE_STAT: &std::ffi::CStr = c"user.containers.override_stat";
pub const OPAQUE: &std::ffi::CStr = c"user.overlay.opaque";
