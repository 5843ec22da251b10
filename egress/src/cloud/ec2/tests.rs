//! Against a double of the metadata service and of EC2 that throttles, fails and dawdles as told.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Mutex;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::{post, put};
use tokio::net::TcpListener;

use super::*;

const STATIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const OTHER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 8);

/// What the double does with the next request of the API, before it answers as it should.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whim {
    Throttle,
    Break,
    HangUp,
    Refuse,
}

#[derive(Default)]
struct Double {
    whims: Mutex<VecDeque<Whim>>,
    /// Elastic IPs, and where they are.
    elastic: Mutex<BTreeMap<Ipv4Addr, Option<Place>>>,
    asked: Mutex<Vec<String>>,
    sessions: Mutex<BTreeSet<String>>,
}

type Answer = (StatusCode, String);

async fn session(State(double): State<Arc<Double>>, headers: HeaderMap) -> Answer {
    if !headers.contains_key("x-aws-ec2-metadata-token-ttl-seconds") {
        return (StatusCode::BAD_REQUEST, String::new());
    }
    let session = format!("session-{:x}", fastrand::u64(..));
    double.sessions.lock().unwrap().insert(session.clone());
    (StatusCode::OK, session)
}

async fn metadata(
    State(double): State<Arc<Double>>,
    headers: HeaderMap,
    Path(path): Path<String>,
) -> Answer {
    let session = headers.get("x-aws-ec2-metadata-token");
    let session = session.and_then(|value| value.to_str().ok());
    if !session.is_some_and(|session| double.sessions.lock().unwrap().contains(session)) {
        return (StatusCode::UNAUTHORIZED, String::new());
    }
    let text = match path.as_str() {
        "placement/region" => "eu-test-1",
        "iam/security-credentials/" => "gateway-role",
        "iam/security-credentials/gateway-role" => {
            r#"{"AccessKeyId":"AKID","SecretAccessKey":"secret","Token":"session-token"}"#
        }
        "network/interfaces/macs/" => "02:00:00:00:00:01/\n02:00:00:00:00:02/\n02:00:00:00:00:03/",
        "network/interfaces/macs/02:00:00:00:00:01/interface-id" => "eni-1",
        "network/interfaces/macs/02:00:00:00:00:01/local-ipv4s" => "10.0.1.5",
        "network/interfaces/macs/02:00:00:00:00:02/interface-id" => "eni-2",
        "network/interfaces/macs/02:00:00:00:00:02/local-ipv4s" => "10.0.2.5\n10.0.2.6",
        // The third was detached between two requests.
        _ => return (StatusCode::NOT_FOUND, String::new()),
    };
    (StatusCode::OK, text.to_owned())
}

async fn api(State(double): State<Arc<Double>>, headers: HeaderMap, form: String) -> Answer {
    let form: BTreeMap<String, String> = form
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let authorization = headers["authorization"].to_str().unwrap();
    assert!(
        authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKID/"),
        "{authorization}"
    );
    assert!(
        authorization.contains("/eu-test-1/ec2/aws4_request"),
        "{authorization}"
    );
    assert_eq!(headers["x-amz-security-token"], "session-token");
    let whim = double.whims.lock().unwrap().pop_front();
    let refused = |status, code: &str| {
        let text = format!(
            "<Response><Errors><Error><Code>{code}</Code><Message>why</Message></Error></Errors></Response>"
        );
        (status, text)
    };
    match whim {
        Some(Whim::Throttle) => {
            return refused(StatusCode::SERVICE_UNAVAILABLE, "RequestLimitExceeded");
        }
        Some(Whim::Break) => return (StatusCode::INTERNAL_SERVER_ERROR, "oops".into()),
        Some(Whim::HangUp) => {
            tokio::time::sleep(2 * DEADLINE).await;
            return (StatusCode::OK, String::new());
        }
        Some(Whim::Refuse) => return refused(StatusCode::FORBIDDEN, "UnauthorizedOperation"),
        None => {}
    }
    double.asked.lock().unwrap().push(form["Action"].clone());
    let mut elastic = double.elastic.lock().unwrap();
    if form["Action"] == "DescribeAddresses" {
        let wanted: BTreeSet<&String> = form.values().collect();
        let items: String = elastic
            .iter()
            .filter(|(ip, _)| wanted.contains(&ip.to_string()))
            .map(|(ip, place)| {
                let place = place.as_ref().map(|place| {
                    let Place { interface, local } = place;
                    format!("<networkInterfaceId>{interface}</networkInterfaceId><privateIpAddress>{local}</privateIpAddress>")
                });
                format!("<item><publicIp>{ip}</publicIp><allocationId>alloc-{ip}</allocationId>{}</item>", place.unwrap_or_default())
            })
            .collect();
        return (
            StatusCode::OK,
            format!("<R><addressesSet>{items}</addressesSet></R>"),
        );
    }
    assert_eq!(form["AllowReassociation"], "true");
    let ip: Ipv4Addr = form["AllocationId"]
        .strip_prefix("alloc-")
        .unwrap()
        .parse()
        .unwrap();
    let place = Place {
        interface: form["NetworkInterfaceId"].clone(),
        local: form["PrivateIpAddress"].parse().unwrap(),
    };
    *elastic.get_mut(&ip).unwrap() = Some(place);
    (StatusCode::OK, "<R><return>true</return></R>".into())
}

