//! PURE. Every limit of this crate, with its unit and its reason. What is over a limit is refused
//! and named, never cut short.

use std::time::Duration;

/// Longest server, tenant, region and pool name, bytes: one DNS label (RFC 1035), since a server's
/// name is the first label of its host.
pub const LABEL_BYTES: usize = 63;
/// Longest host name, bytes (RFC 1035, without the trailing dot).
pub const HOST_BYTES: usize = 253;
/// Longest replica, worker, lease and holder id, bytes: they travel in headers and metrics.
pub const ID_BYTES: usize = 128;
/// Longest failure reason kept with a replica, bytes: a line or two of output.
pub const REASON_BYTES: usize = 4 * 1024;
/// Longest working directory, bytes: Linux's `PATH_MAX`.
pub const PATH_BYTES: usize = 4096;
/// Longest container image reference, bytes.
pub const IMAGE_BYTES: usize = 1024;
/// Program and arguments together.
pub const COMMAND_ARGUMENTS: usize = 256;
/// Bytes of program and arguments together; far below Linux's 2 MiB for arguments and environment.
pub const COMMAND_BYTES: usize = 64 * 1024;
/// Variables of one program.
pub const ENV_VARIABLES: usize = 256;
/// Bytes of names and values of the environment together.
pub const ENV_BYTES: usize = 64 * 1024;
/// Custom host names that one manifest may bind: one commit carries them all.
pub const MANIFEST_DOMAINS: usize = 100;
/// Longest manifest text, bytes; read whole.
pub const MANIFEST_BYTES: usize = 256 * 1024;

/// Origins, methods and fields of one server's CORS policy, each: a preflight compares with all.
pub const CORS_NAMES: usize = 64;
/// Bytes of one of them.
pub const CORS_NAME_BYTES: usize = 256;
/// Longest time a browser may believe a preflight's answer; Chromium's own is 2 h.
pub const CORS_MAX_AGE: Duration = DURATION;
/// Secrets of one token that are live at once: the old and the new one while rotating.
pub const TOKEN_SECRETS: usize = 2;
/// A ticket travels in a URL, which others log: it lives no longer than a page takes to use it.
pub const TICKET_LIFE: Duration = Duration::from_secs(5 * 60);
/// Longest `iss` and `aud`, bytes; they are URLs.
pub const ISSUER_BYTES: usize = 512;
/// Longest name of a claim, bytes.
pub const CLAIM_BYTES: usize = 64;
/// Largest JWKS document, bytes: dozens of keys.
pub const JWKS_BYTES: usize = 64 * 1024;
/// Keys of one issuer; those in use, the next ones, and plenty of old ones.
pub const JWKS_KEYS: usize = 32;
/// Longest key id, bytes; certificates' digests are shorter.
pub const KID_BYTES: usize = 256;
/// Shortest RSA modulus, bytes: 2048 bits, the least RFC 7518 §3.3 allows.
pub const RSA_BYTES_MIN: usize = 256;
/// Longest: 4096 bits; checking a signature grows with its square.
pub const RSA_BYTES: usize = 512;
/// Largest weight of a tenant beside others.
pub const TENANT_WEIGHT: u32 = 1000;

/// Mirrors of one server: each is looked at for each of its requests.
pub const MIRRORS_PER_SERVER: usize = 16;
/// Static addresses of one egress pool.
pub const EGRESS_POOL_ADDRESSES: usize = 64;
/// Gateways of one egress pool.
pub const EGRESS_POOL_GATEWAYS: usize = 7;
/// Egress pools of a plane.
pub const EGRESS_POOLS: usize = 1000;
/// Fastest rate of an egress pool's address, megabits a second.
pub const EGRESS_MEGABITS: u32 = 100_000;
/// Parts that a mirror's key is spread over: hundredths of a percent.
pub const BASIS_POINTS: u32 = 10_000;
/// Longest name of a header or cookie that a mirror goes by, bytes.
pub const FIELD_NAME_BYTES: usize = 128;
/// Longest salt of a mirror, bytes.
pub const SALT_BYTES: usize = 64;
/// Most bytes that one copy may hold of its request, and what it may hold unless told otherwise: an
/// LLM's longest prompt several times over.
pub const MIRROR_EXCHANGE_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// See [`MIRROR_EXCHANGE_BYTES_MAX`].
pub const MIRROR_EXCHANGE_BYTES: usize = 1024 * 1024;
/// Most copies of one mirror that one proxy may have in flight, and how many unless told otherwise.
pub const MIRROR_COPIES_MAX: u32 = 10_000;
/// See [`MIRROR_COPIES_MAX`]: enough for a thousand requests a second of a tenth of a second.
pub const MIRROR_COPIES: u32 = 100;
/// How long a copy may take unless told otherwise.
pub const MIRROR_DEADLINE: Duration = Duration::from_secs(60);
/// Headers that a mirror compares, and JSON paths that it ignores, each.
pub const COMPARE_NAMES: usize = 64;
/// Longest JSON path, bytes.
pub const JSON_PATH_BYTES: usize = 256;

