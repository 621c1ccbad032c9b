//! Reports to text.

pub mod format;
pub mod json;
pub mod output;
pub mod progress;
pub mod size;
pub mod table;
pub mod template;
pub mod time;
