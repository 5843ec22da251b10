//! The tenant whose time is taken: how long its requests take beside what others do, in parts of what
//! the same take of a proxy that nobody else uses.

use std::time::{Duration, Instant};

use fprs_config::Tenant;
use fprs_testkit::Origin;
use fprs_testkit::client::H2;

use crate::scene::{Scene, host};

/// What the p99 may be beside anything, in parts of what it is alone.
const UNNOTICED: f64 = 1.2;

/// Requests of one round, of each of the two that are compared.
const REQUESTS: usize = 150;

/// Rounds of one measurement, at least and at most: a p99 of few requests is mostly chance, so more
/// are taken until the two are alike.
const ROUNDS: (usize, usize) = (2, 6);

/// The machine has other work: everything is measured anew so many times. What a flood does to its
/// neighbours doesn't go away.
const MEASUREMENTS: usize = 5;

const NAME: &str = "neighbour";

/// The tenant, beside others and alone.
pub(crate) struct Neighbour {
    beside: H2,
    alone: H2,
    _quiet: Scene,
    _origin: Origin,
}

impl Neighbour {
    /// One in that scene, and its like in one of its own.
    pub(crate) async fn of(scene: &Scene) -> Self {
        let origin = Origin::by_path();
        let quiet = Scene::start();
        for scene in [scene, &quiet] {
            scene.tenant(Tenant::new(NAME), &[origin.address()]).await;
        }
        Self {
            beside: scene.answers(NAME).await,
            alone: quiet.answers(NAME).await,
            _quiet: quiet,
            _origin: origin,
        }
    }

    /// The one beside others has its requests on that connection.
    pub(crate) const fn client(&self) -> &H2 {
        &self.beside
    }

    /// Fails when it notices what happens meanwhile; each of its requests is answered.
    pub(crate) async fn notices_nothing_of(&self, what: &str) {
        let mut ratios = Vec::new();
        while ratios.last().is_none_or(|ratio| *ratio > UNNOTICED) {
            assert!(ratios.len() < MEASUREMENTS, "{what}: {ratios:.2?}");
            ratios.push(self.measure(what).await);
        }
    }

    async fn measure(&self, what: &str) -> f64 {
        let (mut beside, mut alone) = (Vec::new(), Vec::new());
        for round in 1.. {
            for _ in 0..REQUESTS {
                beside.push(time(&self.beside).await);
                alone.push(time(&self.alone).await);
            }
            let (beside, alone) = (p99(&mut beside), p99(&mut alone));
            let ratio = beside.as_secs_f64() / alone.as_secs_f64();
            if round >= ROUNDS.0 && ratio <= UNNOTICED || round == ROUNDS.1 {
                println!("{what}: p99 {beside:?} beside, {alone:?} alone: {ratio:.2}");
                return ratio;
            }
        }
        unreachable!("the last round returns")
    }
}

async fn time(client: &H2) -> Duration {
    let begun = Instant::now();
    let response = client.get(&host(NAME), "/bytes/10240").await.unwrap();
    assert_eq!((response.status, response.body.len()), (200, 10_240));
    begun.elapsed()
}

fn p99(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() - 1 - times.len() / 100]
}
