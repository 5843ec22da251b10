//! PURE. On whom bytes are counted: a server and, where it is known, the tenant whose it is, with the
//! tenant's own limit. Both are told by name: an edit that makes them anew changes nobody's account.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// On whom bytes are counted: a server. A clone is one count.
#[derive(Clone, Debug)]
pub struct Owner(Arc<Server>);

#[derive(Debug)]
struct Server {
    name: Arc<str>,
    tenant: Option<Arc<Holder>>,
}

/// A tenant as the account knows it.
#[derive(Debug)]
pub struct Holder {
    name: Arc<str>,
    /// `usize::MAX`: none.
    limit: AtomicUsize,
    over: AtomicBool,
}

impl Owner {
    /// A server whose tenant isn't known: it stands for itself.
    pub fn server(name: &Arc<str>) -> Self {
        let (name, tenant) = (Arc::clone(name), None);
        Self(Arc::new(Server { name, tenant }))
    }

    /// A server of that tenant.
    pub fn of(name: &Arc<str>, tenant: &Arc<Holder>) -> Self {
        Self(Arc::new(Server {
            name: Arc::clone(name),
            tenant: Some(Arc::clone(tenant)),
        }))
    }

    /// Its name, for logs.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whose it is.
    pub(super) fn holder(&self) -> Option<&Arc<Holder>> {
        self.0.tenant.as_ref()
    }
}

impl PartialEq for Owner {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Owner {}

impl Hash for Owner {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl Holder {
    /// A tenant without a limit of its own.
    pub fn new(name: &Arc<str>) -> Arc<Self> {
        Arc::new(Self {
            name: Arc::clone(name),
            limit: AtomicUsize::new(usize::MAX),
            over: AtomicBool::new(false),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Holds it to so many bytes from now on; `None`: to no limit of its own.
    pub fn set_limit(&self, bytes: Option<usize>) {
        self.limit
            .store(bytes.unwrap_or(usize::MAX), Ordering::Relaxed);
        if bytes.is_none() {
            self.over.store(false, Ordering::Relaxed);
        }
    }

    /// It holds more than its own limit: it is to get no new exchange now.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(super) fn limit(&self) -> Option<usize> {
        let limit = self.limit.load(Ordering::Relaxed);
        (limit != usize::MAX).then_some(limit)
    }

    pub(super) fn set_over(&self, over: bool) {
        self.over.store(over, Ordering::Relaxed);
    }
}
