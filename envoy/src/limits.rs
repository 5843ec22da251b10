//! PURE. Every limit of the edge, with its reason. `README.md` lists them, and a test compares.

use std::time::Duration;

/// Requests one client's connection may have open. fprs takes 1,024 on one of ours.
pub const CLIENT_STREAMS: u32 = 128;

/// HTTP/2 stream window, both ways: bounds what one reader that stalls can hold in memory.
pub const STREAM_WINDOW: u32 = 256 * 1024;

/// Connection window towards one client: only its own streams share it.
pub const CLIENT_WINDOW: u32 = 1024 * 1024;

/// Requests on one connection to fprs before there is another.
pub const PROXY_STREAMS: u32 = 100;

/// Connection window towards fprs, at least twice [`PROXY_STREAMS`] × [`STREAM_WINDOW`]: credit comes
/// back only once half a window is used up, and readers that stall must never take a neighbour's.
pub const PROXY_WINDOW: u32 = 64 * 1024 * 1024;

/// Requests of one client that are taken from one read: so many resets at once reach fprs, however
/// many a client opens and resets (CVE-2023-44487).
pub const REQUESTS_PER_READ: u32 = 10;

/// A client whose streams mostly die young is cut after so many.
pub const PREMATURE_RESETS: u32 = 200;

/// Dead sooner is young.
pub const PREMATURE_RESET_AGE: Duration = Duration::from_secs(1);

/// Frames of answers to one client that wait to be written, before it is cut: one that asks and never
/// reads.
pub const OUTBOUND_FRAMES: u32 = 10_000;

/// The same for answers to PING, SETTINGS and RST_STREAM.
pub const OUTBOUND_CONTROL_FRAMES: u32 = 1_000;

/// Frames without content that one stream may send in a row: HEADERS, CONTINUATION or DATA.
pub const EMPTY_FRAMES: u32 = 1;

/// PRIORITY frames a stream may send.
pub const PRIORITY_FRAMES: u32 = 100;

/// WINDOW_UPDATE frames a client may send for each DATA frame it gets.
pub const WINDOW_UPDATES: u32 = 10;

/// Header fields of one request. fprs takes 128; the edge adds some of its own.
pub const REQUEST_FIELDS: u32 = 100;

/// Header fields of one response: as many as fprs lets through, and its own.
pub const RESPONSE_FIELDS: u32 = 140;

/// A response's header fields altogether, in KiB: those of a program that speaks HTTP/1.1 have up to 64.
pub const RESPONSE_FIELDS_KB: u32 = 96;

/// Bytes one client's connection may have waiting each way.
pub const CLIENT_BUFFER: u32 = 64 * 1024;

/// The same for a connection to fprs, which has the bytes of many clients.
pub const PROXY_BUFFER: u32 = 1024 * 1024;

/// A request's body is kept up to here, so that it can be offered to another fprs.
pub const RETRY_BODY: u64 = 256 * 1024;

/// From a connection to the end of its TLS handshake.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// From a connection to its ClientHello or PROXY header.
pub const HELLO_TIME: Duration = Duration::from_secs(5);

/// From the first byte of a request's head to its end.
pub const HEAD_TIME: Duration = Duration::from_secs(10);

/// A client's connection without a request ends after this: longer than the 350 s of AWS's load
/// balancers, which must be the ones to close.
pub const CLIENT_IDLE: Duration = Duration::from_secs(600);

/// An exchange in which no byte moves either way ends after this. The only limit that streams have.
pub const STREAM_IDLE: Duration = Duration::from_secs(900);

/// A silent client's HTTP/2 connection is asked for a sign of life this often.
pub const CLIENT_PING: Duration = Duration::from_secs(60);

/// And has this long to give it.
pub const CLIENT_PING_TIME: Duration = Duration::from_secs(20);

/// A connection to fprs is asked this often: a frozen process or a lost machine is noticed.
pub const PROXY_PING: Duration = Duration::from_secs(10);

/// And has this long to answer; fprs's cores never block for as long.
pub const PROXY_PING_TIME: Duration = Duration::from_secs(5);

/// One that was silent for this long is asked before it is used again.
pub const PROXY_PING_IDLE: Duration = Duration::from_secs(5);