/// Cells that one rollout names.
pub const ROLLOUT_CELLS: usize = 64;
/// Longest name of what is promoted together, bytes: a kind and a name.
pub const ROLLOUT_SET_BYTES: usize = HOST_BYTES + 16;

/// Most replicas of one server: a scan over a server's replicas must stay cheap.
pub const REPLICAS_PER_SERVER: u32 = 1000;
/// Most replicas one worker may offer to run.
pub const WORKER_CAPACITY: u32 = 10_000;
/// Largest weight of a replica beside its siblings; keeps load ÷ weight exact in floats.
pub const REPLICA_WEIGHT: u32 = 1000;
/// Largest concurrency one replica may be asked to hold.
pub const TARGET_CONCURRENCY: f64 = 1_000_000.0;
/// Smallest: below it, `wanted` overflows what a pool can be.
pub const TARGET_CONCURRENCY_MIN: f64 = 0.001;
/// Longest scaling window: the autoscaler keeps one sample per tick of it in memory.
pub const SCALING_WINDOW: Duration = Duration::from_secs(60 * 60);
/// Longest time a request may be held: it occupies memory and the caller's patience.
pub const HOLD: Duration = Duration::from_secs(15 * 60);
/// Longest of every other duration: a day, far from any overflow in milliseconds.
pub const DURATION: Duration = Duration::from_secs(24 * 60 * 60);

/// Largest stored value, bytes. The largest server record allowed by the limits above is below it.
pub const RECORD_BYTES: usize = 512 * 1024;
/// Most records in one snapshot: what a proxy holds in memory. A million domains with 1,200,000 replicas
/// and as many servers fit. At the limit, new keys are refused and existing ones still change.
pub const SNAPSHOT_RECORDS: usize = 4_000_000;
/// Most writes of one commit, and most expectations: one batch is applied in one go.
pub const COMMIT_WRITES: usize = 10_000;
/// Largest commit, bytes of keys and values; with framing it fits one feed message.
pub const COMMIT_BYTES: usize = 8 * 1024 * 1024;

/// Of all servers, one in so many may be deleted, or lose its last ready replica to deletes, at once;
/// more is held until somebody confirms.
pub const GUARD_SHARE: usize = 5;
/// And so many always: a small plane is emptied by hand.
pub const GUARD_SERVERS: usize = 10;
/// How long a snapshot has to serve before a crash is not its fault any more.
pub const CRASH_AFTER: Duration = LAST_GOOD_AFTER;
/// Crashes in a row, each soon after a snapshot came in force, after which that snapshot is refused.
pub const CRASHES: u32 = 2;
/// And any newer one for so long, since what was wrong is likely to be in it still.
pub const CRASH_HOLD: Duration = Duration::from_secs(60);

