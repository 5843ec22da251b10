//! `fprs usage`: what tenants used in a month, as far as the process that is asked has counted it.

use serde_json::Value;

use super::ask::{items, print, print_json, segment, text};
use crate::cli::{Output, Target};
use crate::client::Client;
use crate::failure::Failure;
use crate::table::Table;

/// Shows it, with a sum for each tenant that has several servers.
///
/// # Errors
/// Nobody answers, or the month is none.
pub(super) fn show(
    tenant: Option<&str>,
    month: Option<&str>,
    target: &Target,
    output: Output,
) -> Result<(), Failure> {
    let asked = [("tenant", tenant), ("month", month)];
    let asked = asked
        .iter()
        .filter_map(|(name, value)| value.map(|value| format!("{name}={}", segment(value))));
    let path = format!("/v1/usage?{}", asked.collect::<Vec<_>>().join("&"));
    let report = Client::find(target)?.get(&path)?;
    if output.json {
        return print_json(&report);
    }
    let used = items(report.get("used").unwrap_or_default());
    let month = text(&report, "month");
    if used.is_empty() {
        return print(&format!("nothing was used in {month}\n"));
    }
    let mut table = Table::new(&[
        "TENANT",
        "SERVER",
        "EXCHANGES",
        "BYTES IN",
        "BYTES OUT",
        "REPLICA SECONDS",
    ]);
    let mut sum: Option<(&str, usize, [u64; 4])> = None;
    for of in used {
        let (tenant, numbers) = (text(of, "tenant"), numbers(of));
        sum = match sum {
            Some((same, servers, total)) if same == tenant => {
                let total = std::array::from_fn(|i| at(&total, i) + at(&numbers, i));
                Some((same, servers + 1, total))
            }
            other => {
                total(&mut table, other);
                Some((tenant, 1, numbers))
            }
        };
        row(&mut table, tenant, text(of, "server"), numbers);
    }
    total(&mut table, sum);
    print(&format!("{month}, UTC\n{table}"))
}

/// Exchanges, bytes in and out, and milliseconds of replicas.
fn numbers(of: &Value) -> [u64; 4] {
    ["exchanges", "received_bytes", "sent_bytes", "replica_ms"]
        .map(|key| of.get(key).and_then(Value::as_u64).unwrap_or_default())
}

fn total(table: &mut Table<6>, sum: Option<(&str, usize, [u64; 4])>) {
    if let Some((tenant, servers, total)) = sum
        && servers > 1
    {
        row(table, tenant, "(all)", total);
    }
}

fn row(
    table: &mut Table<6>,
    tenant: &str,
    server: &str,
    [exchanges, received, sent, ms]: [u64; 4],
) {
    table.row([
        tenant.to_owned(),
        server.to_owned(),
        exchanges.to_string(),
        received.to_string(),
        sent.to_string(),
        format!("{}.{:01}", ms / 1_000, ms % 1_000 / 100),
    ]);
}

fn at(numbers: &[u64; 4], index: usize) -> u64 {
    numbers.get(index).copied().unwrap_or_default()
}
