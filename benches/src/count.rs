//! Instructions and allocations per request, message or event, under callgrind: repeatable where times are not.
//!
//! A proxy answers N requests in one run and 2 N in another; the difference is what N requests
//! cost the threads that serve them, without start and end. Allocations are the calls of the allocator's entry points, so
//! this counts any proxy, whichever allocator it has.

use std::{collections::HashMap, fs, path::Path, thread};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::{
    arguments::of_serve,
    backend::Serve,
    cases::{Case, Effort, Kind},
    harness::{Origin, load},
    load::{Plan, Stop, pace::Pace, session::Protocol},
    proxy::{Proxy, Site, free_address},
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

/// Totals of one thread in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Instructions executed.
    pub instructions: u64,
    /// Calls of allocator entry points.
    pub allocations: u64,
}

/// What one request, message or event costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Instructions.
    pub instructions: f64,
    /// Allocations.
    pub allocations: f64,
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// Whose cost.
    pub proxy: &'static dyn Proxy,
    /// Tiny requests, messages or events, and the protocols.
    pub case: Case,
    /// Exchanges at a time: on one connection, or with HTTP/1.1 on one each.
    pub streams: u32,
    /// How many in the shorter of the two runs.
    pub count: u64,
}

impl Subject {
    /// Counts it.
    ///
    /// # Errors
    /// When valgrind is missing or the proxy does not run under it.
    pub fn cost(&self, effort: Effort) -> Result<Cost> {
        // At the same time: what is counted does not depend on who else runs.
        let (once, twice) = thread::scope(|scope| {
            let twice = scope.spawn(|| self.run(2 * self.count, effort));
            let once = self.run(self.count, effort);
            (once, twice.join())
        });
        let Ok(twice) = twice else {
            bail!("a run of the proxy under valgrind broke off");
        };
        Ok(difference(&once?, &twice?, self.count))
    }

    fn run(&self, count: u64, effort: Effort) -> Result<Vec<Totals>> {
        let Self { proxy, case, .. } = *self;
        let folder = tempfile::tempdir()?;
        // Events come when they are asked for: a proxy under valgrind would find several at once.
        let serve = match case.serve(effort) {
            Serve::Events { size, .. } => Serve::Hold { size },
            other => other,
        };
        let ticks = free_address()?;
        let mut backend = of_serve(serve);
        backend.extend(["--tick-port".to_owned(), ticks.port().to_string()]);
        let origin = (!proxy.has_origin(case.pair))
            .then(|| Origin::start(&backend))
            .transpose()?;
        let site = Site {
            pair: case.pair,
            upstream: origin.as_ref().map_or(ticks, |origin| origin.address),
            folder: folder.path(),
            backend: &backend,
            wrapper: &wrapper(folder.path()),
            cores: 1,
            store: None,
            replicas: 1,
            shadow: case.shadow(),
        };
        let running = proxy.start(&site)?;
        let plan = case.plan(running.address, effort);
        let (connections, streams) = match case.pair.down {
            Protocol::H1 => (self.streams, 1),
            Protocol::H2 => (1, self.streams),
        };
        let stop = match case.kind {
            Kind::Events => Stop::Events(count),
            _ => Stop::Requests(count),
        };
        let mut headers = plan.headers.clone();
        headers.extend(running.headers.iter().cloned());
        load(&Plan {
            headers,
            connections,
            streams,
            pace: Pace::Closed,
            stop,
            tick: (case.kind == Kind::Events).then_some(ticks),
            ..plan
        })?;
        // pingora takes SIGTERM for the start of a long goodbye; all end at once on SIGINT.
        running.end(Signal::SIGINT)?;
        totals(folder.path())
    }
}

/// What runs a proxy under callgrind, with profiles in `folder`.
fn wrapper(folder: &Path) -> Vec<String> {
    let out = folder.join("callgrind.%p");
    [
        "env",
        PLAIN_LIBC,
        "valgrind",
        "--tool=callgrind",
        "--trace-children=yes",
        // What a relay runs as its program is our origin: not what is counted.
        "--trace-children-skip=*/fprs-bench",
        "--separate-threads=yes",
        &format!("--callgrind-out-file={}", out.display()),
    ]
    .map(str::to_owned)
    .to_vec()
}

/// glibc picks its memory functions by the processor; with these features off, it picks the same
/// ones on every machine.
const PLAIN_LIBC: &str =
    "GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-AVX,-AVX512VL,-AVX512BW,-ERMS,-FSRM";

/// A thread that grew by less than this part of what the busiest one did serves nothing: its work
/// depends on the time that a run takes.
const SERVES: f64 = 0.1;

/// What `count` more exchanges cost the threads that serve, each run's threads being in the order of
/// what they did.
fn difference(once: &[Totals], twice: &[Totals], count: u64) -> Cost {
    let per = |once: u64, twice: u64| (twice as f64 - once as f64) / count as f64;
    let nothing = Totals::default();
    let costs = twice.iter().enumerate().map(|(rank, twice)| {
        let once = once.get(rank).unwrap_or(&nothing);
        Cost {
            instructions: per(once.instructions, twice.instructions),
            allocations: per(once.allocations, twice.allocations),
        }
    });
    let costs: Vec<Cost> = costs.collect();
    let most = costs
        .iter()
        .map(|cost| cost.instructions)
        .fold(0.0, f64::max);
    let serving = costs
        .iter()
        .filter(|cost| cost.instructions >= most * SERVES);
    serving.fold(Cost::default(), |sum, cost| Cost {
        instructions: sum.instructions + cost.instructions,
        allocations: sum.allocations + cost.allocations,
    })
}

/// The profiles of a proxy's threads, the busiest first.
fn totals(folder: &Path) -> Result<Vec<Totals>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("callgrind.") {
            let text =
                fs::read(&path).with_context(|| format!("{} can't be read", path.display()))?;
            threads.push(parse(&String::from_utf8_lossy(&text)));
        }
    }
    threads.sort_by_key(|thread| std::cmp::Reverse(thread.instructions));
    if threads
        .first()
        .is_none_or(|thread| thread.instructions == 0)
    {
        bail!("callgrind left no profile: is valgrind installed, and did the proxy end well?");
    }
    Ok(threads)
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
    fn only_threads_that_grow_with_the_requests_are_counted() {
        let threads = |instructions: [u64; 3]| {
            instructions.map(|instructions| Totals {
                instructions,
                allocations: instructions / 1_000,
            })
        };
        let once = threads([110_000, 60_000, 50_000]);
        let twice = threads([210_000, 110_000, 51_000]);
        let cost = difference(&once, &twice, 10);
        assert_eq!((cost.instructions, cost.allocations), (15_000.0, 15.0));
    }

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