/// Unused connections to fprs are kept this long: less than the 120 s after which fprs closes them, since
/// whoever sends should be the one to close.
pub const PROXY_IDLE: Duration = Duration::from_secs(100);

/// From dialling fprs to a connection.
pub const CONNECT_TIME: Duration = Duration::from_secs(1);

/// For a collector to take spans: those of one that is slower are lost.
pub const COLLECTOR_TIME: Duration = Duration::from_secs(5);

/// Connections opened for each one that is needed: the next request finds one that is ready.
pub const PRECONNECT_RATIO: f64 = 1.5;

/// Connections to all fprs, and requests that wait for one.
pub const PROXY_CONNECTIONS: u32 = 4096;

/// Exchanges through one edge: of Envoy's default of 1,024 each WebSocket would take one for hours.
pub const EXCHANGES: u32 = 100_000;

/// Of these, repeated ones at once, in percent: an outage must not double its own load.
pub const RETRY_PERCENT: f64 = 20.0;

/// So many may be repeated at any rate.
pub const RETRIES_AT_LEAST: u32 = 50;

/// How often a request is offered again, which no program has seen.
pub const RETRIES: u32 = 3;

/// Before the first of them; up to ten times as long before the last.
pub const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// How often the edge looks for an fprs that hasn't refused the request yet.
pub const OTHER_HOST_TRIES: u32 = 5;

/// Between two looks at an fprs's readiness. `--drain-delay` of a proxy is twice this and
/// [`HEALTH_TIME`].
pub const HEALTH_INTERVAL: Duration = Duration::from_secs(2);

/// The same while it isn't ready: it is used as soon as it is.
pub const HEALTH_RETRY: Duration = Duration::from_millis(500);

/// It answers within this.
pub const HEALTH_TIME: Duration = Duration::from_secs(1);

/// Looks in a row that make it unready. A word of its own (503) counts at once.
pub const HEALTH_FAILURES: u32 = 2;

/// Failed connections in a row after which an fprs is left alone for [`EJECTION`].
pub const CONNECT_FAILURES: u32 = 5;

/// See [`CONNECT_FAILURES`].
pub const EJECTION: Duration = Duration::from_secs(5);

/// At most so many percent of all fprs at once.
pub const EJECTION_PERCENT: u32 = 50;

/// Below this many percent of ready fprs, the edge asks those that aren't too: only when none is.
pub const PANIC_PERCENT: f64 = 1.0;

/// Names of fprs are asked for again after this, or when their record says.
pub const DNS_REFRESH: Duration = Duration::from_secs(5);

/// A TCP connection to fprs is probed by the kernel after so many seconds of silence,
pub const KEEPALIVE_TIME: u32 = 30;

/// then every so many,
pub const KEEPALIVE_INTERVAL: u32 = 10;

/// and is gone after so many probes without an answer.
pub const KEEPALIVE_PROBES: u32 = 3;

/// Connections of all clients, unless the settings say otherwise; 50 KiB each, in TLS.
pub const CONNECTIONS: u64 = 50_000;

/// Connections that the redirect's port may have: it has one thing to say.
pub const REDIRECT_CONNECTIONS: u64 = 5_000;

/// A connection there ends when it was idle for this long,
pub const REDIRECT_IDLE: Duration = Duration::from_secs(15);

/// or after so many requests.
pub const REDIRECT_REQUESTS: u32 = 20;

/// Memory, unless the settings say otherwise: 80 % of what the container may have.
pub const HEAP_BYTES: u64 = 1024 * 1024 * 1024;

/// Connections the kernel may hold until they are accepted: clients that all reconnect at once.
pub const BACKLOG: u32 = 4096;

/// How often the edge looks at what it uses.
pub const OVERLOAD_REFRESH: Duration = Duration::from_millis(250);

/// Under memory pressure idle clients are cut after this at the latest.
pub const PRESSED_IDLE: Duration = Duration::from_secs(2);

/// Exchanges are told apart by memory from 2 to the power of this on (1 MiB): below, ending one
/// frees nothing.
pub const TRACKED_POWER: u32 = 20;

/// How long browsers remember that there is HTTP/3, in seconds: a day.
pub const ALT_SVC_AGE: u32 = 86_400;

/// How long browsers remember that there is only HTTPS, in seconds: a year.
pub const HSTS_AGE: u32 = 31_536_000;
