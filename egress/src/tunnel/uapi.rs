//! WireGuard in a program beside this one, told by the text protocol of its socket: wireguard-go and what
//! is made like it. One request a connection, as they all understand; every wait has an end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use super::{Backend, PeerSettings, PeerState, TunnelError, TunnelSettings, unix};
use crate::key::PublicKey;
use crate::limits;

/// Where programs of this kind have their sockets.
const SOCKETS: &str = "/var/run/wireguard";

/// A device of another program.
#[derive(Debug)]
pub(super) struct Daemon {
    socket: PathBuf,
    program: PathBuf,
    device: String,
    /// Ends with this value; none, if it ran already.
    _child: Option<Child>,
}

impl Daemon {
    /// Starts the program, or takes over the one that has this device, and tells it key and port.
    pub(super) async fn open(
        program: &Path,
        settings: &TunnelSettings,
    ) -> Result<Self, TunnelError> {
        let device = settings.device.clone();
        let mut daemon = Self {
            socket: Path::new(SOCKETS).join(format!("{device}.sock")),
            program: program.to_owned(),
            device,
            _child: None,
        };
        let mut text = format!("private_key={}\n", hex(settings.key.secret().as_bytes()));
        if settings.socket.port() != 0 {
            writeln!(text, "listen_port={}", settings.socket.port()).ok();
        }
        text.push_str("replace_peers=true\n");
        if daemon.set(&text).await.is_err() {
            daemon.start().await?;
            daemon
                .set(&text)
                .await
                .map_err(|error| daemon.failed(&error))?;
        }
        Ok(daemon)
    }

    async fn start(&mut self) -> Result<(), TunnelError> {
        let child = Command::new(&self.program)
            .args(["-f", &self.device])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let mut child = child.map_err(|error| self.failed(&error))?;
        let serves = async {
            loop {
                if let Ok(Some(status)) = child.try_wait() {
                    return Err(io::Error::other(format!("it ended: {status}")));
                }
                if UnixStream::connect(&self.socket).await.is_ok() {
                    return Ok(());
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let serves = tokio::time::timeout(limits::COMMAND, serves).await;
        let serves = serves.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        serves.map_err(|error| self.failed(&error))?;
        self._child = Some(child);
        Ok(())
    }

    async fn set(&self, text: &str) -> io::Result<()> {
        self.ask(&format!("set=1\n{text}\n")).await.map(|_| ())
    }

    /// Asks, and reads to the empty line after the answer.
    async fn ask(&self, text: &str) -> io::Result<String> {
        let talk = async {
            let mut stream = UnixStream::connect(&self.socket).await?;
            stream.write_all(text.as_bytes()).await?;
            let mut answer = Vec::new();
            let mut piece = [0; 4096];
            while !answer.ends_with(b"\n\n") {
                let read = stream.read(&mut piece).await?;
                if read == 0 || answer.len() > limits::ANSWER_BYTES {
                    break;
                }
                answer.extend_from_slice(piece.get(..read).unwrap_or_default());
            }
            String::from_utf8(answer).map_err(io::Error::other)
        };
        let answer = tokio::time::timeout(limits::COMMAND, talk).await;
        let answer = answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let errno = answer.lines().find_map(|line| line.strip_prefix("errno="));
        match errno {
            Some("0") => Ok(answer),
            Some(errno) => Err(io::Error::other(format!("it refused: errno {errno}"))),
            None => Err(io::Error::other("it did not answer whole")),
        }
    }

    fn failed(&self, error: &io::Error) -> TunnelError {
        TunnelError::Daemon {
            program: self.program.clone(),
            device: self.device.clone(),
            why: error.to_string(),
        }
    }
}

impl Backend for Daemon {
    fn set_peers<'a>(
        &'a self,
        peers: &'a [PeerSettings],
    ) -> BoxFuture<'a, Result<(), TunnelError>> {
        Box::pin(async move {
            let text: String = peers.iter().map(peer).collect();
            let set = self.set(&text).await;
            set.map_err(|error| self.failed(&error))
        })
    }

    fn remove_peers<'a>(&'a self, keys: &'a [PublicKey]) -> BoxFuture<'a, Result<(), TunnelError>> {
        Box::pin(async move {
            let mut text = String::new();
            for key in keys {
                write!(text, "public_key={}\nremove=true\n", hex(&key.0)).ok();
            }
            let set = self.set(&text).await;
            set.map_err(|error| self.failed(&error))
        })
    }

    fn peers(&self) -> BoxFuture<'_, Vec<PeerState>> {
        Box::pin(async move {
            match self.ask("get=1\n\n").await {
                Ok(answer) => states(&answer, unix()),
                Err(error) => {
                    tracing::error!(%error, device = self.device, "a tunnel's program does not answer");
                    Vec::new()
                }
            }
        })
    }
}

