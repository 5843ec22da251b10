//! The smallest relay that the h2 crate makes: each stream is one task on one thread, all of
//! them share one upstream connection.

use std::{future::poll_fn, net::SocketAddr};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use h2::{
    RecvStream, SendStream, client,
    server::{self, SendResponse},
};
use http::{Request, Uri};
use tokio::net::{TcpListener, TcpStream};

const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 256 << 20;
const STREAMS: u32 = 16_384;

/// Serves until the process ends.
///
/// # Errors
/// When it can't listen on `listen` or connect to `upstream`.
pub fn run(listen: SocketAddr, upstream: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(serve(listen, upstream))
}

async fn serve(listen: SocketAddr, upstream: SocketAddr) -> Result<()> {
    let tcp = TcpStream::connect(upstream).await?;
    tcp.set_nodelay(true)?;
    let (origin, connection) = client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_max_send_streams(STREAMS as usize)
        .enable_push(false)
        .handshake::<_, Bytes>(tcp)
        .await?;
    tokio::spawn(connection);
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        tokio::spawn(connection_from(tcp, origin.clone()));
    }
}

async fn connection_from(tcp: TcpStream, origin: client::SendRequest<Bytes>) {
    let handshake = server::Builder::new()
        .max_concurrent_streams(STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake::<_, Bytes>(tcp)
        .await;
    let Ok(mut connection) = handshake else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        // A stream that fails is reset when its halves are dropped.
        tokio::spawn(exchange(request, respond, origin.clone()));
    }
}

async fn exchange(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    mut origin: client::SendRequest<Bytes>,
) -> Result<()> {
    let (mut head, upload) = request.into_parts();
    head.uri = Uri::builder()
        .scheme("http")
        .authority(
            head.uri
                .authority()
                .map_or("", |authority| authority.as_str()),
        )
        .path_and_query(head.uri.path_and_query().map_or("/", |path| path.as_str()))
        .build()?;
    let ends = upload.is_end_stream();
    poll_fn(|cx| origin.poll_ready(cx)).await?;
    let (response, to_origin) = origin.send_request(Request::from_parts(head, ()), ends)?;
    if !ends {
        tokio::spawn(copy(upload, to_origin));
    }
    let (head, download) = response.await?.into_parts();
    let ends = download.is_end_stream();
    let to_client = respond.send_response(http::Response::from_parts(head, ()), ends)?;
    if ends {
        Ok(())
    } else {
        copy(download, to_client).await
    }
}

/// Copies a body and its trailers at the pace of the receiving side.
async fn copy(mut from: RecvStream, mut to: SendStream<Bytes>) -> Result<()> {
    while let Some(piece) = from.data().await {
        let mut piece = piece?;
        let size = piece.len();
        let last = from.is_end_stream();
        to.reserve_capacity(size);
        while to.capacity() < piece.len() {
            let granted = poll_fn(|cx| to.poll_capacity(cx)).await.transpose()?;
            let granted = granted.context("the receiving side is gone")?;
            if granted > 0 && granted < piece.len() {
                to.send_data(piece.split_to(granted), false)?;
                to.reserve_capacity(piece.len());
            }
        }
        to.send_data(piece, last)?;
        from.flow_control().release_capacity(size)?;
        if last {
            return Ok(());
        }
    }
    match from.trailers().await? {
        Some(trailers) => to.send_trailers(trailers)?,
        None => to.send_data(Bytes::new(), true)?,
    }
    Ok(())
}
