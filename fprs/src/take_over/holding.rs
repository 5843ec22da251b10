//! What exactly one proxy of a data dir holds: the lock that says so, the socket at which it can be
//! relieved, and its listeners. It goes from process to process as a whole; the lock lasts as long as
//! any of them has it open.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen};

use super::activation::Passed;
use super::word::DESCRIPTORS;
use crate::data_dir::DataDir;
use crate::failure::Failure;
use crate::process::{self, bound};
use crate::settings::Settings;

/// Newcomers that may wait to be heard.
const DOOR_BACKLOG: i32 = 16;

/// Longest path of a socket: `sun_path` of the shortest of our systems, with its end.
const PATH_BYTES: usize = 103;

/// All that one proxy of a data dir holds.
#[derive(Debug)]
pub struct Holding {
    lock: OwnedFd,
    /// Where newcomers ask.
    pub(super) door: UnixListener,
    /// The data plane's.
    pub listen: TcpListener,
    /// The admin port's.
    pub admin: TcpListener,
}

impl Holding {
    /// Takes what nobody holds.
    ///
    /// # Errors
    /// Another proxy has the data dir, or an address can't be listened on.
    pub fn claim(dir: &DataDir, settings: &Settings) -> Result<Self, Failure> {
        let lock = lock(dir)?;
        let passed = Passed::take()?;
        let listener = |passed: Option<TcpListener>, flag, address| match passed {
            Some(listener) => Ok(listener),
            None => process::bind(flag, address),
        };
        let listen = listener(passed.listen, "listen", settings.listen)?;
        let admin = listener(passed.admin, "admin", settings.admin)?;
        let socket = dir.proxy_socket();
        let door = open_door(&socket).map_err(|error| {
            Failure::new(format!(
                "can't make the socket `{}`: {error}; give a data dir on a file system that has \
                 sockets, with a shorter path if it is long",
                socket.display()
            ))
        })?;
        Ok(Self {
            lock,
            door,
            listen,
            admin,
        })
    }

    /// The same once more: what one of the two lets go the other still has.
    ///
    /// # Errors
    /// There are no descriptors to be had.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            lock: self.lock.try_clone()?,
            door: self.door.try_clone()?,
            listen: self.listen.try_clone()?,
            admin: self.admin.try_clone()?,
        })
    }

    /// In the order of an offer.
    pub(super) fn descriptors(&self) -> [BorrowedFd<'_>; DESCRIPTORS] {
        [
            self.lock.as_fd(),
            self.door.as_fd(),
            self.listen.as_fd(),
            self.admin.as_fd(),
        ]
    }

    /// From the descriptors of an offer; `None`: it was not one.
    pub(super) fn from_descriptors(descriptors: Vec<OwnedFd>) -> Option<Self> {
        let [lock, door, listen, admin] = descriptors.try_into().ok()?;
        Some(Self {
            lock,
            door: door.into(),
            listen: listen.into(),
            admin: admin.into(),
        })
    }

    /// Addresses stay what they are in a take-over, so those asked for have to be the same.
    ///
    /// # Errors
    /// They differ.
    pub(super) fn check(&self, settings: &Settings) -> Result<(), Failure> {
        for (flag, listener, asked) in [
            ("listen", &self.listen, settings.listen),
            ("admin", &self.admin, settings.admin),
        ] {
            let held = bound(listener)?;
            if !is_met_by(asked, held) {
                return Err(Failure::new(format!(
                    "the running proxy has --{flag} {held}, not {asked}, and a take-over changes no \
                     address: give --{flag} {held}, or stop it and start anew"
                )));
            }
        }
        Ok(())
    }
}

/// Port 0 asks for any.
fn is_met_by(asked: SocketAddr, held: SocketAddr) -> bool {
    asked.ip() == held.ip() && (asked.port() == 0 || asked.port() == held.port())
}

fn lock(dir: &DataDir) -> Result<OwnedFd, Failure> {
    let path = dir.proxy_lock();
    let unusable =
        |error: io::Error| Failure::new(format!("can't lock `{}`: {error}", path.display()));
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file.into()),
        Err(TryLockError::WouldBlock) => Err(Failure::new(format!(
            "another `fprs proxy` runs in data dir `{}`; relieve it with `fprs proxy --take-over`, stop \
             it, or choose another with --data-dir",
            dir.path().display()
        ))),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

/// Listens at `path` for this user alone. Whatever is there is nobody's: we have the lock.
fn open_door(path: &Path) -> io::Result<UnixListener> {
    let (path, _dir) = short(path)?;
    let path = path.as_path();
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    // Before it listens, so that nobody comes in between.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    listen(&socket, DOOR_BACKLOG)?;
    Ok(UnixListener::from(socket))
}

/// A path that fits into a socket's address, however long the given one is, and the directory that has
/// to be open while it is used.
pub(super) fn short(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok((path.to_owned(), None));
    };
    if path.as_os_str().len() <= PATH_BYTES {
        return Ok((path.to_owned(), None));
    }
    let dir = File::open(parent)?;
    let descriptor = dir.as_raw_fd().to_string();
    let path = Path::new("/proc/self/fd").join(descriptor).join(name);
    Ok((path, Some(dir)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_met_by_itself_and_port_0_by_any() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let held = address("127.0.0.1:8080");
        assert!(is_met_by(held, held));
        assert!(is_met_by(address("127.0.0.1:0"), held));
        assert!(!is_met_by(address("127.0.0.1:8081"), held));
        assert!(!is_met_by(address("0.0.0.0:8080"), held));
    }

    #[test]
    fn the_door_is_open_to_its_user_alone_and_replaces_one_that_was_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("proxy.sock");
        drop(open_door(&path).unwrap());
        let _door = open_door(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_door_can_be_as_deep_as_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(100)).join("e".repeat(100));
        fs::create_dir_all(&deep).unwrap();
        let path = deep.join("proxy.sock");
        let _door = open_door(&path).unwrap();
        let (short, _dir) = short(&path).unwrap();
        std::os::unix::net::UnixStream::connect(short).unwrap();
    }
}
