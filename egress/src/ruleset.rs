//! PURE. The packet rules as text for `nft -f -`. Each table has one writer, which always writes it
//! whole: the text deletes and makes it in one transaction, so there is no moment with half of it.

pub mod agent;
pub mod bound;
pub mod gateway;
pub mod mark;

use std::fmt::{Display, Write as _};

/// Devices of gateways begin with it.
pub const GATEWAY_DEVICES: &str = "fpg";
/// Devices of agents begin with it.
pub const AGENT_DEVICES: &str = "fpa";

/// The text that replaces `table` by one with `body`.
fn replace(table: &str, body: &str) -> String {
    // The first line makes it if it is not there, since deleting nothing is an error.
    format!("table {table}\ndelete table {table}\ntable {table} {{\n{body}}}\n")
}

/// The text that removes a table, whether it is there or not.
pub fn remove(table: &str) -> String {
    format!("table {table}\ndelete table {table}\n")
}

/// A named set or map.
fn set<T: Display>(
    kind: &str,
    name: &str,
    of: &str,
    elements: impl IntoIterator<Item = T>,
) -> String {
    let mut text = format!("  {kind} {name} {{\n    {of}\n");
    let elements: Vec<String> = elements.into_iter().map(|e| e.to_string()).collect();
    // nft has no word for an empty list.
    if !elements.is_empty() {
        let elements = elements.join(",\n      ");
        // Writing to a string can't fail.
        writeln!(text, "    elements = {{\n      {elements}\n    }}").ok();
    }
    text.push_str("  }\n");
    text
}

/// A base chain.
fn chain(name: &str, hook: &str, rules: &[String]) -> String {
    let mut text = format!("  chain {name} {{\n    type {hook}; policy accept;\n");
    for rule in rules {
        writeln!(text, "    {rule}").ok();
    }
    text.push_str("  }\n");
    text
}

/// What `nft` takes for an interface's name.
fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

#[cfg(test)]
mod tests;
