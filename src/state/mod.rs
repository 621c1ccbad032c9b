//! What outlives a process: where things are on disk, how records are written, and who may change them meanwhile.

pub mod disk_usage;
pub mod journal;
pub mod layout;
pub mod lock;
pub mod record;
pub mod schema;
pub mod temporary;
