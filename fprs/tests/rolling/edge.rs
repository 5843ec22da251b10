//! Where clients connect. Either one address all the time, or a tiny balancer that does what an edge
//! does and no more: polls readiness, and sends nothing new to what isn't ready.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fprs_testkit::client::H1;
use tokio::task::JoinHandle;

/// Between two looks at readiness.
const INTERVAL: Duration = Duration::from_millis(50);

/// The proxies that clients may use.
#[derive(Debug)]
pub(crate) struct Edge {
    proxies: Vec<Arc<Proxy>>,
    next: AtomicUsize,
    looks: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Proxy {
    address: SocketAddr,
    ready: AtomicBool,
    /// Looks that found it not ready.
    refusals: AtomicUsize,
}

impl Edge {
    /// Watches the proxies at those addresses.
    pub(crate) fn start(addresses: &[SocketAddr]) -> Arc<Self> {
        let proxy = |address: &SocketAddr| {
            Arc::new(Proxy {
                address: *address,
                ready: AtomicBool::new(true),
                refusals: AtomicUsize::new(0),
            })
        };
        let proxies: Vec<_> = addresses.iter().map(proxy).collect();
        let looks = proxies.iter().map(|proxy| {
            let proxy = Arc::clone(proxy);
            tokio::spawn(async move {
                loop {
                    let ready = is_ready(proxy.address).await;
                    proxy.ready.store(ready, Ordering::Relaxed);
                    if !ready {
                        proxy.refusals.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(INTERVAL).await;
                }
            })
        });
        Arc::new(Self {
            looks: looks.collect(),
            next: AtomicUsize::new(0),
            proxies,
        })
    }

    /// One address that is always ready, whichever proxies are behind it.
    pub(crate) fn at(address: SocketAddr) -> Arc<Self> {
        let proxy = Proxy {
            address,
            ready: AtomicBool::new(true),
            refusals: AtomicUsize::new(0),
        };
        Arc::new(Self {
            proxies: vec![Arc::new(proxy)],
            next: AtomicUsize::new(0),
            looks: Vec::new(),
        })
    }

    /// One that is ready; they take turns.
    pub(crate) async fn pick(&self) -> SocketAddr {
        loop {
            let turn = self.next.fetch_add(1, Ordering::Relaxed);
            let proxy = &self.proxies[turn % self.proxies.len()];
            if proxy.ready.load(Ordering::Relaxed) {
                return proxy.address;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Whether something new may be sent there.
    pub(crate) fn is_ready(&self, address: SocketAddr) -> bool {
        let mut proxies = self.proxies.iter();
        proxies.any(|proxy| proxy.address == address && proxy.ready.load(Ordering::Relaxed))
    }

    /// How often a proxy was found not ready.
    pub(crate) fn refusals(&self) -> usize {
        let refusals = |proxy: &Arc<Proxy>| proxy.refusals.load(Ordering::Relaxed);
        self.proxies.iter().map(refusals).sum()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.looks.iter().for_each(JoinHandle::abort);
    }
}

async fn is_ready(address: SocketAddr) -> bool {
    let Ok(mut client) = H1::connect(address).await else {
        return false;
    };
    let answer = client.get("fprs.internal", "/readyz").await;
    answer.is_ok_and(|answer| answer.status == 200)
}