/// A peer as it is set, whatever it was.
fn peer(settings: &PeerSettings) -> String {
    let mut text = format!("public_key={}\n", hex(&settings.key.0));
    if let Some(endpoint) = settings.endpoint {
        writeln!(text, "endpoint={endpoint}").ok();
    }
    let keepalive = settings.keepalive.unwrap_or(0);
    writeln!(text, "persistent_keepalive_interval={keepalive}").ok();
    let net = settings.addresses;
    writeln!(text, "replace_allowed_ips=true\nallowed_ip={net}").ok();
    text
}

/// The peers that an answer tells of. `now`: time since the Unix epoch.
fn states(answer: &str, now: Duration) -> Vec<PeerState> {
    let mut peers = Vec::new();
    let mut fields = BTreeMap::new();
    for line in answer.lines() {
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        if name == "public_key" {
            peers.extend(state(&fields, now));
            fields.clear();
        }
        fields.insert(name, value);
    }
    peers.extend(state(&fields, now));
    peers
}

/// Nothing, before the first peer.
fn state(fields: &BTreeMap<&str, &str>, now: Duration) -> Option<PeerState> {
    let number = |name: &str| fields.get(name)?.parse::<u64>().ok();
    let seconds = number("last_handshake_time_sec").unwrap_or(0);
    let nanos = number("last_handshake_time_nsec").unwrap_or(0);
    let told = Duration::from_secs(seconds) + Duration::from_nanos(nanos);
    let last_handshake = match told {
        Duration::ZERO => None,
        // boringtun tells the age where others tell the time.
        age if age < NO_TIME => Some(age),
        at => Some(now.saturating_sub(at)),
    };
    Some(PeerState {
        key: PublicKey(bytes(fields.get("public_key")?)?),
        endpoint: fields
            .get("endpoint")
            .and_then(|text| text.parse::<SocketAddr>().ok()),
        last_handshake,
        received: number("rx_bytes").unwrap_or(0),
        sent: number("tx_bytes").unwrap_or(0),
    })
}

/// Before this there was no program of this kind.
const NO_TIME: Duration = Duration::from_secs(1_000_000_000);
/// How often a program that was started is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

fn hex(bytes: &[u8; 32]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            write!(text, "{byte:02x}").ok();
            text
        })
}

fn bytes(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_100);

    #[test]
    fn what_programs_say_of_their_peers_is_understood() {
        let key = "07".repeat(32);
        let other = "08".repeat(32);
        let answer = format!(
            "private_key={key}\nlisten_port=50101\npublic_key={key}\nendpoint=203.0.113.9:1234\n\
             last_handshake_time_sec=1800000000\nlast_handshake_time_nsec=0\nrx_bytes=7\ntx_bytes=9\n\
             allowed_ip=100.64.1.8/32\npublic_key={other}\nlast_handshake_time_sec=3\n\
             protocol_version=1\nerrno=0\n\n"
        );
        let [first, second] = states(&answer, NOW).try_into().unwrap();
        assert_eq!(first.key, PublicKey([7; 32]));
        assert_eq!(first.endpoint, Some("203.0.113.9:1234".parse().unwrap()));
        assert_eq!(first.last_handshake, Some(Duration::from_secs(100)));
        assert_eq!((first.received, first.sent), (7, 9));
        assert_eq!(second.last_handshake, Some(Duration::from_secs(3)));
        assert_eq!((second.endpoint, second.received), (None, 0));
    }

    #[test]
    fn a_peer_is_set_as_a_whole() {
        let settings = PeerSettings {
            key: PublicKey([7; 32]),
            endpoint: None,
            addresses: "100.64.1.8/32".parse().unwrap(),
            keepalive: Some(1),
        };
        let key = "07".repeat(32);
        assert_eq!(
            peer(&settings),
            format!(
                "public_key={key}\npersistent_keepalive_interval=1\nreplace_allowed_ips=true\n\
                 allowed_ip=100.64.1.8/32\n"
            )
        );
    }

    #[tokio::test]
    async fn a_program_that_refuses_or_hangs_up_is_an_error_and_says_which() {
        let path = std::env::temp_dir().join(format!("fprs-uapi-{:x}.sock", fastrand::u64(..)));
        let listener = UnixListener::bind(&path).unwrap();
        let answers = ["errno=0\n\n", "errno=-22\n\n", "errno="];
        let daemon = Daemon {
            socket: path.clone(),
            program: "fake".into(),
            device: "wg0".into(),
            _child: None,
        };
        let served = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut piece = [0; 4096];
                let read = stream.read(&mut piece).await.unwrap();
                asked.push(String::from_utf8(piece[..read].to_vec()).unwrap());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        let keys = [PublicKey([7; 32])];
        daemon.remove_peers(&keys).await.unwrap();
        let refused = daemon.remove_peers(&keys).await.unwrap_err().to_string();
        assert!(
            refused.contains("`fake`") && refused.contains("errno -22"),
            "{refused}"
        );
        assert!(daemon.remove_peers(&keys).await.is_err());
        let asked = served.await.unwrap();
        let key = "07".repeat(32);
        assert_eq!(
            asked[0],
            format!("set=1\npublic_key={key}\nremove=true\n\n")
        );
        std::fs::remove_file(path).unwrap();
    }
}
