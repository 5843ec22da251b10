//! Who calls: credentials are taken out of a request, held against the records that the routing
//! table has, and become an identity or a refusal before anything else is done for the request. All
//! is in memory, and nothing is shared between cores but the table. A secret is never kept, nor
//! printed: every type that holds one says so instead.

pub mod cache;
pub mod credential;
pub mod jwt;
pub mod preflight;
pub mod throttle;
pub mod verify;
pub mod view;
pub mod websocket;

pub use credential::Credential;
pub use verify::{Authenticator, Denied, Identity};
pub use view::View;

#[cfg(test)]
pub(crate) mod tests;
