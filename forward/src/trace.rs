//! Requests that are traced: which ones, what whoever comes next is told, and how long each part of
//! one took. A core keeps its finished spans in memory of its own, from where whoever exports takes
//! them; what there is no room for is counted and lost. A request that is not sampled has no span.

pub mod context;

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode};

use self::context::{Context, TRACEPARENT, TRACESTATE};

/// Finished requests that one core keeps until they are taken: a second of 4,000.
pub const ROOM: usize = 4096;

/// The traces of one process.
#[derive(Clone, Debug)]
pub struct Traces(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Of 2^64 traces that begin here so many are sampled; `None`: all.
    sampled: Option<u64>,
    cores: Mutex<Vec<Arc<Spool>>>,
    dropped: AtomicU64,
}

/// The finished requests of one core. Its lock is that core's but for the moment in which they are
/// taken.
type Spool = Mutex<Vec<Record>>;

/// A request that was traced in this process.
#[derive(Debug, Default)]
pub struct Record {
    /// In which part of fprs: `proxy` or `relay`.
    pub role: &'static str,
    /// What was asked for.
    pub name: String,
    /// Its span, as whoever came next was told.
    pub context: Context,
    /// Who asked; `None`: the trace begins here.
    pub parent: Option<u64>,
    /// `tracestate`, as it came.
    pub state: Option<String>,
    /// When it began; `None`: never, and nobody is told of it.
    pub began: Option<SystemTime>,
    /// From then to its end.
    pub took: Duration,
    /// What it went through, one after the other: each ends where the next begins.
    pub parts: Vec<Part>,
    /// What else is known.
    pub notes: Vec<(&'static str, Value)>,
    /// Why it failed.
    pub fault: Option<&'static str>,
}

impl Record {
    /// Its span and those of its parts.
    pub fn spans(&self) -> u64 {
        u64::try_from(1 + self.parts.len()).unwrap_or(u64::MAX)
    }
}

/// A part of a request's way.
#[derive(Debug)]
pub struct Part {
    /// What it waits for.
    pub name: &'static str,
    /// Since the request began.
    pub from: Duration,
    /// The replica it is about.
    pub replica: Option<Arc<str>>,
}

/// What is noted of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Traces {
    /// Of the traces that begin here a share is sampled, from 0 to 1.
    pub fn new(share: f64) -> Self {
        Self(Arc::new(Shared {
            sampled: (share < 1.0).then(|| of_all(share)),
            cores: Mutex::default(),
            dropped: AtomicU64::new(0),
        }))
    }

    /// What has finished since it was last asked for.
    pub fn take(&self) -> Vec<Record> {
        let cores = lock(&self.0.cores).clone();
        let taken = cores.iter().map(|core| std::mem::take(&mut *lock(core)));
        taken.flatten().collect()
    }

    /// Spans that nobody will see.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Nobody will see so many spans.
    pub fn drop_spans(&self, spans: u64) {
        self.0.dropped.fetch_add(spans, Ordering::Relaxed);
    }
}

/// In the place of whatever was there.
fn tell(fields: &mut HeaderMap, context: Context) {
    if let Some(field) = context.field() {
        fields.insert(TRACEPARENT, field);
    }
}

/// A share of all numbers of 64 bits.
fn of_all(share: f64) -> u64 {
    // From a float to an integer saturates: below 0 is 0.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates"
    )]
    let sampled = (share * 18_446_744_073_709_551_616.0) as u64;
    sampled
}

/// What one core traces with.
#[derive(Debug)]
pub struct Tracer {
    shared: Arc<Shared>,
    spool: Arc<Spool>,
    role: &'static str,
}

impl Tracer {
    /// For one more core of that role.
    pub fn new(traces: &Traces, role: &'static str) -> Rc<Self> {
        let (shared, spool) = (Arc::clone(&traces.0), Arc::default());
        lock(&shared.cores).push(Arc::clone(&spool));
        Rc::new(Self {
            shared,
            spool,
            role,
        })
    }

