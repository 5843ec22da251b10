//! The proxy, the roles and the commands of `fprs`; a library so that benchmarks and tests can use
//! its parts.

pub mod cli;
pub mod client;
pub mod commands;
pub mod data_dir;
pub mod doctor;
pub mod edge;
pub mod failure;
pub mod notify;
pub mod process;
pub mod proxy;
pub mod roles;
pub mod settings;
mod table;
pub mod take_over;
pub mod usage;
pub mod version;
