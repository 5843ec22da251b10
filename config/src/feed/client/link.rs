//! The connection to one of several feed servers, shared by all calls of a client; the next address
//! is tried when one fails.

use fprs_proto::feed::feed_client::FeedClient;
use std::net::SocketAddr;
use tokio::sync::Mutex;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::FeedClientError;
use crate::limits;
use crate::store::StoreError;

/// Calls over the shared connection.
pub(super) type Client = FeedClient<InterceptedService<Channel, Bearer>>;

/// Where to connect, and the connection there is.
#[derive(Debug)]
pub(super) struct Link {
    endpoints: Vec<Endpoint>,
    bearer: Bearer,
    follower: String,
    /// Where it answers for itself.
    admin: Option<SocketAddr>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    channel: Option<Channel>,
    /// The endpoint to try first; counts on without end.
    turn: usize,
}

/// Adds the token to every call.
#[derive(Clone, Debug)]
pub(super) struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

impl Link {
    pub(super) fn new(
        addresses: &[String],
        token: &str,
        follower: &str,
    ) -> Result<Self, FeedClientError> {
        if addresses.is_empty() {
            return Err(FeedClientError::NoAddress);
        }
        let mut bearer: MetadataValue<Ascii> = format!("Bearer {token}")
            .parse()
            .map_err(|_| FeedClientError::Token)?;
        bearer.set_sensitive(true);
        Ok(Self {
            endpoints: addresses
                .iter()
                .map(|address| endpoint(address))
                .collect::<Result<_, _>>()?,
            bearer: Bearer(bearer),
            follower: follower.to_owned(),
            admin: None,
            state: Mutex::new(State {
                channel: None,
                // A fleet spreads over the servers.
                turn: fastrand::usize(..addresses.len()),
            }),
        })
    }

    pub(super) const fn answers_at(&mut self, admin: SocketAddr) {
        self.admin = Some(admin);
    }

    /// Where who follows answers for itself; empty: nowhere.
    pub(super) fn admin(&self) -> String {
        self.admin
            .map_or_else(String::new, |admin| admin.to_string())
    }

    /// Who follows.
    pub(super) fn follower(&self) -> &str {
        &self.follower
    }

    /// The connection there is, or a new one to the first address that takes it.
    pub(super) async fn client(&self) -> Result<Client, StoreError> {
        let mut state = self.state.lock().await;
        if let Some(channel) = &state.channel {
            return Ok(self.over(channel.clone()));
        }
        let mut reason = String::new();
        for _ in 0..self.endpoints.len() {
            let place = state.turn % self.endpoints.len();
            let Some(endpoint) = self.endpoints.get(place) else {
                break;
            };
            match endpoint.connect().await {
                Ok(channel) => {
                    state.channel = Some(channel.clone());
                    return Ok(self.over(channel));
                }
                Err(error) => {
                    reason = format!("{}: {}", endpoint.uri(), innermost(&error));
                    state.turn = state.turn.wrapping_add(1);
                }
            }
        }
        Err(self.unavailable(&reason))
    }

    /// Gives the connection up; the next call takes the next address.
    pub(super) async fn broken(&self) {
        let mut state = self.state.lock().await;
        if state.channel.take().is_some() {
            state.turn = state.turn.wrapping_add(1);
        }
    }

    /// What a failed call means for the store's user.
    pub(super) async fn failed(&self, status: &Status) -> StoreError {
        self.broken().await;
        match status.code() {
            Code::DataLoss => StoreError::Corrupt(status.message().to_owned()),
            Code::FailedPrecondition => StoreError::Held(status.message().to_owned()),
            Code::Unauthenticated | Code::PermissionDenied => {
                self.unavailable("the token is refused; give this process the admin token")
            }
            _ => self.unavailable(status.message()),
        }
    }

    /// The error that names what was tried.
    pub(super) fn unavailable(&self, reason: &str) -> StoreError {
        let addresses: Vec<_> = self
            .endpoints
            .iter()
            .map(|endpoint| endpoint.uri().to_string())
            .collect();
        StoreError::Unavailable(format!(
            "the feed at {} can't be used: {reason}",
            addresses.join(", ")
        ))
    }

    fn over(&self, channel: Channel) -> Client {
        FeedClient::with_interceptor(channel, self.bearer.clone())
            .max_decoding_message_size(limits::FEED_MESSAGE_BYTES)
            .max_encoding_message_size(limits::FEED_MESSAGE_BYTES)
    }
}

fn endpoint(address: &str) -> Result<Endpoint, FeedClientError> {
    let malformed = || FeedClientError::Address(address.to_owned());
    let (host, port) = address.rsplit_once(':').ok_or_else(malformed)?;
    let plain = !host.is_empty() && !address.contains(['/', '@', '?', '#', ' ']);
    if !plain || port.parse::<u16>().is_err() {
        return Err(malformed());
    }
    Ok(Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| malformed())?
        .connect_timeout(limits::FEED_CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(limits::FEED_KEEPALIVE)
        .keep_alive_timeout(limits::FEED_KEEPALIVE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(limits::FEED_WINDOW_BYTES)
        .initial_connection_window_size(limits::FEED_WINDOW_BYTES))
}

/// Connection errors say why only in the last of their sources.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(addresses: &[&str], token: &str) -> FeedClientError {
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        Link::new(&addresses, token, "test").unwrap_err()
    }

    #[test]
    fn addresses_and_token_are_checked_before_anything_is_tried() {
        assert_eq!(error(&[], "t"), FeedClientError::NoAddress);
        for bad in [
            "",
            "host",
            ":80",
            "host:",
            "host:99999",
            "http://host:80",
            "a/b:80",
        ] {
            assert_eq!(
                error(&["10.0.0.1:9090", bad], "t"),
                FeedClientError::Address(bad.to_owned())
            );
        }
        assert_eq!(error(&["h:1"], "a\nb"), FeedClientError::Token);
    }

    #[test]
    fn the_token_is_never_shown() {
        let link = Link::new(&["[::1]:9090".to_owned()], "s3cret", "test").unwrap();
        assert!(!format!("{link:?}").contains("s3cret"));
    }
}
