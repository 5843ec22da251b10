//! Ten clients ask one core for more than it can: what each gets is its share, not what it asks for.

use std::time::Duration;

use fprs_config::Tenant;
use fprs_testkit::until;

use crate::load::{Load, Pace, Plan};
use crate::scene::{DEADLINE, Scene, host};
use crate::{origin, wire};

/// How long requests are counted, once.
const COUNTED: Duration = Duration::from_secs(2);

/// Until shares are found, and since the machine has other work: they are counted anew so many times.
const COUNTS: usize = 12;

/// Connections of one flood.
const FLOODS: usize = 8;

/// Counts what each tenant gets until that is as it should be.
async fn counted(scene: &Scene, plans: Vec<Plan>, mut fits: impl FnMut(&[f64]) -> bool) {
    let load = Load::start(scene.listen, plans);
    let mut all = Vec::new();
    loop {
        let before = load.ok();
        tokio::time::sleep(COUNTED).await;
        let after = load.ok();
        let got = after.iter().zip(before);
        let got: Vec<f64> = got.map(|(after, before)| (after - before) as f64).collect();
        let late = scene.metric("fprs_proxy_late_cores", &[]);
        let refused: u64 = load.refused().iter().sum();
        println!("{got:?}, {refused} refused so far, {late} cores late");
        let fitting = fits(&got);
        all.push(got);
        if fitting && refused > 0 {
            break;
        }
        assert!(all.len() < COUNTS, "{all:?}");
    }
    until("the core to be told of as late", DEADLINE, async || {
        (scene.metric("fprs_proxy_late_cores", &[]) > 0.0).then_some(())
    })
    .await;
    load.stop();
}

/// 1: all equal; 1/n: one has everything.
fn jain(of: &[f64]) -> f64 {
    let sum: f64 = of.iter().sum();
    let squares: f64 = of.iter().map(|one| one * one).sum();
    sum * sum / (of.len() as f64 * squares)
}

#[tokio::test]
async fn ten_equal_tenants_get_equal_shares_of_a_core_that_has_too_much_to_do() {
    let scene = Scene::start();
    let origin = origin::start();
    let mut plans = Vec::new();
    // All ask for more than a tenth, and two for several times as much as the others.
    let outstanding = [100, 100, 100, 100, 300, 100, 100, 100, 100, 400];
    for (number, outstanding) in outstanding.into_iter().enumerate() {
        let name = format!("t{number}");
        scene.tenant(Tenant::new(&name), &[origin]).await;
        scene.answers(&name).await;
        plans.push(Plan::new(host(&name), Pace::Outstanding(outstanding)));
    }
    counted(&scene, plans, |got| {
        let jain = jain(got);
        println!("Jain's index: {jain:.3}");
        jain >= 0.95
    })
    .await;
}

#[tokio::test]
async fn weights_are_respected_within_a_tenth() {
    let scene = Scene::start();
    let origin = origin::start();
    let mut plans = Vec::new();
    let weights = [1, 2, 4];
    for (weight, outstanding) in weights.into_iter().zip([300, 300, 600]) {
        let tenant = Tenant {
            weight,
            ..Tenant::new(&format!("t{weight}"))
        };
        let name = tenant.name.clone();
        scene.tenant(tenant, &[origin]).await;
        scene.answers(&name).await;
        plans.push(Plan::new(host(&name), Pace::Outstanding(outstanding)));
    }
    counted(&scene, plans, |got| {
        let unit = got.iter().sum::<f64>() / f64::from(weights.iter().sum::<u32>());
        let ratios = got.iter().zip(weights);
        let ratios: Vec<f64> = ratios
            .map(|(got, weight)| got / unit / f64::from(weight))
            .collect();
        println!("parts of their shares: {ratios:.2?}");
        ratios.iter().all(|ratio| (0.9..=1.1).contains(ratio))
    })
    .await;
}

/// Its core has no time left; what refusals cost is not taken from it.
#[tokio::test]
async fn a_tenant_within_its_share_is_never_refused_while_another_floods_the_core() {
    let scene = Scene::start();
    let origin = origin::start();
    for name in ["modest", "flood"] {
        scene.tenant(Tenant::new(name), &[origin]).await;
        scene.answers(name).await;
    }
    let flood = Plan::new(host("flood"), Pace::Outstanding(300));
    let modest = Plan::new(host("modest"), Pace::Outstanding(2));
    let mut plans = vec![modest];
    plans.resize(1 + FLOODS, flood);
    let load = Load::start(scene.listen, plans);
    until("refusals", DEADLINE, async || {
        let refused = load.refused();
        assert_eq!(refused[0], 0, "{refused:?}");
        (refused.iter().sum::<u64>() > 1_000 && load.ok()[0] > 50).then_some(())
    })
    .await;
    let (ok, refused) = (load.ok(), load.refused());
    load.stop();
    println!("{ok:?} carried, {refused:?} refused");
    assert!(ok[0] > 0 && refused[0] == 0, "{ok:?} and {refused:?}");
}

/// The load is cheap to make: what it measures is the proxy.
#[test]
fn a_head_is_made_once() {
    let block = wire::get("a", "/", &[("x", "y".repeat(300))]);
    assert_eq!(block[0], 0);
    assert!(block.len() > 300);
}
