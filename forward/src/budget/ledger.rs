//! One core's part of the account: the exchanges that hold bytes, looked through ten times a second
//! while there are any. An exchange is entered when it first can't go on, and until then costs
//! nothing here.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use super::credit::{Credit, Narrowed};
use super::{Budget, Excess, Held, Owner};
use crate::h2::Unread;
use crate::limits;

/// One core's exchanges that hold bytes.
#[derive(Debug)]
pub struct Ledger {
    budget: Arc<Budget>,
    core: usize,
    entries: RefCell<Vec<Option<Entry>>>,
    free: RefCell<Vec<usize>>,
    narrowed: RefCell<Narrowed>,
    watched: Cell<bool>,
}

#[derive(Debug)]
struct Entry {
    owner: Owner,
    /// What the exchange said it holds beside its windows.
    own: usize,
    request: Option<Window>,
    response: Option<Window>,
    shed: bool,
    waker: Waker,
}

/// The bytes that came on one HTTP/2 stream and weren't passed on: they grow without anybody being
/// told, up to the stream's window.
#[derive(Debug)]
pub struct Window {
    unread: Unread,
    /// What decides on the window, if anything does.
    credit: Option<Rc<Credit>>,
}

/// What an exchange holds, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Holds {
    /// The piece of the request that it has read and not passed on; counted by its window if it has
    /// one.
    pub request: usize,
    /// The same of the response.
    pub response: usize,
    /// Everything else.
    pub beside: usize,
}

/// The exchange was ended because its owner holds more than anybody else and the process too much, or
/// its tenant more than its own limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shed;

/// One exchange's place in the account; it ends when dropped.
#[derive(Debug)]
pub struct Account<'a> {
    ledger: &'a Rc<Ledger>,
    owner: &'a Owner,
    /// Where it is entered, if it is.
    place: Option<usize>,
}

impl Ledger {
    /// The part of one core.
    pub fn new(budget: &Arc<Budget>) -> Rc<Self> {
        Rc::new(Self {
            budget: Arc::clone(budget),
            core: budget.join(),
            entries: RefCell::default(),
            free: RefCell::default(),
            narrowed: RefCell::default(),
            watched: Cell::new(false),
        })
    }

    /// For an exchange of that owner.
    pub const fn account<'a>(self: &'a Rc<Self>, owner: &'a Owner) -> Account<'a> {
        Account {
            ledger: self,
            owner,
            place: None,
        }
    }

    /// That owner gets no new exchange now.
    pub fn refuses(&self, owner: &Owner) -> bool {
        self.budget.refuses(owner)
    }

    fn enter(self: &Rc<Self>, entry: Entry) -> usize {
        if !self.watched.replace(true) {
            tokio::task::spawn_local(Rc::clone(self).watch());
        }
        let mut entries = self.entries.borrow_mut();
        match self.free.borrow_mut().pop() {
            Some(place) => {
                if let Some(free) = entries.get_mut(place) {
                    *free = Some(entry);
                }
                place
            }
            None => {
                entries.push(Some(entry));
                entries.len() - 1
            }
        }
    }

    /// Looks through the entries until there are none.
    async fn watch(self: Rc<Self>) {
        while self.entries.borrow().iter().any(Option::is_some) {
            tokio::time::sleep(limits::BUDGET_SWEEP).await;
            self.sweep();
        }
        // Nobody is left who holds anything.
        self.narrowed.borrow_mut().settle();
        self.watched.set(false);
    }

    fn sweep(&self) {
        let mut held = Held::default();
        let mut narrowed = self.narrowed.borrow_mut();
        for entry in self.entries.borrow().iter().flatten() {
            let bytes = entry.bytes();
            for window in [&entry.request, &entry.response].into_iter().flatten() {
                window.unread.settle();
            }
            if let Some(Window {
                unread,
                credit: Some(credit),
            }) = &entry.response
            {
                narrowed.count(credit, unread.bytes());
            }
            match held.get_mut(&entry.owner) {
                Some(sum) => *sum += bytes,
                None => {
                    held.insert(entry.owner.clone(), bytes);
                }
            }
        }
        narrowed.settle();
        for excess in self.budget.tell(self.core, held) {
            self.shed(&excess);
        }
    }

