//! What pingora's frame costs above the h2 crate: four h2c servers that answer the same
//! 13 bytes, and the client that drives them.
//!
//! `serve h2` is the h2 crate alone; `serve session` puts pingora-core's `HttpSession` on top
//! of it in an accept loop of ours; `serve app` lets pingora-core accept and hand the session to
//! an `HttpServerApp`; `serve proxy` answers from `ProxyHttp::request_filter`. All are one
//! thread, without work stealing. `load ADDR REQUESTS STREAMS` drives any of them.
//!
//! ```sh
//! cargo build --release -p fprs-benches --example frame_cost
//! B=target/release/examples/frame_cost
//! valgrind --tool=callgrind --callgrind-out-file=once $B serve proxy 127.0.0.1:9000 &
//! $B load 127.0.0.1:9000 2000 32; kill -INT $!
//! # again with 4000 requests: the difference of the totals, over 2000, is a request's cost
//! ```

#![allow(missing_docs, clippy::expect_used)] // an example for the terminal: a failure ends it

use std::{env, future::poll_fn, sync::Arc, time::Instant};

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use bytes::Bytes;
use pingora_core::{
    apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream},
    protocols::{
        Digest,
        http::{
            ServerSession,
            v2::server::{H2Accept, HttpSession},
        },
        l4::stream::Stream,
    },
    server::{Server, ShutdownWatch, configuration::ServerConf},
    services::listening::Service,
    upstreams::peer::HttpPeer,
};
use pingora_http::ResponseHeader;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use tokio::net::{TcpListener, TcpStream};

const BODY: Bytes = Bytes::from_static(b"Hello, World!");
/// Windows that never limit a 13-byte exchange.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", "h2", addr] => single_thread()?.block_on(serve_h2(addr)),
        ["serve", "session", addr] => single_thread()?.block_on(serve_session(addr)),
        ["serve", "app", addr] => serve_app(addr),
        ["serve", "proxy", addr] => serve_proxy(addr),
        ["load", addr, requests, streams] => {
            single_thread()?.block_on(load(addr, requests.parse()?, streams.parse()?))
        }
        _ => {
            bail!("usage: frame_cost serve h2|session|app|proxy ADDR | load ADDR REQUESTS STREAMS")
        }
    }
}

fn single_thread() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

fn builder() -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(256)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

fn answer() -> Result<Box<ResponseHeader>, Box<pingora_core::Error>> {
    let mut header = ResponseHeader::build(200, Some(2))?;
    header.insert_header("content-type", "text/plain")?;
    header.insert_header("content-length", "13")?;
    Ok(Box::new(header))
}

/// The h2 crate's server, one task a stream as a proxy would need.
async fn serve_h2(addr: &str) -> Result<()> {
    let listener = TcpListener::bind(addr).await?;
    loop {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        tokio::spawn(async move {
            let Ok(mut connection) = builder().handshake::<_, Bytes>(tcp).await else {
                return;
            };
            while let Some(Ok((_request, mut respond))) = connection.accept().await {
                tokio::spawn(async move {
                    let response = http::Response::builder()
                        .header("content-type", "text/plain")
                        .header("content-length", "13")
                        .body(())
                        .expect("constant headers");
                    if let Ok(mut body) = respond.send_response(response, false) {
                        body.send_data(BODY, true).ok();
                    }
                });
            }
        });
    }
}

/// pingora-core's h2 session on an accept loop of ours.
async fn serve_session(addr: &str) -> Result<()> {
    let listener = TcpListener::bind(addr).await?;
    loop {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        let stream: Box<Stream> = Box::new(Stream::from(tcp));
        tokio::spawn(async move {
            let Ok(mut connection) =
                pingora_core::protocols::http::v2::server::handshake(stream, Some(builder())).await
            else {
                return;
            };
            let digest = Arc::new(Digest::default());
            while let Ok(Some(accepted)) =
                HttpSession::from_h2_conn(&mut connection, digest.clone()).await
            {
                if let H2Accept::Session(session) = accepted {
                    tokio::spawn(answer_session(session));
                }
            }
        });
    }
}

async fn answer_session(mut session: HttpSession) {
    let Ok(header) = answer() else { return };
    if session.write_response_header(header, false).is_ok() {
        session.write_body(BODY, true).await.ok();
    }
}

struct App(HttpServerOptions);

#[async_trait]
impl HttpServerApp for App {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        _shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if !session.read_request().await.ok()? {
            return None;
        }
        session.write_response_header(answer().ok()?).await.ok()?;
        session.write_response_body(BODY, true).await.ok()?;
        session.finish().await.ok()?;
        None
    }

    fn h2_options(&self) -> Option<h2::server::Builder> {
        Some(builder())
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.0)
    }
}

fn conf() -> ServerConf {
    ServerConf {
        threads: 1,
        work_stealing: false,
        ..ServerConf::default()
    }
}

fn serve_app(addr: &str) -> Result<()> {
    let mut server = Server::new_with_opt_and_conf(None, conf());
    server.bootstrap();
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    let mut service = Service::new("app".to_owned(), App(options));
    service.add_tcp(addr);
    server.add_service(service);
    server.run_forever()
}

struct Frame;

#[async_trait]
impl ProxyHttp for Frame {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    fn init_downstream_modules(&self, _: &mut pingora_core::modules::http::HttpModules) {}

    async fn request_filter(
        &self,
        session: &mut Session,
        _ctx: &mut Self::CTX,
    ) -> pingora_core::Result<bool> {
        session.write_response_header(answer()?, false).await?;
        session.write_response_body(Some(BODY), true).await?;
        Ok(true)
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _ctx: &mut Self::CTX,
    ) -> pingora_core::Result<Box<HttpPeer>> {
        pingora_core::Error::e_explain(pingora_core::ErrorType::InternalError, "never forwards")
    }
}

fn serve_proxy(addr: &str) -> Result<()> {
    let mut server = Server::new_with_opt_and_conf(None, conf());
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Frame);
    if let Some(proxy) = service.app_logic_mut() {
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        proxy.server_options = Some(options);
        proxy.h2_options = Some(builder());
    }
    service.add_tcp(addr);
    server.add_service(service);
    server.run_forever()
}

/// Sends `requests` GETs over one connection, `streams` at a time, and prints what they took.
async fn load(addr: &str, requests: u64, streams: u64) -> Result<()> {
    let tcp = TcpStream::connect(addr)
        .await
        .with_context(|| format!("connecting to {addr}"))?;
    tcp.set_nodelay(true)?;
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake::<_, Bytes>(tcp)
        .await?;
    tokio::spawn(connection);
    let started = Instant::now();
    let workers: Vec<_> = (0..streams)
        .map(|n| {
            let share = requests / streams + u64::from(n < requests % streams);
            tokio::spawn(send(client.clone(), share))
        })
        .collect();
    for worker in workers {
        worker.await??;
    }
    let took = started.elapsed();
    println!("{requests} requests in {took:?}");
    Ok(())
}

async fn send(mut client: h2::client::SendRequest<Bytes>, requests: u64) -> Result<()> {
    for _ in 0..requests {
        poll_fn(|cx| client.poll_ready(cx)).await?;
        let request = http::Request::get("http://hello.region.localhost/")
            .header("user-agent", "fprs-bench")
            .header("accept", "*/*")
            .body(())?;
        let (response, _) = client.send_request(request, true)?;
        let mut body = response.await?.into_body();
        let mut received = 0;
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            received += chunk.len();
            body.flow_control().release_capacity(chunk.len())?;
        }
        if received != BODY.len() {
            bail!("a response of {received} bytes");
        }
    }
    Ok(())
}
