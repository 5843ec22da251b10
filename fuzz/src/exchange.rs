//! The exchange engine between a client and a program that do whatever the bytes say, and that hold
//! the engine to the rules of their traits: what arrives is a prefix of what was sent, whole only if
//! it ended whole, and nobody is spoken to out of turn.

mod client;
mod program;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use fprs_forward::exchange::{self, End};
use fprs_forward::{Budget, Ledger, Observer, Owner, Rules, Sending, Verdict};
use http::{HeaderMap, Response};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

use client::Client;
use program::Program;

/// The first three bytes are the rules and where the client's script ends and the program's begins.
pub fn check(data: &[u8]) {
    let [rules, deadline, split, scripts @ ..] = data else {
        return;
    };
    let (client, program) = scripts.split_at(usize::from(*split).min(scripts.len()));
    let rules = Rules {
        head_timeout: (deadline & 3 == 1).then_some(Duration::ZERO),
        deadline: (deadline & 3 == 2).then_some(Duration::ZERO),
        grpc: rules & 1 != 0,
        announced: rules & 2 != 0,
        tunnel: rules & 4 != 0,
    };
    let mut client = Client::new(Script(client));
    let mut program = Program::new(Script(program));
    let outcome = CORE.with_borrow(|core| {
        // Timers are made with the exchange, inside the runtime.
        core.runtime.block_on(async {
            let sending = &mut Sending::once();
            let account = &mut core.ledger.account(&core.owner);
            exchange::run(
                &mut client,
                &mut program,
                &mut Nobody,
                rules,
                sending,
                account,
            )
            .await
        })
    });

    assert_eq!(outcome.sent, client.received, "{outcome:?}");
    assert_eq!(outcome.received, program.received, "{outcome:?}");
    assert!(client.received <= program.sent && program.received <= client.sent);
    assert!(client.consumed <= client.sent && program.consumed <= program.sent);
    assert_eq!(outcome.status.is_some(), client.head, "{outcome:?}");
    let told = client.grpc_status && rules.grpc;
    match outcome.end {
        End::Complete => {
            assert!(client.ended && !client.aborted, "{outcome:?}");
            assert!(program.ended_whole || client.closed_by_us, "{outcome:?}");
            assert!(
                client.received == program.sent || client.closed_by_us,
                "{outcome:?}"
            );
        }
        End::Shed => panic!("nothing is short of memory: {outcome:?}"),
        End::Client(_) => assert!(client.aborted || outcome.status.is_none(), "{outcome:?}"),
        End::Upstream(_) => {
            assert!(
                client.aborted || told || outcome.status.is_none(),
                "{outcome:?}"
            );
            assert!(!client.ended || client.aborted || told, "{outcome:?}");
        }
    }
    assert!(
        !program.ended_by_us || client.body_ended,
        "an end that never was"
    );
}

/// What one side does next, a byte a decision; at the end it does what lets the exchange end.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
}

/// Content that says where in the body it belongs.
fn content(at: u64, length: usize) -> Bytes {
    (at..).take(length).map(|at| (at % 251) as u8).collect()
}

fn trailers() -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert("x-sum", "1".parse().expect("a value"));
    fields.insert("x-fprs-lie", "1".parse().expect("a value"));
    fields
}

struct Nobody;

impl Observer for Nobody {
    fn head(&mut self, _: &mut Response<()>) -> Verdict {
        Verdict::Pass
    }
}

/// What a core's exchanges share.
struct Core {
    runtime: LocalRuntime,
    ledger: Rc<Ledger>,
    owner: Owner,
}

thread_local! {
    static CORE: RefCell<Core> = RefCell::new(Core {
        runtime: Builder::new_current_thread()
            .enable_time()
            .build_local(LocalOptions::default())
            .expect("a runtime"),
        ledger: Ledger::new(&Budget::new(usize::MAX)),
        owner: Owner::server(&"fuzzed".into()),
    });
}