/// Commits kept for watchers that are behind; older history is `Lost`.
pub const HISTORY_COMMITS: usize = 10_000;
/// Bytes of keys and values kept for watchers that are behind. At least one largest commit.
pub const HISTORY_BYTES: usize = 32 * 1024 * 1024;
/// Commits waiting for the writer. Full: committers wait their turn.
pub const COMMIT_QUEUE: usize = 1024;
/// Commits that share one fsync; bounds how long the first of them waits for the last.
pub const COMMIT_GROUP: usize = 256;
/// Bytes of changes that share one fsync, for the same reason.
pub const COMMIT_GROUP_BYTES: usize = 2 * COMMIT_BYTES;
/// Batches a watcher takes at a time; bounds what one poll copies.
pub const WATCH_TAKE: usize = 64;
/// A watcher hears of progress this often; the contract says at least once a second.
pub const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// Longest wait for the copy of a remote store to come to a revision that somebody already knows.
/// Below [`FEED_SILENCE`], so that a follower hears `Lost` before it gives the connection up.
pub const MIRROR_BEHIND: Duration = Duration::from_secs(4);
/// A control process begins its copy of a remote store this far in the past, so that followers of
/// one that restarted, or of another, go on without a new snapshot.
pub const MIRROR_LOOKBACK: Duration = Duration::from_secs(60);
/// Longest wait for any answer of a remote store that is not a stream.
pub const REMOTE_ANSWER: Duration = Duration::from_secs(10);
/// Longest wait to hear how new the store is before a snapshot is served from the copy: a store that
/// is gone costs a follower this much, once.
pub const REMOTE_HEAD: Duration = Duration::from_secs(2);
/// A copy of a store on etcd begins this many revisions ago, for the same reason.
pub const ETCD_LOOKBACK: i64 = 1000;
/// Rows read from etcd at a time: a page of largest values is half a gigabyte, of usual ones 200 KiB.
pub const ETCD_PAGE: i64 = 1000;
/// Largest message from etcd, bytes: a page of largest values. Rows are ours: nobody else can fill it.
pub const ETCD_MESSAGE_BYTES: usize = 1024 * 1024 * 1024;
/// A Spanner change stream's partition tells that nothing happened this often; the shortest that
/// Spanner documents.
pub const SPANNER_HEARTBEAT: Duration = Duration::from_secs(1);
/// A partition that says nothing for this long is read again: ten missed heartbeats.
pub const SPANNER_SILENCE: Duration = Duration::from_secs(10);
/// Records waiting for the rest of their transactions; several largest commits at once.
pub const SPANNER_PENDING: usize = 100_000;
/// Partitions known at once; one is a few hundred bytes and one stream.
pub const SPANNER_PARTITIONS: usize = 1000;
/// Longest wait for a change of a database's schema; Spanner takes minutes for some.
pub const SPANNER_DDL: Duration = Duration::from_secs(10 * 60);
/// Records read and not yet looked at, over all partitions. Full: the readers wait.
pub const SPANNER_QUEUE: usize = 256;

/// Shortest wait before the store is asked again, and the first step of the backoff.
pub const RETRY_FIRST: Duration = Duration::from_millis(100);
/// Longest wait: a store that comes back is noticed within it.
pub const RETRY_LONGEST: Duration = Duration::from_secs(10);
/// A store that says nothing for this long, progress included, is asked for a new snapshot. Longer
/// than a feed takes to notice ([`FEED_SILENCE`]) and to go on elsewhere ([`FEED_RESUME`]): going on
/// costs the fleet less than new snapshots.
pub const SILENCE: Duration = Duration::from_secs(20);
/// Longest wait for a snapshot or a commit's answer.
pub const ANSWER: Duration = Duration::from_secs(30);
/// Refused records listed on the status page; beyond it they are only counted.
pub const REFUSED_LISTED: usize = 100;
/// The last-good file is written at most this often.
pub const LAST_GOOD_EVERY: Duration = Duration::from_secs(5);
/// And at most every so many times as long as writing it took.
pub const LAST_GOOD_PAUSE: u32 = 2;
/// Whoever writes it rests so many times as long as it works: on the core that it shares with requests
/// it has a tenth of the time, in pieces that none of them notices.
pub const LAST_GOOD_REST: u32 = 9;
/// A snapshot must have been in force this long, without a panic, to be kept as last good.
pub const LAST_GOOD_AFTER: Duration = Duration::from_secs(2);
/// Largest last-good file that is read, bytes: far above what the limits on a snapshot give in
/// practice, far below what would exhaust memory.
pub const LAST_GOOD_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// A feed connection that says nothing for this long is broken: ten missed progress marks.
pub const FEED_SILENCE: Duration = Duration::from_secs(5);
/// For this long a broken watch tries to go on where it was before it is `Lost`: longer than a
/// control process takes to restart.
pub const FEED_RESUME: Duration = Duration::from_secs(10);
/// Longest wait for a connection to one feed address.
pub const FEED_CONNECT: Duration = Duration::from_secs(2);
/// HTTP/2 pings on an idle feed connection, and the wait for their answer.
pub const FEED_KEEPALIVE: Duration = Duration::from_secs(5);
/// Bytes of entries in one chunk of a snapshot. A chunk holds at least one entry.
pub const FEED_CHUNK_BYTES: usize = 256 * 1024;
/// Largest feed message, bytes: the largest commit with its framing.
pub const FEED_MESSAGE_BYTES: usize = 2 * COMMIT_BYTES;
/// Chunks of a snapshot made before the follower took the first.
pub const FEED_CHUNKS_AHEAD: usize = 4;
/// Snapshots served at once; more wait their turn. Bounds memory when a whole fleet starts.
pub const FEED_SNAPSHOTS: usize = 64;
/// Longest wait for a turn; then the follower is told to try again, elsewhere perhaps. Leaves it time
/// to read within its [`ANSWER`].
pub const FEED_TURN: Duration = Duration::from_secs(15);
/// Receive window of a feed connection, bytes: a snapshot should not wait for round trips.
pub const FEED_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
