//! PURE. Records for tests and benchmarks of every crate: whole and valid, to be changed where a
//! test cares (`Server { hold, ..samples::server("s") }`).

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::record::{
    Algorithm, Auth, Capture, Compare, EgressGateway, EgressPolicy, EgressPool, EgressProvider,
    Issuer, Jwks, Limits, Mirror, Replica, ReplicaState, Scaling, SecretHash, Server, Tenant,
    Token, TokenRole, Version, Worker,
};

/// Where every sample worker and replica is.
pub const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9000);

/// A public server of one version, not yet proven, that scales from 0 to 4 at 8 each.
pub fn server(name: &str) -> Server {
    Server {
        name: name.into(),
        tenant: String::new(),
        target: Arc::new(version(1)),
        proven: false,
        fallback: None,
        scaling: scaling(),
        auth: Auth::Public,
        cors: None,
        websocket_auth: Vec::new(),
        hold: Duration::ZERO,
        request_timeout: None,
        routing_region: "local".into(),
        compute_region: "local".into(),
        egress: String::new(),
        deployed_unix_ms: 1,
    }
}

/// A version that runs `serve $PORT`.
pub fn version(generation: u64) -> Version {
    Version {
        generation,
        command: vec!["serve".into(), "$PORT".into()],
        image: String::new(),
        h2: false,
        env: BTreeMap::new(),
        startup_timeout: Duration::from_secs(30),
        exit_grace: Duration::from_secs(10),
        working_dir: String::new(),
    }
}

/// From 0 to 4 replicas at 8 exchanges each, up at once and down after a minute.
pub const fn scaling() -> Scaling {
    Scaling {
        target_concurrency: Some(8.0),
        min_replicas: 0,
        max_replicas: 4,
        buffer_replicas: 0,
        scaleup_window: Duration::ZERO,
        scaledown_window: Duration::from_secs(60),
        scaleup_rate_limit: None,
        scaledown_rate_limit: None,
        paused: false,
    }
}

/// A replica of the first version; on worker `w1` unless it is only requested.
pub fn replica(id: &str, server: &str, state: ReplicaState) -> Replica {
    let placed = state != ReplicaState::Requested;
    Replica {
        id: id.into(),
        server: server.into(),
        generation: 1,
        state,
        worker: placed.then(|| "w1".into()),
        address: placed.then_some(ADDRESS),
        since_unix_ms: 1,
        reason: String::new(),
        startup_ms: 0,
        weight: 1,
        egress: "".into(),
    }
}

/// A worker with room for 100.
pub fn worker(id: &str) -> Worker {
    Worker {
        id: id.into(),
        address: ADDRESS,
        compute_region: "local".into(),
        capacity: 100,
        epoch: 1,
        draining: false,
        egress: String::new(),
        made_for: None,
    }
}

/// A tenant with every limit.
pub fn tenant(name: &str) -> Tenant {
    Tenant {
        limits: Limits {
            requests_per_second: Some(100),
            burst: Some(200),
            concurrent_exchanges: Some(1_000),
            streams_per_connection: Some(100),
            buffered_bytes: Some(64 << 20),
            dials: Some(8),
        },
        weight: 2,
        ..Tenant::new(name)
    }
}

/// A caller's token of one secret, which hashes to 32 sevens, for every server of a tenant.
pub fn token(id: &str, tenant: &str) -> Token {
    Token {
        id: id.into(),
        tenant: tenant.into(),
        server: String::new(),
        role: TokenRole::Caller,
        secrets: vec![SecretHash([7; 32])],
        created_unix_ms: 1,
        expires_unix_ms: None,
    }
}

/// An issuer of one Ed25519 key, that of RFC 8037 A.2, whose `kid` is `k1`.
///
/// # Panics
/// Never: the key is one.
#[expect(clippy::panic, reason = "for tests")]
pub fn issuer(name: &str, tenant: &str) -> Issuer {
    let jwks = Jwks::parse(JWKS.to_owned()).unwrap_or_else(|invalid| panic!("{invalid}"));
    Issuer {
        name: name.into(),
        tenant: tenant.into(),
        iss: format!("https://{name}.example.com"),
        aud: "fprs".into(),
        algorithms: vec![Algorithm::EdDsa],
        jwks,
        servers_claim: String::new(),
    }
}

/// A mirror of all of a server's requests by their ids, whose answers are compared.
pub fn mirror(name: &str, server: &str, shadow: &str) -> Mirror {
    Mirror {
        compare: Some(Compare {
            headers: vec!["content-type".into()],
            ignore: vec!["/id".into()],
        }),
        capture: Some(Capture {
            headers: vec!["content-type".into()],
            redact: vec!["/user".into()],
            query: true,
        }),
        ..Mirror::new(name, server, shadow)
    }
}

/// A pool of one static address that either of two gateways can hold, on a link they share.
pub fn egress_pool(name: &str) -> EgressPool {
    let gateway = |number: u8| EgressGateway {
        name: format!("g{number}"),
        node: Ipv4Addr::new(203, 0, 113, number),
        control: SocketAddr::from(([203, 0, 113, number], 8443)),
        draining: false,
    };
    EgressPool {
        name: name.into(),
        static_ips: vec![Ipv4Addr::new(203, 0, 113, 101)],
        gateways: vec![gateway(1), gateway(2)],
        provider: EgressProvider::Link,
        policy: EgressPolicy::Strict,
        megabits: None,
        tenant: String::new(),
    }
}

const JWKS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
