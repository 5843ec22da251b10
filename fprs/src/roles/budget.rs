//! What the exchanges of a process may hold in memory, and its metrics; one for all roles in it.

use std::sync::Arc;

use fprs_forward::Budget;
use prometheus::Registry;

use super::readings::{counter, gauge};
use crate::failure::Failure;

/// A budget of so many bytes whose metrics are in the registry.
///
/// # Errors
/// The registry has one already.
pub(crate) fn budget(limit: usize, registry: &Registry) -> Result<Arc<Budget>, Failure> {
    let budget = Budget::new(limit);
    let held = Arc::clone(&budget);
    gauge(
        registry,
        "fprs_buffered_bytes",
        "Bytes held in memory of exchanges that can't go on.",
        move || held.held() as f64,
    )?;
    gauge(
        registry,
        "fprs_buffer_limit_bytes",
        "Bytes of exchanges that may be held in memory.",
        move || limit as f64,
    )?;
    let shed = Arc::clone(&budget);
    counter(
        registry,
        "fprs_exchanges_shed_total",
        "Exchanges ended because too much was held in memory.",
        move || shed.shed(),
    )?;
    Ok(budget)
}
