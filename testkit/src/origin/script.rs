//! PURE. What an origin does with a request, as a value; and the paths that name such values, for
//! programs that can only be told by what they are asked.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use bytes::Bytes;

/// Longer than any test. An answer that waits notices the exchange's end over HTTP/2.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// What an origin does with one request.
#[derive(Clone, Debug)]
pub struct Script {
    /// How it takes the request's body.
    pub intake: Intake,
    /// When it begins to answer.
    pub answer: Answer,
    /// How long it then still waits.
    pub delay: Duration,
    /// 1xx responses sent first.
    pub informational: Vec<u16>,
    /// The status.
    pub status: u16,
    /// Headers beside the framing.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
    /// On HTTP/1.1: chunked although the length is known.
    pub chunked: bool,
    /// Trailers. On HTTP/1.1 only of a chunked body.
    pub trailers: Vec<(String, String)>,
    /// How it ends.
    pub fate: Fate,
}

impl End {
    fn by_query(query: &str) -> Self {
        if query.contains("how=reset") {
            Self::Reset
        } else {
            Self::Close
        }
    }
}

/// How an origin takes a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// As fast as it comes.
    Fast,
    /// Not one byte.
    Never,
    /// About this many bytes a second.
    Slow(u64),
}

/// When an origin begins to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Once it has the whole request.
    AfterBody,
    /// Once it has the head, whatever the body does.
    AtOnce,
}

/// What an origin answers.
#[derive(Clone, Debug)]
pub enum Body {
    /// These bytes.
    Bytes(Bytes),
    /// JSON: `bytes` of the request's body, and whether it `matches` the [`crate::Pattern`]. Only
    /// with [`Answer::AfterBody`].
    Count,
    /// The request's body, piece by piece as it comes, and its trailers. Takes it
    /// [`Intake::Fast`].
    Echo,
    /// Nothing more after the head: the response never ends.
    Hang,
    /// So many bytes of the [`crate::Pattern`].
    Pattern(u64),
    /// Server-sent events: `data: {"n":0,"at_us":…}` with the time of sending.
    Sse {
        /// How many.
        count: u64,
        /// The pause between two.
        every: Duration,
    },
}

/// How a response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The origin dies after this many bytes of body.
    AfterBytes(u64, End),
    /// The origin dies before it sent anything.
    BeforeHead(End),
    /// As it should.
    Clean,
}

/// How an origin dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The connection is closed (FIN).
    Close,
    /// The connection (HTTP/1.1) or the stream (h2) is reset.
    Reset,
}

impl Script {
    /// 200 with that text, once the request is whole.
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self {
            intake: Intake::Fast,
            answer: Answer::AfterBody,
            delay: Duration::ZERO,
            informational: Vec::new(),
            status: 200,
            headers: Vec::new(),
            body: Body::Bytes(text.into()),
            chunked: false,
            trailers: Vec::new(),
            fate: Fate::Clean,
        }
    }

    /// 200 with that body, at once.
    pub fn body(body: Body) -> Self {
        Self {
            body,
            answer: Answer::AtOnce,
            ..Self::text("")
        }
    }

    /// What a path asks for. Queries are `name=value`, durations in milliseconds, `how` is `close`
    /// (default) or `reset`.
    ///
    /// | path | does |
    /// |---|---|
    /// | `/bytes/N?chunked=1` | N bytes of the pattern |
    /// | `/continue` | 100 before it takes the body, then like `/count` |
    /// | `/count` | takes the body; JSON of its length and whether it is the pattern |
    /// | `/die/body?after=N&how=` | dies after N bytes of a longer body |
    /// | `/die/head?how=` | takes the request, dies without an answer |
    /// | `/early?status=S&ms=T` | answers after T, takes nothing of the body |
    /// | `/echo` | the body, piece by piece as it comes, and its trailers |
    /// | `/hang` | 200, then nothing, for ever |
    /// | `/hints` | 103, then 200 |
    /// | `/never` | takes nothing, answers never |
    /// | `/random` | a number that is another one each time |
    /// | `/sleep?ms=T` | 200 after T |
    /// | `/slow?bps=N` | like `/count`, taking N bytes a second |
    /// | `/sse?n=N&ms=T` | N events, T apart |
    /// | `/status/S` | that status |
    /// | `/trailers` | chunked, with trailer `x-check: done` |
    /// | anything else | 200, `hello` or the environment's `GREETING`, and `x-origin-pid` |
    pub fn by_path(target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let number = |name, default| query_value(query, name).unwrap_or(default);
        let millis = |name| Duration::from_millis(number(name, 0));
        let how = End::by_query(query);
        let tail = path.rsplit('/').next().and_then(|tail| tail.parse().ok());
        let known = Self::text("");
        match path {
            "/continue" => Self {
                informational: vec![100],
                body: Body::Count,
                ..known
            },
            "/count" => Self {
                body: Body::Count,
                ..known
            },
            "/die/body" => {
                let after = number("after", 0);
                Self {
                    fate: Fate::AfterBytes(after, how),
                    ..Self::body(Body::Pattern(after + (1 << 20)))
                }
            }
            "/die/head" => Self {
                fate: Fate::BeforeHead(how),
                ..known
            },
            "/early" => Self {
                status: u16::try_from(number("status", 413)).unwrap_or(413),
                intake: Intake::Never,
                delay: millis("ms"),
                ..Self::body(Body::Bytes("early".into()))
            },
            "/echo" => Self::body(Body::Echo),
            "/hang" => Self::body(Body::Hang),
            "/hints" => Self {
                informational: vec![103],
                ..known
            },
            "/never" => Self {
                intake: Intake::Never,
                answer: Answer::AtOnce,
                delay: NEVER,
                ..known
            },
            // Keyed anew each time.
            "/random" => Self::text(RandomState::new().hash_one(target).to_string()),
            "/sleep" => Self {
                delay: millis("ms"),
                ..known
            },
            "/slow" => Self {
                intake: Intake::Slow(number("bps", 1 << 20)),
                body: Body::Count,
                ..known
            },
            "/sse" => Self {
                headers: vec![("content-type".into(), "text/event-stream".into())],
                ..Self::body(Body::Sse {
                    count: number("n", 10),
                    every: millis("ms"),
                })
            },
            "/trailers" => Self {
                chunked: true,
                trailers: vec![("x-check".into(), "done".into())],
                ..Self::text("with trailers")
            },
            _ if path.starts_with("/bytes/") => Self {
                chunked: number("chunked", 0) > 0,
                ..Self::body(Body::Pattern(tail.unwrap_or(0)))
            },
            _ if path.starts_with("/status/") => Self {
                status: tail
                    .and_then(|tail| u16::try_from(tail).ok())
                    .unwrap_or(500),
                ..known
            },
            _ => Self::greeting(),
        }
    }

    fn greeting() -> Self {
        let text = std::env::var("GREETING").unwrap_or_else(|_| "hello".to_owned());
        Self {
            headers: vec![("x-origin-pid".into(), std::process::id().to_string())],
            ..Self::text(text)
        }
    }
}

fn query_value(query: &str, name: &str) -> Option<u64> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.parse().ok())
}
