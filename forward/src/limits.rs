//! PURE. Every limit of the data path, with its reason. Bytes unless the name says otherwise.

use std::time::Duration;

/// A whole HTTP/1.1 head. Envoy's own limit is 60 KiB; clients stay far below.
pub const HEAD_BYTES: usize = 64 * 1024;

/// Decoded header list of an HTTP/2 message, and a block of it on the wire. Twice Envoy's 60 KiB, so that
/// it never costs an edge a request.
pub const HEADER_LIST_BYTES: u32 = 128 * 1024;

/// Header fields of one message, trailers counted apart.
pub const HEADER_COUNT: usize = 128;

/// Trailers of one HTTP/1.1 message.
pub const TRAILER_BYTES: usize = 8 * 1024;

/// Extensions of one chunk; nobody uses them, and they must not be a way to send for ever.
pub const CHUNK_EXTENSION_BYTES: usize = 256;

/// One read from a socket. Large enough that bulk needs few system calls, small enough that a
/// thousand busy HTTP/1.1 connections stay under 64 MiB.
pub const READ_BYTES: usize = 64 * 1024;

/// The first read of an HTTP/1.1 message: a head and a small body fit, and a held exchange stays
/// small.
pub const FIRST_READ_BYTES: usize = 4 * 1024;

/// Bytes waiting to be written to one HTTP/1.1 socket before its source is no longer read.
pub const WRITE_BYTES: usize = 64 * 1024;

/// A chunk below this is copied behind what waits to be written, a larger one is queued as it is:
/// below, the copy is cheaper than one more entry in a vectored write.
pub const COALESCE_BYTES: usize = 4 * 1024;

/// HTTP/2 stream window: 256 KiB at 0.5 ms of round trip is 4 Gbit/s, and it bounds what one reader
/// that stalls can hold.
pub const STREAM_WINDOW: u32 = 256 * 1024;

/// What a core's exchanges with one peer may hold and not pass on before that peer's streams get half
/// the window, and for each as much again: four whole windows.
pub const CREDIT_STEP: usize = 1024 * 1024;

/// It gets no narrower than this: a frame of the default size, and 16 MB/s at 1 ms of round trip for
/// those of its streams whose readers do read.
pub const NARROWEST_WINDOW: u32 = 16 * 1024;

/// HTTP/2 connection window: never below streams × stream window, so that streams nobody reads
/// can't take a sibling's credit. A credit, not an allocation.
pub const CONNECTION_WINDOW: u32 = 256 * 1024 * 1024;

/// Streams a peer may open on one connection of ours; × [`STREAM_WINDOW`] is [`CONNECTION_WINDOW`].
pub const STREAMS_PER_CONNECTION: u32 = 1024;

/// HTTP/2 frame size we accept: four times the default, for bulk.
pub const FRAME_BYTES: u32 = 64 * 1024;

/// Bytes a process may hold of exchanges that can't go on, unless it is told otherwise: 4,096 stalled
/// streams whose windows are full, which is more than an honest edge ever leaves unread, on machines
/// where it is not all there is.
pub const BUFFERED_BYTES: usize = 1024 * 1024 * 1024;

/// A request's kept beginning is counted from this size on: below, it is no more than the exchange's
/// own state.
pub const COUNTED_BYTES: usize = 4 * 1024;

/// How often a core looks at what its stalled exchanges hold: a full 10 Gbit/s brings 125 MB
/// meanwhile, a part of the limit.
pub const BUDGET_SWEEP: Duration = Duration::from_millis(100);

/// Read from one HTTP/2 connection before the streams that came are begun, and the others of this core
/// get their turn: streams opened and reset, of 27 bytes together, must not add up however fast they come.
pub const TURN_BYTES: usize = 32 * 1024;

/// Bytes that may wait to be written to one HTTP/2 connection before its streams wait: enough for any
/// socket to be kept busy. Once the socket takes no more, nothing is added: the system holds plenty by then.
pub const CONNECTION_WRITE_BYTES: usize = 256 * 1024;

