//! PURE. The bytes of HTTP that the generator and the origin speak: only what a benchmark needs,
//! so that neither of them costs as much as the proxies between them.

pub mod event;
pub mod h1;
pub mod h2;
pub mod hpack;
pub mod websocket;

/// The authority requests name; a proxy that routes by host knows it under this name.
pub const AUTHORITY: &str = "hello.region.localhost";

/// The one of a server that is the same in all but that nothing is mirrored.
pub const UNMIRRORED: &str = "unmirrored.region.localhost";

/// The body of a tiny answer: 13 bytes.
pub const TINY: &[u8] = b"Hello, World!";
