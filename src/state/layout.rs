//! The map of the disk: one function per path. Nothing else joins paths under the roots.
//!
//! ```text
//! DATA     $XDG_DATA_HOME/coracle       blobs/sha256/HEX  refs/NAME.json  images/HEX.json  layers/HEX/{tree,manifest.json}
//!                                       containers/ID/{record.json,exit.json,created,name,log.json,owners,upper,work,...}  names/NAME  partial/  tmp/  lock
//!                                       containers/ID/copy/{tree,made}  merged/HEX/{tree,of}
//!                                       volumes/NAME/{record.json,data,owners,new,filling}
//! RUNTIME  $XDG_RUNTIME_DIR/coracle     containers/ID.{json,sock,stopped,paused,health.json}  images/HEX (mounted)  events.jsonl  (safe to lose)
//! CONFIG   $XDG_CONFIG_HOME/coracle     config.toml
//! CACHE    $XDG_CACHE_HOME/coracle
//! ```

use std::ffi::CStr;
use std::path::{Path, PathBuf};

use crate::host::env;
use crate::name::container::{ContainerId, ContainerName};
use crate::name::log_request::{LogDriver, LogRequest};
use crate::name::network::NetworkName;
use crate::name::reference::Reference;
use crate::name::secret::SecretName;
use crate::name::storage_driver::Driver;
use crate::name::volume::VolumeName;
use crate::oci::digest::{DiffId, Digest, ImageId};

/// Names below the data root, for who has it as working directory.
pub const LAYERS: &CStr = c"layers/";
/// Of [`Layout::tmp`].
pub const TEMPORARY: &str = "tmp";
/// Of [`Layout::merged`].
pub const MERGED: &str = "merged";
/// In a directory of that, beside its tree: the layers that it is made of, topmost first, one a line.
pub const MERGED_OF: &str = "of";
/// In a container's directory: its own layer.
pub const UPPER: &CStr = c"upper";
/// The same: a copy of its layers and of that, which is the truth if it is there.
pub const CONTAINER_COPY: &CStr = c"copy";
/// The tree of a copy.
pub const COPY_TREE: &CStr = c"tree";
/// Beside it: as old as the copy.
pub const COPY_MADE: &CStr = c"made";

/// The four roots. All directories under them are the user's own, mode 0700.
#[derive(Clone, Debug)]
pub struct Layout {
    data: PathBuf,
    runtime: PathBuf,
    config: PathBuf,
    cache: PathBuf,
    driver: Option<Driver>,
    first: Driver,
    size_limit: Option<u64>,
}

/// Why the roots could not be found.
#[derive(Debug, thiserror::Error)]
#[error("finding the home directory: HOME is not set, or is not an absolute path")]
pub struct NoHome;

impl crate::failure::Explain for NoHome {
    fn code(&self) -> &'static str {
        "E_DIR"
    }

    fn hint(&self) -> Option<String> {
        Some("set HOME, or XDG_DATA_HOME, XDG_CONFIG_HOME and XDG_CACHE_HOME".into())
    }
}

/// Whether `directory` is there and belongs to us.
pub fn is_our_own(directory: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(directory)
        .is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == nix::unistd::geteuid().as_raw())
}

impl Layout {
    /// The roots that the environment names; `root` and `runroot` replace the data and runtime roots.
    pub fn discover(root: Option<PathBuf>, runroot: Option<PathBuf>) -> Result<Self, NoHome> {
        let home = env::get_absolute(&env::HOME);
        let xdg = |variable: &env::Variable, below_home: &str| {
            let base = env::get_absolute(variable).or_else(|| Some(home.as_ref()?.join(below_home)));
            base.map(|base| base.join("coracle")).ok_or(NoHome)
        };
        let data = root.map_or_else(|| xdg(&env::XDG_DATA_HOME, ".local/share"), Ok)?;
        let config = xdg(&env::XDG_CONFIG_HOME, ".config")?;
        let cache = xdg(&env::XDG_CACHE_HOME, ".cache")?;
        // Without a runtime directory of ours the store's own is used, never a guessed place in /tmp (SECURITY.md,
        // CVE-2020-27534).
        let runtime = runroot
            .or_else(|| {
                env::get_absolute(&env::XDG_RUNTIME_DIR)
                    .filter(|base| is_our_own(base))
                    .map(|base| base.join("coracle"))
            })
            .unwrap_or_else(|| data.join("run"));
        Ok(Self { data, runtime, config, cache, driver: None, first: Driver::default(), size_limit: None })
    }

    /// The same, with the user's word on how root file systems are made of what is there.
    #[must_use]
    pub fn with_storage_driver(self, driver: Option<Driver>) -> Self {
        Self { driver, ..self }
    }

    /// The same, with what is wished for: how they are tried to be made first, and bytes that a container may write.
    #[must_use]
    pub fn with_storage_wishes(self, first: Option<Driver>, size_limit: Option<u64>) -> Self {
        Self { first: first.unwrap_or_default(), size_limit, ..self }
    }

    /// How root file systems are tried to be made first.
    pub fn first_driver(&self) -> Driver {
        self.driver.unwrap_or(self.first)
    }