/// A stream to an upstream is not reset sooner after it was opened: long enough for the peer to have
/// accepted it, half the 100 ms in which a program is to see that its client left.
pub const RESET_AFTER: Duration = Duration::from_millis(50);

/// Connections one shard opens to one replica. One carries [`STREAMS_PER_CONNECTION`] exchanges.
pub const CONNECTIONS_PER_PEER: usize = 8;

/// Exchanges of one core that wait for room at one peer whose connections are all full. As many as a
/// connection carries: more would not come to their turn in time.
pub const WAITING_PER_PEER: usize = 1024;

/// How long one of them waits before it is refused: a moment's peak passes, a lasting one is for
/// another replica.
pub const ROOM_PATIENCE: Duration = Duration::from_secs(10);

/// From dialling to a connection. On one continent a round trip is below 100 ms.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// From there to the settings of an HTTP/2 peer. The system accepts for a program whose one thread is
/// busy, and a request that hasn't been sent can still go elsewhere.
pub const SETTINGS_TIME: Duration = Duration::from_secs(5);

/// A dial without an answer is given up for another after this long, then twice as long, within
/// [`CONNECT_TIMEOUT`]: more than a round trip, and short enough for four of them.
pub const DIAL_PATIENCE: Duration = Duration::from_millis(100);

/// Idle HTTP/1.1 connections to a program are reused for this long: shorter than the 2 s after which
/// gunicorn, the hastiest of the common servers, closes them.
pub const H1_IDLE: Duration = Duration::from_millis(1500);

/// Idle HTTP/1.1 connections kept for one program by one shard.
pub const H1_IDLE_CONNECTIONS: usize = 64;

/// A silent connection is asked for a sign of life after this long, so that a peer whose machine is
/// gone is noticed without any traffic.
pub const KEEPALIVE: Duration = Duration::from_secs(30);

/// Between further questions; after three without an answer the connection is gone.
pub const KEEPALIVE_RETRY: Duration = Duration::from_secs(10);

/// A connection says what it speaks within this: one that says nothing holds a descriptor for
/// nothing.
pub const FIRST_BYTE: Duration = Duration::from_secs(10);

/// A client connection without an exchange is closed after this long.
pub const CLIENT_IDLE: Duration = Duration::from_secs(120);

/// From the first byte of a head to its end.
pub const HEAD_TIME: Duration = Duration::from_secs(10);

/// What is called progress: less than this within a deadline is a byte now and then, sent or taken
/// to keep a replica's slot. 4 KiB in 30 s are 1.1 kbit/s, below any link that is in use.
pub const PROGRESS_BYTES: u64 = 4 * 1024;

/// A body of announced length makes progress within this: a client that has begun to upload and
/// stops holds a replica's slot for nothing.
pub const BODY_PROGRESS: Duration = Duration::from_secs(30);

/// A client that takes nothing of its response for this long is cut.
pub const READER_PROGRESS: Duration = Duration::from_secs(120);

/// A client that keeps its connection busy sends its next request within this. In a drain that one is
/// answered and told to be the last; a connection that was silent for longer is closed without.
pub const PARTING: Duration = Duration::from_secs(1);

/// After the drain's deadline: for close frames to be written.
pub const ENDING: Duration = Duration::from_secs(1);

/// An exchange in which nothing moves in either direction ends after this. Streams are silent for
/// long; a day of silence is a leak.
pub const EXCHANGE_IDLE: Duration = Duration::from_secs(24 * 60 * 60);

/// After an answer that ends before its request's body: what the client still sends is read and
/// thrown away for this long, so that a reset doesn't overtake the answer.
pub const LINGER: Duration = Duration::from_secs(2);

/// See [`LINGER`]: at most this much.
pub const LINGER_BYTES: usize = 1024 * 1024;

/// Steps one exchange may take before others on its core get their turn.
pub const STEPS_PER_TURN: usize = 32;

/// Accepted connections waiting for their core.
pub const ACCEPT_QUEUE: usize = 1024;
