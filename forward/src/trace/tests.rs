use super::*;

const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

fn fields(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, value.parse().unwrap())
        })
        .collect()
}

fn context(fields: &HeaderMap) -> Context {
    Context::of(fields).unwrap().unwrap()
}

#[test]
fn whoever_asks_decides_and_nobody_else() {
    let (all, none) = (Traces::new(1.0), Traces::new(0.0));
    let mut asked = fields(&[("traceparent", SAMPLED), ("tracestate", "a=1")]);
    drop(Tracer::new(&none, "proxy").begin(&mut asked).unwrap());
    let (came, told) = (Context::parse_text(SAMPLED), context(&asked));
    assert_eq!(told.trace(), came.trace());
    assert_ne!(told.span(), came.span());
    assert!(told.is_sampled());
    assert_eq!(asked[TRACESTATE], "a=1");
    let [record] = <[Record; 1]>::try_from(none.take()).unwrap();
    assert_eq!(record.parent, Some(came.span()));
    assert_eq!(record.context, told);
    assert_eq!(record.state.as_deref(), Some("a=1"));

    let mut asked = fields(&[("traceparent", UNSAMPLED), ("tracestate", "a=1")]);
    assert!(Tracer::new(&all, "proxy").begin(&mut asked).is_none());
    assert_eq!(asked[TRACEPARENT], UNSAMPLED);
    assert_eq!(asked[TRACESTATE], "a=1");
    assert_eq!(all.take().len(), 0);
}

#[test]
fn a_malformed_context_is_replaced_where_traces_begin_and_removed_elsewhere() {
    let traces = Traces::new(1.0);
    let tracer = Tracer::new(&traces, "proxy");
    let wrong = [("traceparent", "00-0-0-01"), ("tracestate", "a=1")];
    let mut asked = fields(&wrong);
    let span = tracer.begin(&mut asked).unwrap();
    assert_eq!(span.record.parent, None);
    assert_eq!(context(&asked), span.record.context);
    assert!(!asked.contains_key(TRACESTATE));
    let mut asked = fields(&wrong);
    assert!(tracer.follow(&mut asked).is_none());
    assert_eq!(asked.len(), 0);
    let mut asked = fields(&[("traceparent", SAMPLED), ("tracestate", "A=1")]);
    assert!(tracer.follow(&mut asked).is_some());
    assert!(!asked.contains_key(TRACESTATE));
}

#[test]
fn of_traces_that_begin_here_the_share_is_sampled_and_all_are_told_of() {
    let (traces, mut sampled) = (Traces::new(0.25), 0);
    let tracer = Tracer::new(&traces, "proxy");
    for _ in 0..10_000 {
        let mut asked = HeaderMap::new();
        let span = tracer.begin(&mut asked);
        assert_eq!(context(&asked).is_sampled(), span.is_some());
        sampled += u32::from(span.is_some());
        traces.take();
    }
    // Five times the deviation of 43.
    assert!((2_280..2_720).contains(&sampled), "{sampled}");
}

#[test]
fn what_there_is_no_room_for_is_counted_and_nobody_waits() {
    let traces = Traces::new(1.0);
    let tracer = Tracer::new(&traces, "proxy");
    for _ in 0..ROOM + 3 {
        let mut span = tracer.begin(&mut HeaderMap::new()).unwrap();
        span.part("admission");
    }
    assert_eq!(traces.dropped(), 6);
    assert_eq!(traces.take().len(), ROOM);
    drop(tracer.begin(&mut HeaderMap::new()));
    tracer.begin(&mut HeaderMap::new()).unwrap().cancel();
    assert_eq!(traces.take().len(), 1);
}

impl Context {
    fn parse_text(text: &str) -> Self {
        context(&fields(&[("traceparent", text)]))
    }
}