    /// Bytes that a container may write to its root file system, where nothing else is said.
    pub fn size_limit(&self) -> Option<u64> {
        self.size_limit
    }

    /// How root file systems are made, if the user has said so.
    pub fn storage_driver(&self) -> Option<Driver> {
        self.driver
    }

    /// The data root.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The runtime root.
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// The configuration root.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The cache root.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Files being written, on the same file system as their destination.
    pub fn tmp(&self) -> PathBuf {
        self.data.join("tmp")
    }

    /// The directory of a container in which nothing was written.
    pub fn spare(&self) -> PathBuf {
        self.tmp().join("spare.0")
    }

    /// The store's lock file.
    pub fn store_lock(&self) -> PathBuf {
        self.data.join("lock")
    }

    /// The directory of blobs of one algorithm.
    pub fn blobs(&self, of: &Digest) -> PathBuf {
        self.data.join("blobs").join(of.algorithm().as_str())
    }

    /// One blob: the bytes that have this digest.
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs(digest).join(digest.hex())
    }

    /// The directory of blobs on their way. Not below the cache root: a blob that is complete is renamed into its place.
    pub fn partial_blobs(&self) -> PathBuf {
        self.data.join("partial")
    }

    /// What has arrived of one blob.
    pub fn partial_blob(&self, digest: &Digest) -> PathBuf {
        self.partial_blobs().join(format!("{}-{}", digest.algorithm().as_str(), digest.hex()))
    }

    /// The directory of references.
    pub fn references(&self) -> PathBuf {
        self.data.join("refs")
    }

    /// The record of one reference. A slash becomes `%2f`; no other character of a reference needs escaping.
    pub fn reference(&self, reference: &Reference) -> PathBuf {
        self.references().join(format!("{}.json", reference.to_string().replace('/', "%2f")))
    }

    /// Trees that several layers make together, where there is no overlay.
    pub fn merged(&self) -> PathBuf {
        self.data.join(MERGED)
    }

    /// The directory of image records.
    pub fn images(&self) -> PathBuf {
        self.data.join("images")
    }

    /// The record of one image.
    pub fn image(&self, id: &ImageId) -> PathBuf {
        self.images().join(format!("{}.json", id.hex()))
    }

    /// What the user was told of containers.conf.
    pub fn configuration_notice(&self) -> PathBuf {
        self.runtime.join("containers.conf")
    }

    /// What the user was told of how root file systems are made here.
    pub fn storage_notice(&self) -> PathBuf {
        self.runtime.join("storage-driver")
    }

    /// On what an image is mounted by `image mount`.
    pub fn image_mount(&self, id: &ImageId) -> PathBuf {
        self.runtime.join("images").join(id.hex())
    }

    /// On what a container is mounted by `mount`.
    pub fn container_mount(&self, id: &ContainerId) -> PathBuf {
        self.runtime.join("mounts").join(id.as_str())
    }

    /// The directory of unpacked layers.
    pub fn layers(&self) -> PathBuf {
        self.data.join("layers")
    }

    /// One unpacked layer: `tree` is its files, `manifest.json` what the file system could not record.
    pub fn layer(&self, diff_id: &DiffId) -> PathBuf {
        self.layers().join(diff_id.hex())
    }

    /// The directory of containers.
    pub fn containers(&self) -> PathBuf {
        self.data.join("containers")
    }

    /// Everything about one container that outlives its processes.
    pub fn container(&self, id: &ContainerId) -> PathBuf {
        self.containers().join(id.as_str())
    }

    /// The record of what a container is. Its monitor holds it locked for as long as it lives.
    pub fn container_record(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("record.json")
    }

    /// The name that a container was given later; absent for one that still has its first.
    pub fn container_new_name(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("name")
    }

    /// How a container's root file system is made, if not as it is first tried.
    pub fn container_driver(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("driver.json")
    }

    /// Its copy of its layers and of its own, where it has one.
    pub fn container_copy(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("copy")
    }

    /// Owners of files of its own layer that cannot carry them ([`crate::state::schema::owners`]).
    pub fn container_owners(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("owners")
    }

    /// The record of how a container ended.
    pub fn exit_record(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("exit.json")
    }

    /// Marks a container that was made and not yet started.
    pub fn created_marker(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("created")
    }

    /// The log of a detached container, for drivers that write files. Older ones are beside it: `log.json.1`.
    pub fn container_log(&self, id: &ContainerId, log: &LogRequest) -> PathBuf {
        let name = if log.driver == LogDriver::K8sFile { "log.k8s" } else { "log.json" };
        match (&log.path, &log.directory) {
            (Some(path), _) => path.clone(),
            // Podman's name.
            (None, Some(directory)) => directory.join(id.as_str()).join("ctr.log"),
            (None, None) => self.container(id).join(name),
        }
    }

    /// A layer below all others, with what containers need as targets of mounts and images may lack: a file that had to be
    /// made in the container's own layer would have to be removed with it.
    pub fn mount_targets(&self) -> PathBuf {
        self.data.join("targets")
    }

    /// The directory of volumes.
    pub fn volumes(&self) -> PathBuf {
        self.data.join("volumes")
    }

    /// Everything about one volume.
    pub fn volume(&self, name: &VolumeName) -> PathBuf {
        self.volumes().join(name.as_str())
    }

    /// The record of what a volume is.
    pub fn volume_record(&self, name: &VolumeName) -> PathBuf {
        self.volume(name).join("record.json")
    }

    /// The files of a volume.
    pub fn volume_data(&self, name: &VolumeName) -> PathBuf {
        self.volume(name).join("data")
    }

    /// The directory of networks.
    pub fn networks(&self) -> PathBuf {
        self.data.join("networks")
    }

    /// The record of what a network is.
    pub fn network_record(&self, name: &NetworkName) -> PathBuf {
        self.networks().join(format!("{name}.json"))
    }

    /// The directory of what is known of networks that have members.
    pub fn network_states(&self) -> PathBuf {
        self.runtime.join("networks")
    }

    /// What is known of a network that has members: their leases, the process that holds it. Its lock is on this directory.
    pub fn network_state(&self, name: &NetworkName) -> PathBuf {
        self.network_states().join(name.as_str())
    }

    /// A container's lease in a network.
    pub fn lease(&self, name: &NetworkName, id: &ContainerId) -> PathBuf {
        self.network_state(name).join(format!("{id}.json"))
    }

    /// The socket of the process that holds a network.
    pub fn holder_socket(&self, name: &NetworkName) -> PathBuf {
        self.network_state(name).join("socket")
    }

    /// The record of the process that holds a network.
    pub fn holder_record(&self, name: &NetworkName) -> PathBuf {
        self.network_state(name).join("holder.json")
    }

    /// What was changed of a container's networks since it was made.
    pub fn container_networks(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("networks.json")
    }

    /// The user's own drivers of volumes: sockets and programs.
    pub fn plugins(&self) -> PathBuf {
        self.config.join("plugins")
    }

    /// Marks a container whose volumes drivers have mounted.
    pub fn driven_marker(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("driven")
    }

    /// What hooks are told of a container's configuration.
    pub fn container_bundle(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("bundle")
    }

    /// The directory of secrets.
    pub fn secrets(&self) -> PathBuf {
        self.data.join("secrets")
    }

    /// One secret.
    pub fn secret(&self, name: &SecretName) -> PathBuf {
        self.secrets().join(format!("{name}.json"))
    }

    /// What mounts of a container throw away with its end.
    pub fn container_overlays(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("overlays")
    }

    /// Owners of files of a volume that cannot carry them ([`crate::state::schema::owners`]).
    pub fn volume_owners(&self, name: &VolumeName) -> PathBuf {
        self.volume(name).join("owners")
    }

    /// The directory of container names.
    pub fn container_names(&self) -> PathBuf {
        self.data.join("names")
    }

    /// A symbolic link whose target is the identifier of the container of this name.
    pub fn container_name(&self, name: &ContainerName) -> PathBuf {
        self.container_names().join(name.as_str())
    }

    /// The journal: what happened, one JSON object a line.
    pub fn journal(&self) -> PathBuf {
        self.runtime.join("events.jsonl")
    }

    /// The journal before this one.
    pub fn old_journal(&self) -> PathBuf {
        self.runtime.join("events.jsonl.1")
    }

    /// The directory of process records.
    pub fn process_records(&self) -> PathBuf {
        self.runtime.join("containers")
    }

    /// The socket on which a container's monitor takes clients.
    pub fn attach_socket(&self, id: &ContainerId) -> PathBuf {
        self.process_records().join(format!("{id}.sock"))
    }

    /// The socket of a monitor that takes no clients but those that join a container whose ids are virtual.
    pub fn ids_socket(&self, id: &ContainerId) -> PathBuf {
        self.process_records().join(format!("{id}.ids.sock"))
    }

    /// Marks a container that a user asked to end: it is not restarted.
    pub fn stop_marker(&self, id: &ContainerId) -> PathBuf {
        self.process_records().join(format!("{id}.stopped"))
    }

    /// How the health of a container that runs is.
    pub fn health_record(&self, id: &ContainerId) -> PathBuf {
        self.process_records().join(format!("{id}.health.json"))
    }

    /// Says that a container is paused by signals, and which of its lives.
    pub fn paused_marker(&self, id: &ContainerId) -> PathBuf {
        self.process_records().join(format!("{id}.paused"))
    }

    /// What connects the network of a container that runs.
    pub fn connection_record(&self, id: &ContainerId) -> PathBuf {
        self.process_records().join(format!("{id}.network.json"))
    }

    /// Where a container's control group is.
    pub fn group_record(&self, id: &ContainerId) -> PathBuf {
        self.process_records().join(format!("{id}.group.json"))
    }

    /// What was changed of a container's limits, and of what happens when it ends, since it was made.
    pub fn container_changes(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("changes.json")
    }

    /// Which processes serve one container.
    pub fn process_record(&self, id: &ContainerId) -> PathBuf {
        self.process_records().join(format!("{id}.json"))
    }
}
