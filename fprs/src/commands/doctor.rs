//! `fprs doctor`: prints what was found on this machine, and fails where a role could not run on it.

use serde_json::json;

use crate::cli::Output;
use crate::doctor::{Finding, Health, examine, facts};
use crate::failure::Failure;
use crate::settings::{Role, Settings};

/// Does it.
///
/// # Errors
/// Something is wrong enough that the role would not run.
pub(super) fn run(settings: &Settings, role: Role, output: Output) -> Result<(), Failure> {
    let findings = examine(role, &facts::gather(settings, role));
    if output.json {
        let findings: Vec<_> = findings.iter().map(in_json).collect();
        println!("{}", json!(findings));
    } else {
        for finding in &findings {
            println!(
                "{:<7} {:<11} {}",
                finding.health.word(),
                finding.what,
                finding.found
            );
            if let Some(remedy) = &finding.remedy {
                println!("{:<20}{remedy}", "");
            }
        }
    }
    match findings
        .iter()
        .filter(|finding| finding.health == Health::Broken)
        .count()
    {
        0 => Ok(()),
        1 => Err(Failure::new("1 thing must be changed first")),
        count => Err(Failure::new(format!(
            "{count} things must be changed first"
        ))),
    }
}

fn in_json(finding: &Finding) -> serde_json::Value {
    json!({
        "health": finding.health.word(),
        "what": finding.what,
        "found": finding.found,
        "remedy": finding.remedy,
    })
}
