//! Instructions and allocations per request, under callgrind: repeatable where times are not.
//!
//! A proxy answers N requests in one run and 2 N in another; the difference is what N requests
//! cost, without start and end. Allocations are the calls of the allocator's entry points, so
//! this counts any proxy, whichever allocator it has.

use std::{collections::HashMap, fs, path::Path};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use crate::{
    arguments::of_serve,
    cases::{Case, Effort},
    harness::{Origin, load},
    load::{Plan, Stop, pace::Pace},
    proxy::{Pair, Proxy, Site},
};

/// What an allocation enters through: libc's names, and those of mimalloc and jemalloc.
const ALLOCATORS: [&str; 14] = [
    "malloc",
    "calloc",
    "realloc",
    "posix_memalign",
    "aligned_alloc",
    "memalign",
    "mi_malloc",
    "mi_zalloc",
    "mi_realloc",
    "mi_malloc_aligned",
    "mi_zalloc_aligned",
    "mi_realloc_aligned",
    "_rjem_malloc",
    "_rjem_mallocx",
];

/// Totals of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Instructions executed.
    pub instructions: u64,
    /// Calls of allocator entry points.
    pub allocations: u64,
}

/// What one request costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerRequest {
    /// Instructions.
    pub instructions: f64,
    /// Allocations.
    pub allocations: f64,
}

/// Counts `proxy` in `pair` with `streams` requests at a time.
///
/// # Errors
/// When valgrind is missing or the proxy does not run under it.
pub fn count(
    proxy: &dyn Proxy,
    pair: Pair,
    requests: u64,
    streams: u32,
    effort: Effort,
) -> Result<PerRequest> {
    let once = run(proxy, pair, requests, streams, effort)?;
    let twice = run(proxy, pair, 2 * requests, streams, effort)?;
    let per = |once: u64, twice: u64| (twice as f64 - once as f64) / requests as f64;
    Ok(PerRequest {
        instructions: per(once.instructions, twice.instructions),
        allocations: per(once.allocations, twice.allocations),
    })
}

fn run(
    proxy: &dyn Proxy,
    pair: Pair,
    requests: u64,
    streams: u32,
    effort: Effort,
) -> Result<Totals> {
    let folder = tempfile::tempdir()?;
    let case = Case {
        pair,
        kind: crate::cases::Kind::Saturation,
    };
    let backend = of_serve(case.serve(effort));
    let origin = Origin::start(&backend)?;
    let out = folder.path().join("callgrind.%p");
    let wrapper = ["valgrind", "--tool=callgrind", "--trace-children=yes"].map(str::to_owned);
    let mut wrapper = wrapper.to_vec();
    wrapper.push(format!("--callgrind-out-file={}", out.display()));
    let site = Site {
        pair,
        upstream: origin.address,
        folder: folder.path(),
        backend: &backend,
        wrapper: &wrapper,
    };
    let running = proxy.start(&site)?;
    let plan = case.plan(running.address, effort);
    let mut headers = plan.headers.clone();
    headers.extend(running.headers.iter().cloned());
    let stop = Stop::Requests(requests);
    load(&Plan {
        headers,
        connections: 1,
        streams,
        pace: Pace::Closed,
        stop,
        ..plan
    })?;
    // pingora takes SIGTERM for the start of a long goodbye; all end at once on SIGINT.
    running.end(Signal::SIGINT)?;
    totals(folder.path())
}

/// Sums the profiles of a proxy's processes.
fn totals(folder: &Path) -> Result<Totals> {
    let mut sum = Totals::default();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("callgrind.") {
            let text =
                fs::read(&path).with_context(|| format!("{} can't be read", path.display()))?;
            let totals = parse(&String::from_utf8_lossy(&text));
            sum.instructions += totals.instructions;
            sum.allocations += totals.allocations;
        }
    }
    if sum.instructions == 0 {
        bail!("callgrind left no profile: is valgrind installed, and did the proxy end well?");
    }
    Ok(sum)
}

/// Reads one callgrind profile.
fn parse(profile: &str) -> Totals {
    let mut totals = Totals::default();
    let mut names: HashMap<&str, bool> = HashMap::new();
    let mut called = false;
    for line in profile.lines() {
        if let Some(callee) = line.strip_prefix("cfn=") {
            called = is_allocator(callee, &mut names);
        } else if let Some(function) = line.strip_prefix("fn=") {
            is_allocator(function, &mut names);
        } else if let Some(calls) = line.strip_prefix("calls=") {
            let count = calls
                .split(' ')
                .next()
                .and_then(|word| word.parse::<u64>().ok());
            totals.allocations += count.filter(|_| called).unwrap_or(0);
        } else if let Some(all) = line.strip_prefix("totals: ") {
            totals.instructions += all.trim().parse::<u64>().unwrap_or(0);
        }
    }
    totals
}

/// A name is written once, `(12) malloc`, and later only `(12)`.
fn is_allocator<'a>(text: &'a str, names: &mut HashMap<&'a str, bool>) -> bool {
    match text.split_once(' ') {
        None => names.get(text).copied().unwrap_or(false),
        Some((id, name)) => {
            // `malloc'2` is a recursive call of the same function.
            let name = name.split(['\'', '@']).next().unwrap_or_default();
            let known = ALLOCATORS.contains(&name);
            names.insert(id, known);
            known
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_gives_instructions_and_the_calls_of_allocators() {
        let profile = "fn=(1) main\n1 5\ncfn=(2) malloc\ncalls=3 0\n1 9\ncfn=(3) free\ncalls=3 0\n\
            1 9\nfn=(4) other\ncfn=(2)\ncalls=4 0\n1 9\ncfn=(2)\ncalls=1 0\ntotals: 1234\n";
        assert_eq!(
            parse(profile),
            Totals {
                instructions: 1234,
                allocations: 8
            }
        );
    }
}
