//! Promise: requests that are refused start nothing, however many there are.

use std::sync::Arc;

use fprs_testkit::client::{H2, get};
use fprs_testkit::signer::Signer;
use fprs_testkit::{Plane, eventually, program, until};
use http::{HeaderValue, Method};

use crate::stage::{HOST, claims, whole};
use crate::{FPRS, SOON, sized};

/// Streams each client has open at once.
const AT_ONCE: usize = 50;

/// What a metric of that name says, over all its labels that begin so.
async fn metric(plane: &Plane, name: &str) -> Option<f64> {
    let mut client = fprs_testkit::client::H1::connect(plane.admin())
        .await
        .unwrap();
    let text = client.get("admin", "/metrics").await.unwrap().text();
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.rsplit_once(' ')?.1.parse::<f64>().ok()
    });
    values.reduce(|sum, value| sum + value)
}

/// One of the requests that are refused, by its number.
fn refused(number: usize, forged: &str) -> http::Request<()> {
    let host = if number.is_multiple_of(3) {
        "nobody.region.localhost"
    } else {
        HOST
    };
    let mut request = get(host, "/");
    let credential = match number % 5 {
        0 => None,
        1 => Some("Bearer tk-0.wrong".to_owned()),
        2 => Some(format!("Bearer {forged}")),
        3 => Some("Basic eDp5".to_owned()),
        _ => {
            *request.method_mut() = Method::OPTIONS;
            let fields = request.headers_mut();
            fields.insert("origin", HeaderValue::from_static("https://a.example"));
            fields.insert(
                "access-control-request-method",
                HeaderValue::from_static("PUT"),
            );
            None
        }
    };
    if let Some(credential) = credential {
        let value = HeaderValue::try_from(credential).unwrap();
        request.headers_mut().insert("authorization", value);
    }
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_requests_start_nothing() {
    let plane = Plane::start(FPRS).await;
    let record = plane.dir().join("record");
    let env = [("RECORD", record.to_str().unwrap())];
    plane
        .deploy(&program::protected("web", "hold = \"10s\"", &env))
        .await;
    let forged: Arc<str> = Signer::ed25519("k").jwt(&claims("idp")).into();
    let total: usize = sized(20_000, 1_000_000);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..4 {
        let (address, forged) = (plane.listen(), Arc::clone(&forged));
        clients.spawn(async move {
            let h2 = H2::connect(address).await.unwrap();
            let share = total / 4;
            for first in (0..share).step_by(AT_ONCE) {
                let mut streams = Vec::new();
                for number in first..share.min(first + AT_ONCE) {
                    let request = refused(client * share + number, &forged);
                    streams.push(h2.open(request, true).await.unwrap());
                }
                for stream in streams {
                    let status = stream.response().await.unwrap().status;
                    assert!([401, 429].contains(&status), "{status}");
                }
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let answered = metric(&plane, "fprs_proxy_answers_total").await.unwrap();
    #[expect(clippy::cast_precision_loss, reason = "a million")]
    let total = total as f64;
    assert!((answered - total).abs() < 0.5, "{answered} of {total}");
    // Demand of now is served, so that of before would be, too.
    plane
        .deploy(&program::manifest("other", "hold = \"10s\"", &[]))
        .await;
    until("another server answers", SOON, async || {
        let answer = plane.h1().await.get(&plane.host("other"), "/").await;
        (answer.unwrap().status == 200).then_some(())
    })
    .await;
    let all = plane.run(&["replicas", "web", "--all", "--json"]).await;
    let all = all.succeeded().json();
    assert_eq!(all, serde_json::json!([]), "a replica was started");
    assert_eq!(program::events(&record).len(), 0);
    for gauge in [
        "fprs_proxy_exchanges_in_flight",
        "fprs_autoscaler_in_flight",
        "fprs_relay_exchanges_in_flight",
    ] {
        until("nothing is in flight", SOON, async || {
            (metric(&plane, gauge).await == Some(0.0)).then_some(())
        })
        .await;
    }
    // The same request with a good token does start one.
    let made = plane
        .run(&["token", "create", "--json"])
        .await
        .succeeded()
        .json();
    let bearer = format!("Bearer {}", whole(&made));
    until("the server answers", SOON, async || {
        let mut client = plane.h1().await;
        let fields = [("authorization", &*bearer)];
        let answer = crate::stage::get(&mut client, HOST, "/", &fields).await;
        (answer.status == 200).then_some(())
    })
    .await;
    eventually("it was counted", SOON, || {
        !program::events(&record).is_empty()
    })
    .await;
}
