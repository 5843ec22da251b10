//! Another version of a record is in force in its cell alone until it is promoted, and gone when it is
//! taken back.

use fprs_testkit::client::H1;
use fprs_testkit::{Role, program, until};
use serde_json::Value;

use crate::SOON;
use crate::fleet::{Fleet, TOKEN};

const NEW: &str = "new.example.com";

/// What that proxy answers for the host that is staged.
async fn status(fleet: &Fleet, proxy: usize) -> u16 {
    let mut client = fleet.h1(proxy).await;
    client.get(NEW, "/").await.unwrap().status
}

async fn config(role: &Role) -> Value {
    let mut client = H1::connect(role.address("admin")).await.unwrap();
    let request =
        format!("GET /v1/config HTTP/1.1\r\nhost: admin\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    let answer = client.exchange(request).await.unwrap();
    serde_json::from_str(&answer.text()).unwrap()
}

/// Waits until both proxies run by what was written last, and returns what they say of it.
async fn settled(fleet: &Fleet) -> [Value; 2] {
    let newest = config(&fleet.control).await["revision"].as_u64().unwrap();
    until("both proxies have heard", SOON, async || {
        let both = [
            config(&fleet.proxies[0]).await,
            config(&fleet.proxies[1]).await,
        ];
        let heard = |config: &Value| config["revision"].as_u64().unwrap() >= newest;
        both.iter().all(heard).then_some(both)
    })
    .await
}

fn runs(config: &Value) -> Vec<String> {
    let staged = config["staged"].as_array().unwrap().iter();
    let text = |value: &Value, key: &str| value[key].as_str().unwrap().to_owned();
    staged
        .map(|staged| format!("{} {}", text(staged, "record"), text(staged, "runs")))
        .collect()
}

#[tokio::test]
async fn what_is_staged_is_in_force_in_its_cell_alone_until_it_is_promoted_or_taken_back() {
    let mut fleet = Fleet::start(1, 1).await;
    fleet.proxy_in("eu").await;
    let manifest = |more: &str| program::manifest("web", &format!("min_replicas = 1\n{more}"), &[]);
    fleet.deploy(&manifest("")).await;
    fleet.answers("web.region.localhost").await;
    until("its version is proven", SOON, async || {
        let shown = fleet
            .cli()
            .run(&["server", "web", "--json"])
            .await
            .succeeded();
        let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
        (shown["proven"] == true).then_some(())
    })
    .await;
    let file = fleet.path("new.toml");
    std::fs::write(&file, manifest(&format!("domains = [\"{NEW}\"]"))).unwrap();
    let deploy = ["deploy", file.to_str().unwrap()];
    let stage = [deploy[0], deploy[1], "--cells", "eu"];

    let staged = fleet.cli().run(&stage).await.succeeded();
    assert!(
        staged.stdout.contains("fprs rollout promote server/web"),
        "{}",
        staged.stdout
    );
    let [elsewhere, eu] = settled(&fleet).await;
    assert_eq!(
        (&elsewhere["cell"], &eu["cell"]),
        (&Value::Null, &"eu".into())
    );
    let records = ["domain/new.example.com", "server/web"];
    assert_eq!(
        runs(&elsewhere),
        records.map(|record| format!("{record} promoted"))
    );
    assert_eq!(runs(&eu), records.map(|record| format!("{record} staged")));
    assert_eq!(
        (status(&fleet, 0).await, status(&fleet, 1).await),
        (401, 200)
    );
    let refused = fleet.cli().run(&deploy).await;
    assert!(refused.stderr.contains("is staged"), "{}", refused.stderr);

    fleet
        .cli()
        .run(&["rollout", "back", "server/web"])
        .await
        .succeeded();
    let [_, eu] = settled(&fleet).await;
    assert!(runs(&eu).is_empty());
    assert_eq!(
        (status(&fleet, 0).await, status(&fleet, 1).await),
        (401, 401)
    );

    fleet.cli().run(&stage).await.succeeded();
    settled(&fleet).await;
    assert_eq!(
        (status(&fleet, 0).await, status(&fleet, 1).await),
        (401, 200)
    );
    fleet
        .cli()
        .run(&["rollout", "promote", "server/web"])
        .await
        .succeeded();
    settled(&fleet).await;
    until("it is in force everywhere", SOON, async || {
        let both = (status(&fleet, 0).await, status(&fleet, 1).await);
        (both == (200, 200)).then_some(())
    })
    .await;
}
