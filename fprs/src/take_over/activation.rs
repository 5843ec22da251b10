//! Listeners that the service manager opened before it started us: systemd's `LISTEN_FDS`. The first
//! is the data plane's, a second one the admin port's.

use std::net::TcpListener;

use listenfd::ListenFd;

use crate::failure::Failure;

/// What was passed to this process.
#[derive(Debug, Default)]
pub(super) struct Passed {
    pub(super) listen: Option<TcpListener>,
    pub(super) admin: Option<TcpListener>,
}

impl Passed {
    /// Takes what was passed, once.
    ///
    /// # Errors
    /// Something else than one or two TCP listeners was.
    pub(super) fn take() -> Result<Self, Failure> {
        let mut passed = ListenFd::from_env();
        if passed.len() > 2 {
            return Err(Failure::new(format!(
                "LISTEN_FDS passes {} sockets; pass one for the data plane, and one more for the admin \
                 port if you like",
                passed.len()
            )));
        }
        let mut listener = |index| {
            let taken = passed.take_tcp_listener(index).map_err(|error| {
                Failure::new(format!(
                    "socket {index} of LISTEN_FDS can't be used: {error}; pass TCP listeners \
                     (ListenStream=ADDRESS:PORT)"
                ))
            })?;
            if let Some(listener) = &taken {
                listener.set_nonblocking(true).map_err(Failure::new)?;
            }
            Ok(taken)
        };
        Ok(Self {
            listen: listener(0)?,
            admin: listener(1)?,
        })
    }
}
