//! `fprs proxy`: starts, or relieves the proxy that runs; serves; ends by a signal or by being relieved.

use std::time::Duration;

use fprs_config::View;
use tokio::time::timeout;
use tonic::service::Routes;

use super::{Process, run};
use crate::data_dir::DataDir;
use crate::failure::Failure;
use crate::process::{self, bound};
use crate::roles::{self, Following, Proxying, Tracing};
use crate::settings::{Role, Settings};
use crate::take_over::{Answered, Holding, Newcomer, Offer, Relief};

/// A store answers within milliseconds. Without one for this long, clients are told that nothing can be
/// served rather than kept waiting.
const FIRST_SNAPSHOT: Duration = Duration::from_secs(2);

/// Runs the proxy.
///
/// # Errors
/// It can't start, or a part of it ended.
pub(in crate::commands) fn proxy(settings: Settings, take_over: bool) -> Result<(), Failure> {
    run(&settings, process::runtime_behind_requests, async {
        let dir = DataDir::open(&settings.data_dir)?;
        let (holding, newcomer) = hold(&dir, &settings, take_over).await?;
        let mut process = Process::new(&settings, dir, clone(&holding)?.admin)?;
        serve(&settings, &mut process, holding, newcomer).await
    })
}

/// Gets what only one proxy of the data dir may have.
async fn hold(
    dir: &DataDir,
    settings: &Settings,
    take_over: bool,
) -> Result<(Holding, Option<Newcomer>), Failure> {
    if take_over {
        match Newcomer::ask(dir, settings).await? {
            Answered::Offered(holding, newcomer) => return Ok((holding, Some(newcomer))),
            Answered::Nobody => {
                tracing::info!("no proxy runs in the data dir: nothing to take over")
            }
        }
    }
    Ok((Holding::claim(dir, settings)?, None))
}

async fn serve(
    settings: &Settings,
    process: &mut Process,
    holding: Holding,
    mut newcomer: Option<Newcomer>,
) -> Result<(), Failure> {
    let listen = clone(&holding)?.listen;
    process.listen = Some(bound(&listen)?);
    let budget = roles::budget(settings.buffer_limit, &process.registry)?;
    let tracing = settings.tracing.as_ref();
    let tracing = Tracing::start(tracing, &process.registry, &mut process.parts)?;
    let tracing = tracing.as_ref();
    let usage = roles::usage(&process.dir, &process.registry, &mut process.parts)?;
    let counts = (tracing, &usage);
    let mut proxy = Proxying::start_with(settings, &budget, counts, &process.registry)?;
    let store = process.feed(settings, Role::Proxy)?;
    let last_good = Some(process.dir.last_good(Role::Proxy.name()));
    let following = Following::new(store, last_good)
        .in_cell(settings.cell.as_deref())
        .observe(proxy.observer());
    let (view, status) = (following.view(), following.status());
    let loaded = following.view();
    following.start(&process.registry, &mut process.parts)?;
    let ready = proxy.ready_check();
    let api = proxy.seen().api(view.clone());
    let api = api.merge(roles::usage_api(&usage));
    let goes_on = match &mut newcomer {
        Some(newcomer) => {
            let goes_on = prepared(process, newcomer, loaded).await?;
            process.admin(status, ready, Routes::default(), api)?;
            goes_on
        }
        None => {
            process.admin(status, ready, Routes::default(), api)?;
            begun(process, loaded).await?
        }
    };
    if !goes_on {
        return Ok(());
    }
    proxy.serve(listen, view.clone(), &process.token, &mut process.parts)?;
    let ended = match newcomer {
        Some(newcomer) => newcomer.serves().await,
        None => Ok(()),
    };
    let ended = match ended {
        Ok(()) => until_relieved(settings, process, view, holding).await,
        Err(dismissed) => Ended::Dismissed(dismissed),
    };
    if let Ended::Relieved(_) | Ended::Dismissed(_) = ended {
        proxy.stop_accepting().await;
        process.relieved.cancel();
    }
    let result = match ended {
        Ended::Relieved(relief) => {
            relief.stopped_accepting().await;
            proxy.drain_relieved(settings.drain).await;
            Ok(())
        }
        Ended::Dismissed(failure) => {
            proxy.drain_relieved(settings.drain).await;
            Err(failure)
        }
        Ended::Alone(result) => {
            proxy.drain(settings.drain).await;
            result
        }
    };
    proxy.report_last().await;
    result
}

/// How a proxy came to its end.
enum Ended {
    /// Nobody takes its place.
    Alone(Result<(), Failure>),
    /// The one it was to relieve serves on.
    Dismissed(Failure),
    /// Another process has taken its place.
    Relieved(Relief),
}

/// Waits until the first snapshot is there, but not for long; `false` when this process was told to
/// end first. Clients that connect meanwhile wait with it.
async fn begun(process: &mut Process, mut view: View) -> Result<bool, Failure> {
    tokio::select! {
        _ = timeout(FIRST_SNAPSHOT, view.changed()) => Ok(true),
        ended = process.parts.ended() => Err(ended),
        terminated = process::terminated() => terminated.map(|()| false),
    }
}

/// Waits until this process could serve; `false` when it was told to end first.
async fn prepared(
    process: &mut Process,
    newcomer: &mut Newcomer,
    mut view: View,
) -> Result<bool, Failure> {
    tokio::select! {
        loaded = view.changed() => match loaded {
            Some(_) => Ok(true),
            None => Err(process.parts.ended().await),
        },
        dismissed = newcomer.dismissed() => Err(dismissed),
        ended = process.parts.ended() => Err(ended),
        terminated = process::terminated() => terminated.map(|()| false),
    }
}

/// Serves until a signal, or until somebody else does.
async fn until_relieved(
    settings: &Settings,
    process: &mut Process,
    view: View,
    holding: Holding,
) -> Ended {
    // Gone with this function: a listener that is to be closed must be open nowhere.
    let offer = match Offer::new(holding) {
        Ok(offer) => offer,
        Err(failure) => return Ended::Alone(Err(failure)),
    };
    let mut relief = None;
    let relieved = async {
        relief = Some(offer.taken().await);
        Ok(())
    };
    let ended = process
        .run_until(settings, super::known(view), relieved)
        .await;
    relief.map_or(Ended::Alone(ended), Ended::Relieved)
}

fn clone(holding: &Holding) -> Result<Holding, Failure> {
    holding
        .try_clone()
        .map_err(|error| Failure::new(format!("can't share a listener: {error}")))
}
