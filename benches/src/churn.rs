//! Ten thousand changes a second: domains of a plane's store that move from server to server, in
//! commits of a hundred, on a schedule.

use std::{
    io::Write as _,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use fprs_config::{feed::FeedClient, store::Store as _};

use crate::{proxy::fprs::moved, records::million};

/// Changes in one commit.
const COMMIT: usize = 100;
const COMMITS_PER_S: u32 = 100;
/// How often it says what it has done.
const SAID_EVERY: u32 = 10;

/// Changes the store behind the control process at `control` until it is stopped. Prints how many
/// changes a second were made so far, a line for each tenth of a second.
///
/// # Errors
/// When a commit fails.
pub fn run(control: SocketAddr, token: &str, million: Option<usize>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let feed = {
        let _inside = runtime.enter();
        FeedClient::new(&[control.to_string()], token, "bench")?
    };
    let begun = Instant::now();
    for commit in 0_u32.. {
        let due = begun + commit * Duration::from_secs(1) / COMMITS_PER_S;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let first = commit as usize * COMMIT;
        let change = |place| match million {
            Some(servers) => million::moved(servers, place),
            None => moved(place),
        };
        let changes = (first..first + COMMIT).map(change).collect();
        runtime.block_on(feed.commit(changes, Vec::new()))?;
        if commit % SAID_EVERY == SAID_EVERY - 1 {
            let done = (first + COMMIT) as f64;
            let mut out = std::io::stdout();
            writeln!(out, "{:.0}", done / begun.elapsed().as_secs_f64())?;
            out.flush()?;
        }
    }
    bail!("no commits are left to number");
}
