//! PURE. Every limit of this crate, with its unit and its reason.

use std::time::Duration;

/// Ports of one client on its static IP: so many connections to one destination at a time.
pub const PORTS_PER_CLIENT: u16 = 1024;
/// First port that clients use: below are the host's own services and what remotes find odd.
pub const FIRST_PORT: u16 = 2048;
/// Clients of one static IP: what fits between [`FIRST_PORT`] and the last port.
pub const CLIENTS_PER_IP: u16 = 62;
/// The first addresses of a tunnel block are gateways'.
pub const GATEWAYS_PER_IP: u8 = 7;
/// Static IPs of one gateway: a device, a socket and a port each.
pub const STATIC_IPS: usize = 256;
/// Agents that one gateway knows.
pub const AGENTS: usize = 20_000;

/// A freed tunnel address is not given out again for this long: packets of its last owner may still
/// be under way, and remotes still send to its ports.
pub const ADDRESS_COOL_DOWN: Duration = Duration::from_secs(60);
/// A peer whose last handshake is older is gone: WireGuard makes one every two minutes while there is
/// traffic, keepalives included.
pub const PEER_IDLE: Duration = Duration::from_secs(5 * 60);
/// A peer that never finished a handshake for this long is removed: its agent asks again.
pub const FIRST_HANDSHAKE: Duration = Duration::from_secs(10);
/// How often idle peers are looked for.
pub const IDLE_EVERY: Duration = Duration::from_secs(1);

/// An agent looks at its tunnels this often, and probes the one it sends by. Three lost probes and the
/// route has changed before TCP sends a lost segment for the second time, 600 ms after the first: the
/// third time is after 1.4 s, which people notice.
pub const PROBE_EVERY: Duration = Duration::from_millis(125);
/// Probes lost in a row that make a tunnel dead.
pub const PROBES_LOST: u32 = 3;
/// Probes answered in a row before a tunnel that was dead carries traffic again.
pub const PROBES_BACK: u32 = 16;
/// A living tunnel that carries nothing is asked this often whether it lives, and who owns the static IP.
pub const OWNERSHIP_EVERY: Duration = Duration::from_secs(1);
/// A static IP that no gateway holds for so long is not about to move: where a pool prefers what is available,
/// new connections leave by another one. A move takes less.
pub const AWAY_AFTER: Duration = Duration::from_secs(1);
/// Seconds between keepalives of a gateway: an idle tunnel shows that it lives.
pub const KEEPALIVE_SECONDS: u16 = 1;
/// Port of the probes, on gateways' tunnel addresses and node addresses.
pub const PROBE_PORT: u16 = 51_899;

/// Largest body of a control request, bytes: a key and a name are 200.
pub const BODY_BYTES: usize = 4 * 1024;
/// Largest body of the reconciler's requests, bytes: every static IP of a gateway in one.
pub const OWNERSHIP_BYTES: usize = STATIC_IPS * 256;
/// Largest answer that an agent reads, bytes: a status of thousands of peers fits.
pub const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Longest wait for a TLS handshake.
pub const HANDSHAKE: Duration = Duration::from_secs(5);
/// Longest wait for the head of a control request.
pub const HEAD: Duration = Duration::from_secs(5);
/// Longest wait for the rest of one.
pub const BODY: Duration = Duration::from_secs(5);
/// Longest control exchange as its client sees it.
pub const CONTROL: Duration = Duration::from_secs(5);
/// Control connections at once; more wait to be accepted.
pub const CONTROL_CONNECTIONS: usize = 2048;
/// Connections that wait to be accepted: an agent's machine sends again after a second where none may.
pub const CONTROL_WAITING: u32 = 4096;
/// Wait after a refused or failed connect, before the next.
pub const CONNECT_RETRY: Duration = Duration::from_secs(1);
/// Rounds in which an agent looks for an address that both gateways have free.
pub const CONNECT_ROUNDS: u32 = 4;
/// Commands waiting for a gateway's tunnel.
pub const COMMAND_QUEUE: usize = 1024;

/// MTU of tunnels: 1500 less WireGuard's 80 bytes over IPv6.
pub const TUNNEL_MTU: u32 = 1420;
/// Longest name of a pool or an identity, bytes: they travel in metrics and file names.
pub const NAME_BYTES: usize = 63;
/// Containers that one host may bind.
pub const BINDINGS: usize = 10_000;
/// Bound containers that have a rule each: the kernel tries them one after the other, 22 ns each. More
/// share a rule for each pool, and a map says which are whose.
pub const RULED_BINDINGS: usize = 256;
/// Longest wait for the lock of the bindings; a plugin that holds it longer hangs.
pub const LOCK: Duration = Duration::from_secs(10);
/// Longest run of `nft`.
pub const COMMAND: Duration = Duration::from_secs(10);

/// The reconciler looks at gateways this often, for the same reason as agents do.
pub const RECONCILE_EVERY: Duration = PROBE_EVERY;
/// Looks without an answer after which a gateway is dead.
pub const RECONCILE_LOST: u32 = 3;

/// A leader speaks to each gateway so often in a look, and the others ask so often whether it does.
pub const BEATS: u32 = 3;
/// A third of a look.
pub const BEAT: Duration = Duration::from_micros(41_667);
/// A leader that was not heard at a gateway for so long is silent there: three times in a row.
pub const LEADER_SILENT: Duration = Duration::from_millis(125);
/// Beats in a row in which every gateway that answers says so, before another reconciler leads: one that
/// stood still says it of a leader that goes on.
pub const SILENT_BEATS: u32 = 2;
/// A leader that is not this old is not relieved before its lease ends: where everything is slow, leaders
/// must not change all the time.
pub const LEADER_SETTLES: Duration = Duration::from_secs(1);

/// A gateway that was not renewed for so long asks the others. One that is renewed is a third less.
pub const ASKS_AFTER: Duration = Duration::from_millis(300);
/// What a gateway owns by a reconciler's word is its own for so long after an answer that a leader heard,
/// or another gateway's word. A new owner that it does not answer takes an address later: the leader's
/// three looks and [`YIELD`] are 700 ms after that answer.
pub const OWNED_FOR: Duration = Duration::from_millis(600);
/// A gateway that a leader looked at less than this ago is led.
pub const LED_FOR: Duration = Duration::from_secs(1);
/// Another gateway that says for so long that it is led, is; longer than it says so of a leader that is dead.
pub const CUT_OFF_AFTER: Duration = Duration::from_millis(1_200);
/// A machine says once a second that nobody listens there, however often it is asked: for so long that holds.
pub const GONE_FOR: Duration = Duration::from_millis(1_200);
/// How often the others are asked, and how often a gateway looks whether it may go on.
pub const FENCE_EVERY: Duration = Duration::from_millis(50);
/// Longest wait for their word. What they say is as old as the question.
pub const COMPANY_WAIT: Duration = Duration::from_millis(250);
/// Nobody gives up who has not asked for so long.
pub const ASKED_FOR: Duration = Duration::from_millis(150);
/// Longest wait for the other gateways to let go of an address, before it is taken: those that can be
/// reached answer in a tenth of that, and the others have given up by then.
pub const YIELD: Duration = Duration::from_millis(200);
/// How often they are asked in that time.
pub const YIELD_EVERY: Duration = Duration::from_millis(30);
/// With `fence = "lease"` a gateway that does not answer is given so many looks: as long as it may hold
/// addresses that nobody renews, and as long again as its kernel takes to let go of them.
pub const RECONCILE_LOST_LEASE: u32 = 44;
