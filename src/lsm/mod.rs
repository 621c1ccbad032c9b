//! What the kernel's security modules are told about a container's processes.

pub mod capability;