async fn serve(double: &Arc<Double>) -> SocketAddr {
    let router = Router::new()
        .route("/latest/api/token", put(session))
        .route("/latest/meta-data/{*path}", axum::routing::get(metadata))
        .route("/", post(api))
        .with_state(Arc::clone(double));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn start(whims: &[Whim]) -> (Arc<Double>, Ec2) {
    let double = Arc::new(Double {
        whims: Mutex::new(whims.iter().copied().collect()),
        elastic: Mutex::new([(STATIC, None), (OTHER, None)].into()),
        ..Double::default()
    });
    let address = serve(&double).await.to_string();
    let ec2 = Ec2::new(Ec2Settings {
        imds: Imds::at(&address),
        endpoint: Some(address),
        authorities: None,
    });
    (double, ec2.unwrap())
}

fn wanted(interface: &str, local: [u8; 4]) -> BTreeMap<Ipv4Addr, Place> {
    let place = Place {
        interface: interface.into(),
        local: local.into(),
    };
    [(STATIC, place)].into()
}

#[tokio::test]
async fn an_elastic_ip_goes_where_it_is_wanted_and_stays_where_it_is_right() {
    let (double, ec2) = start(&[]).await;
    let first = wanted("eni-1", [10, 0, 1, 5]);
    ec2.put(&first).await.unwrap();
    ec2.put(&first).await.unwrap();
    let second = wanted("eni-2", [10, 0, 2, 6]);
    ec2.put(&second).await.unwrap();
    assert_eq!(
        double.elastic.lock().unwrap()[&STATIC],
        second.values().next().cloned()
    );
    assert_eq!(
        double.elastic.lock().unwrap()[&OTHER],
        None,
        "nobody's wish"
    );
    let asked = double.asked.lock().unwrap().join(" ");
    assert_eq!(
        asked,
        "DescribeAddresses AssociateAddress DescribeAddresses DescribeAddresses AssociateAddress"
    );
}

#[tokio::test]
async fn throttling_and_failures_that_pass_are_waited_out() {
    let (double, ec2) = start(&[Whim::Throttle, Whim::Break, Whim::Throttle]).await;
    let place = wanted("eni-1", [10, 0, 1, 5]);
    ec2.put(&place).await.unwrap();
    assert_eq!(
        double.elastic.lock().unwrap()[&STATIC],
        place.values().next().cloned()
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_answer_is_given_up_after_a_while() {
    let (double, ec2) = start(&[Whim::HangUp; 1 + AGAIN as usize]).await;
    let error = ec2.put(&wanted("eni-1", [10, 0, 1, 5])).await.unwrap_err();
    assert!(matches!(error, CloudError::Unreachable { .. }), "{error}");
    assert_eq!(double.elastic.lock().unwrap()[&STATIC], None);
}

#[tokio::test]
async fn a_refusal_is_told_at_once_with_its_reason() {
    let (_double, ec2) = start(&[Whim::Refuse]).await;
    let error = ec2.put(&wanted("eni-1", [10, 0, 1, 5])).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "EC2's DescribeAddresses refuses: UnauthorizedOperation: why"
    );
    let place = Place {
        interface: "eni-1".into(),
        local: Ipv4Addr::new(10, 0, 1, 5),
    };
    let nobodys = [(Ipv4Addr::new(198, 51, 100, 9), place)].into();
    let error = ec2.put(&nobodys).await.unwrap_err().to_string();
    assert!(error.contains("198.51.100.9 is no elastic IP"), "{error}");
}

#[tokio::test]
async fn every_interface_is_found_by_a_session() {
    let (_double, ec2) = start(&[]).await;
    let all = ec2.settings.imds.interfaces().await.unwrap();
    let all: Vec<_> = all
        .iter()
        .map(|found| (found.id.as_str(), found.local.len()))
        .collect();
    assert_eq!(all, [("eni-1", 1), ("eni-2", 2)]);
    assert_eq!(ec2.settings.imds.region().await.unwrap(), "eu-test-1");
}
