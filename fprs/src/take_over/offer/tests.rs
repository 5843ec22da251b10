//! Both sides of a take-over in one process, with time that passes only when everybody waits.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::*;
use crate::data_dir::DataDir;
use crate::settings::{Given, Role, Settings};
use crate::take_over::{Answered, Newcomer};

fn settings(dir: &Path) -> Settings {
    let given = Given {
        listen: Some("127.0.0.1:0".to_owned()),
        data_dir: Some(dir.to_owned()),
        control: vec!["127.0.0.1:1".to_owned()],
        ..Given::default()
    };
    Settings::resolve(given, Role::Proxy).unwrap()
}

async fn ask(dir: &DataDir) -> (Holding, Newcomer) {
    match Newcomer::ask(dir, &settings(dir.path())).await.unwrap() {
        Answered::Offered(holding, newcomer) => (holding, newcomer),
        Answered::Nobody => panic!("somebody is there"),
    }
}

fn is_locked(dir: &DataDir) -> bool {
    let file = File::open(dir.proxy_lock()).unwrap();
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

#[tokio::test(start_paused = true)]
async fn one_that_never_serves_is_dismissed_and_the_next_one_relieves() {
    let dir = tempfile::tempdir().unwrap();
    let dir = DataDir::open(dir.path()).unwrap();
    let holding = Holding::claim(&dir, &settings(dir.path())).unwrap();
    let address = holding.listen.local_addr().unwrap();
    let offer = Offer::new(holding).unwrap();
    let relieved = tokio::spawn(async move { offer.taken().await });

    let (_, mut newcomer) = ask(&dir).await;
    let dismissed = newcomer.dismissed().await.to_string();
    assert!(dismissed.contains("longer than 60s"), "{dismissed}");

    let (_, newcomer) = ask(&dir).await;
    tokio::time::sleep(SERVING_TIME + HELLO_TIME).await;
    let too_late = newcomer.serves().await.unwrap_err().to_string();
    assert!(too_late.contains("longer than 60s"), "{too_late}");

    let (taken, newcomer) = ask(&dir).await;
    assert_eq!(taken.listen.local_addr().unwrap(), address);
    let serves = tokio::spawn(newcomer.serves());
    relieved.await.unwrap().stopped_accepting().await;
    serves.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_lock_lasts_as_long_as_anybody_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = DataDir::open(dir.path()).unwrap();
    let holding = Holding::claim(&dir, &settings(dir.path())).unwrap();
    let again = Holding::claim(&dir, &settings(dir.path())).unwrap_err();
    assert!(again.to_string().contains("--take-over"), "{again}");
    let offer = Offer::new(holding).unwrap();
    let relieved = tokio::spawn(async move { offer.taken().await });
    let (taken, newcomer) = ask(&dir).await;
    let serves = tokio::spawn(newcomer.serves());
    relieved.await.unwrap().stopped_accepting().await;
    serves.await.unwrap().unwrap();
    assert!(is_locked(&dir));
    drop(taken);
    assert!(!is_locked(&dir));
}

#[tokio::test]
async fn an_old_process_that_dies_leaves_everything_to_the_newcomer() {
    let dir = tempfile::tempdir().unwrap();
    let dir = DataDir::open(dir.path()).unwrap();
    let holding = Holding::claim(&dir, &settings(dir.path())).unwrap();
    let offer = Offer::new(holding).unwrap();
    let relieved = tokio::spawn(async move { offer.taken().await });
    let (taken, newcomer) = ask(&dir).await;
    relieved.abort();
    newcomer.serves().await.unwrap();
    assert!(is_locked(&dir));
    drop(taken);
}

#[tokio::test]
async fn a_stranger_that_talks_about_something_else_is_hung_up_on() {
    let dir = tempfile::tempdir().unwrap();
    let dir = DataDir::open(dir.path()).unwrap();
    let holding = Holding::claim(&dir, &settings(dir.path())).unwrap();
    let offer = Offer::new(holding).unwrap();
    let relieved = tokio::spawn(async move { offer.taken().await });
    for words in ["GET / HTTP/1.1\r\n\r\n".to_owned(), "x".repeat(10_000)] {
        let stream = UnixStream::connect(dir.proxy_socket()).await.unwrap();
        let mut stranger = Channel::new(stream).unwrap();
        stranger.say(&words).await.ok();
        let answer = stranger.hear::<FromOld>().await;
        assert!(matches!(answer, Ok(None) | Err(_)), "{answer:?}");
    }
    let (_, newcomer) = ask(&dir).await;
    let serves = tokio::spawn(newcomer.serves());
    relieved.await.unwrap().stopped_accepting().await;
    serves.await.unwrap().unwrap();
}
