//! Control as a process would run it: a real store, a real socket, real clients; only the relays are
//! played by the tests.

#[cfg(test)]
mod api;
#[cfg(test)]
mod callers;
#[cfg(test)]
mod channel;
#[cfg(test)]
mod egress;
#[cfg(test)]
mod feed;
#[cfg(test)]
mod latency;
#[cfg(test)]
mod logs;
mod mirrors;
#[cfg(test)]
mod plane;
#[cfg(test)]
mod relay;
