//! Switches in `/proc/sys`: of single interfaces, since what else a host does is its own business, and
//! on gateways those of connection tracking.

use std::fs;
use std::io;

/// A switch that can't be set.
#[derive(Debug, thiserror::Error)]
#[error("can't write {value} to {path}: {error}")]
pub struct SwitchError {
    path: String,
    value: &'static str,
    error: io::Error,
}

/// Lets packets come in that would not go back the same way: the other tunnel has the route. The
/// larger of this and the global switch counts, and 2 is the largest.
///
/// # Errors
/// There is no such interface, or this is not root.
pub fn loose_reverse_path(interface: &str) -> Result<(), SwitchError> {
    set(interface, "rp_filter", "2")
}

/// Routes on what comes in by that interface.
///
/// # Errors
/// There is no such interface, or this is not root.
pub fn forwarding(interface: &str) -> Result<(), SwitchError> {
    set(interface, "forwarding", "1")
}

/// Takes a connection in that is seen from its middle, and in one direction only, as it is while an
/// address moves. Else its packets are of no connection, and not translated.
///
/// # Errors
/// There is no connection tracking, or this is not root.
pub fn mid_stream_tracking() -> Result<(), SwitchError> {
    for switch in ["nf_conntrack_tcp_loose", "nf_conntrack_tcp_be_liberal"] {
        write(format!("/proc/sys/net/netfilter/{switch}"), "1")?;
    }
    Ok(())
}

fn set(interface: &str, switch: &str, value: &'static str) -> Result<(), SwitchError> {
    write(
        format!("/proc/sys/net/ipv4/conf/{interface}/{switch}"),
        value,
    )
}

fn write(path: String, value: &'static str) -> Result<(), SwitchError> {
    fs::write(&path, value).map_err(|error| SwitchError { path, value, error })
}