    /// A request whose trace may begin here. Its fields tell whoever comes next of it; the span is
    /// there where it is sampled: as whoever asks has decided, and by chance where nobody has.
    pub fn begin(self: &Rc<Self>, fields: &mut HeaderMap) -> Option<Box<Span>> {
        match Context::of(fields) {
            Some(Ok(came)) => self.goes_on(came, fields),
            Some(Err(_)) | None => {
                fields.remove(TRACESTATE);
                let sampled = self.shared.sampled;
                let sampled = sampled.is_none_or(|share| fastrand::u64(..) < share);
                let context = Context::root(fastrand::u128(1..), fastrand::u64(1..), sampled);
                tell(fields, context);
                sampled.then(|| self.span(context, None, None))
            }
        }
    }

    /// A request whose trace began elsewhere, or is none: what is malformed goes no further.
    pub fn follow(self: &Rc<Self>, fields: &mut HeaderMap) -> Option<Box<Span>> {
        match Context::of(fields)? {
            Ok(came) => self.goes_on(came, fields),
            Err(_) => {
                fields.remove(TRACEPARENT);
                fields.remove(TRACESTATE);
                None
            }
        }
    }

    fn goes_on(self: &Rc<Self>, came: Context, fields: &mut HeaderMap) -> Option<Box<Span>> {
        if !context::is_state(fields) {
            fields.remove(TRACESTATE);
        }
        if !came.is_sampled() {
            return None;
        }
        let context = came.next(fastrand::u64(1..));
        tell(fields, context);
        let states = fields.get_all(TRACESTATE).iter();
        let states: Vec<&str> = states.filter_map(|state| state.to_str().ok()).collect();
        let state = (!states.is_empty()).then(|| states.join(","));
        Some(self.span(context, Some(came.span()), state))
    }

    fn span(
        self: &Rc<Self>,
        context: Context,
        parent: Option<u64>,
        state: Option<String>,
    ) -> Box<Span> {
        Box::new(Span {
            record: Record {
                role: self.role,
                context,
                parent,
                state,
                began: Some(SystemTime::now()),
                ..Record::default()
            },
            began: Instant::now(),
            tracer: Rc::clone(self),
        })
    }

    fn finish(&self, record: Record) {
        let mut spool = lock(&self.spool);
        if spool.len() < ROOM {
            spool.push(record);
        } else {
            let lost = record.spans();
            self.shared.dropped.fetch_add(lost, Ordering::Relaxed);
        }
    }
}

/// A request that is traced, from its making to its drop.
#[derive(Debug)]
pub struct Span {
    record: Record,
    began: Instant,
    tracer: Rc<Tracer>,
}

impl Span {
    /// What is asked for, in a few words of which there are few.
    pub fn name(&mut self, name: &str) {
        name.clone_into(&mut self.record.name);
    }

    /// From now on it waits for something else.
    pub fn part(&mut self, name: &'static str) {
        self.part_of(name, None);
    }

    /// The same, of a replica.
    pub fn part_of(&mut self, name: &'static str, replica: Option<&Arc<str>>) {
        self.record.parts.push(Part {
            name,
            from: self.began.elapsed(),
            replica: replica.map(Arc::clone),
        });
    }

    /// Nobody wants to know of it after all.
    pub fn cancel(mut self: Box<Self>) {
        self.record.began = None;
    }

    /// Notes something.
    pub fn note(&mut self, name: &'static str, value: impl Into<Value>) {
        self.record.notes.push((name, value.into()));
    }

    /// Notes a field's value, where it is a text.
    pub fn note_field(&mut self, name: &'static str, field: Option<&HeaderValue>) {
        if let Some(text) = field.and_then(|field| field.to_str().ok()) {
            self.note(name, text);
        }
    }

    /// Notes what the client was told: a failure of the server's side is one of the span.
    pub fn answered(&mut self, status: StatusCode) {
        let number = i64::from(status.as_u16());
        self.note("http.response.status_code", Value::Number(number));
        if status.is_server_error() {
            self.failed(status.canonical_reason().unwrap_or("failed"));
        }
    }

    /// It failed, and that is why.
    pub const fn failed(&mut self, why: &'static str) {
        self.record.fault = Some(why);
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let mut record = std::mem::take(&mut self.record);
        if record.began.is_none() {
            return;
        }
        record.took = self.began.elapsed();
        self.tracer.finish(record);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one is held; what is in it would be whole all the same.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