    /// Ends the owner's largest exchanges.
    fn shed(&self, excess: &Excess) {
        let mut entries = self.entries.borrow_mut();
        let mut largest: Vec<(usize, &mut Entry)> = entries
            .iter_mut()
            .flatten()
            .filter(|entry| entry.owner == excess.owner)
            .map(|entry| (entry.bytes(), entry))
            .collect();
        largest.sort_unstable_by_key(|(bytes, _)| Reverse(*bytes));
        let mut freed = 0;
        for (bytes, entry) in largest {
            if freed >= excess.bytes {
                return;
            }
            freed += bytes;
            if !entry.shed {
                entry.shed = true;
                self.budget.shed.fetch_add(1, Ordering::Relaxed);
                entry.waker.wake_by_ref();
            }
        }
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        let windows = [&self.request, &self.response];
        self.own
            + windows
                .into_iter()
                .flatten()
                .map(Window::bytes)
                .sum::<usize>()
    }
}

impl Window {
    /// Of that stream.
    pub(crate) const fn new(unread: Unread) -> Self {
        Self {
            unread,
            credit: None,
        }
    }

    /// Of a stream on which a peer sends as that credit allows.
    pub(crate) fn granted(unread: Unread, credit: &Rc<Credit>) -> Self {
        Self {
            unread,
            credit: Some(Rc::clone(credit)),
        }
    }

    /// How many they are.
    pub(crate) fn bytes(&self) -> usize {
        self.unread.bytes()
    }
}

impl Account<'_> {
    /// Waits for something while nothing of the request goes on.
    ///
    /// # Errors
    /// The exchange is to end.
    pub async fn unless_shed<F: Future>(
        &mut self,
        request: Option<Window>,
        future: F,
    ) -> Result<F::Output, Shed> {
        let mut future = std::pin::pin!(future);
        let mut request = request;
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            let shed = self.poll(cx, Holds::default(), || request.take(), || None);
            shed.map(|()| Err(Shed))
        })
        .await
    }

    /// The exchange is entered: it is to say what it holds.
    pub(crate) const fn is_entered(&self) -> bool {
        self.place.is_some()
    }

    /// Says what the exchange holds; ready when it is to end. A window is asked for until there is one.
    pub(crate) fn poll(
        &mut self,
        cx: &Context<'_>,
        holds: Holds,
        request: impl FnOnce() -> Option<Window>,
        response: impl FnOnce() -> Option<Window>,
    ) -> Poll<()> {
        let place = *self.place.get_or_insert_with(|| {
            self.ledger.enter(Entry {
                owner: self.owner.clone(),
                own: 0,
                request: None,
                response: None,
                shed: false,
                waker: cx.waker().clone(),
            })
        });
        let mut entries = self.ledger.entries.borrow_mut();
        let Some(Some(entry)) = entries.get_mut(place) else {
            return Poll::Pending;
        };
        entry.request = entry.request.take().or_else(request);
        entry.response = entry.response.take().or_else(response);
        let unless = |window: &Option<Window>, held| if window.is_some() { 0 } else { held };
        entry.own = holds.beside
            + unless(&entry.request, holds.request)
            + unless(&entry.response, holds.response);
        entry.waker.clone_from(cx.waker());
        if entry.shed {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Account<'_> {
    /// Nothing is held any more.
    pub(crate) fn leave(&mut self) {
        let Some(place) = self.place.take() else {
            return;
        };
        let mut entries = self.ledger.entries.borrow_mut();
        let entry = entries.get_mut(place).and_then(Option::take);
        self.ledger.free.borrow_mut().push(place);
        drop(entries);
        // Its windows may be the last to know their streams.
        drop(entry);
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}
