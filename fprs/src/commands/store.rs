//! What an operator does with a store while control is away: prepare, check, export, import.

use std::io::Write;

use fprs_config::apply;
use fprs_config::store::copy;
use fprs_config::{SharedStore, StoreAddress};

use crate::cli::{StoreCommand, StorePlace};
use crate::data_dir::DataDir;
use crate::failure::Failure;
use crate::{process, settings};

/// Runs the command to its end.
pub(super) fn run(command: StoreCommand) -> Result<(), Failure> {
    let runtime = process::runtime()?;
    let ended = runtime.block_on(async {
        match command {
            StoreCommand::Init { place } => init(&place).await,
            StoreCommand::Check { place } => check(&place).await,
            StoreCommand::Export { file, place } => {
                let (address, store) = open(&place).await?;
                let count = copy::export(&*store, &file).await.map_err(Failure::new)?;
                let file = file.display();
                say(&format!("{count} records of {address} are in {file}"))
            }
            StoreCommand::Import { file, place } => {
                let (address, store) = open(&place).await?;
                let count = copy::import(&*store, &file).await.map_err(Failure::new)?;
                let file = file.display();
                say(&format!("{count} records of {file} are in {address}"))
            }
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    ended
}

async fn init(place: &StorePlace) -> Result<(), Failure> {
    let address = address(place)?;
    address.init().await.map_err(Failure::new)?;
    say(&format!("{address} is prepared"))
}

async fn check(place: &StorePlace) -> Result<(), Failure> {
    let (address, store) = open(place).await?;
    let contents = store.snapshot().await.map_err(Failure::new)?;
    let applied = apply::load(&contents);
    for refusal in &applied.refused {
        say(&format!("refused: {refusal}"))?;
    }
    let (records, refused) = (contents.entries.len(), applied.refused.len());
    let revision = contents.revision;
    if refused > 0 {
        return Err(Failure::new(format!(
            "{address} has {records} records at revision {revision}; this build can't use {refused} \
             of them: deploy or delete them again"
        )));
    }
    say(&format!(
        "{address} has {records} records at revision {revision}, all of them good"
    ))
}

async fn open(place: &StorePlace) -> Result<(StoreAddress, SharedStore), Failure> {
    let address = address(place)?;
    let store = address.open().await.map_err(Failure::new)?;
    Ok((address, store))
}

fn address(place: &StorePlace) -> Result<StoreAddress, Failure> {
    match &place.store {
        Some(store) => settings::store(store),
        None => Ok(StoreAddress::Embedded(
            DataDir::open(&place.data_dir)?.store(),
        )),
    }
}

fn say(line: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{line}")
        .map_err(|error| Failure::new(format!("can't write to standard output: {error}")))
}
