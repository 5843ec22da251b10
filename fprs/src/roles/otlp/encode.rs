//! PURE. Finished requests as OpenTelemetry's spans: one of the server's kind for each, and one inside it
//! for each of its parts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fprs_forward::trace::{Record, Value};
use fprs_proto::otlp::span::SpanKind;
use fprs_proto::otlp::status::StatusCode;
use fprs_proto::otlp::{
    AnyValue, ExportTraceServiceRequest, InstrumentationScope, KeyValue, Resource, ResourceSpans,
    ScopeSpans, Span, Status, any_value,
};

/// One message; each role is a service of its own.
pub(super) fn request(records: &[Record]) -> ExportTraceServiceRequest {
    let mut roles: Vec<&'static str> = records.iter().map(|record| record.role).collect();
    roles.sort_unstable();
    roles.dedup();
    let of = |role: &'static str| {
        let records = records.iter().filter(move |record| record.role == role);
        resource(role, records.flat_map(spans).collect())
    };
    ExportTraceServiceRequest {
        resource_spans: roles.into_iter().map(of).collect(),
    }
}

fn resource(role: &str, spans: Vec<Span>) -> ResourceSpans {
    let version = env!("CARGO_PKG_VERSION");
    let attributes = vec![
        text("service.name", format!("fprs-{role}")),
        text("service.version", version.to_owned()),
        number("process.pid", i64::from(std::process::id())),
    ];
    ResourceSpans {
        resource: Some(Resource { attributes }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "fprs".to_owned(),
                version: version.to_owned(),
            }),
            spans,
        }],
    }
}

fn spans(record: &Record) -> Vec<Span> {
    let began = record.began.unwrap_or(UNIX_EPOCH);
    let nanos = |after: Duration| unix_nanos(began + after);
    let context = record.context;
    let id = |span: u64| span.to_be_bytes().to_vec();
    let span = |name: &str, kind: SpanKind, from: Duration, to: Duration| Span {
        trace_id: context.trace().to_be_bytes().to_vec(),
        trace_state: record.state.clone().unwrap_or_default(),
        name: name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: nanos(from),
        end_time_unix_nano: nanos(to),
        flags: context.flags().into(),
        ..Span::default()
    };
    let mut spans = Vec::with_capacity(1 + record.parts.len());
    spans.push(Span {
        span_id: id(context.span()),
        parent_span_id: record.parent.map(id).unwrap_or_default(),
        attributes: record.notes.iter().map(attribute).collect(),
        status: record.fault.map(|why| Status {
            message: why.to_owned(),
            code: StatusCode::Error.into(),
        }),
        ..span(&record.name, SpanKind::Server, Duration::ZERO, record.took)
    });
    let ends = record.parts.iter().skip(1).map(|part| part.from);
    let ends = ends.chain([record.took]);
    spans.extend(record.parts.iter().zip(ends).map(|(part, end)| {
        Span {
            span_id: id(fastrand::u64(1..)),
            parent_span_id: id(context.span()),
            attributes: part
                .replica
                .iter()
                .map(|replica| text("fprs.replica", replica.to_string()))
                .collect(),
            ..span(part.name, SpanKind::Internal, part.from, end)
        }
    }));
    spans
}

fn attribute((key, value): &(&'static str, Value)) -> KeyValue {
    match value {
        Value::Number(value) => number(key, *value),
        Value::Text(value) => text(key, value.clone()),
    }
}

fn text(key: &str, value: String) -> KeyValue {
    with(key, any_value::Value::StringValue(value))
}

fn number(key: &str, value: i64) -> KeyValue {
    with(key, any_value::Value::IntValue(value))
}

fn with(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
    }
}

fn unix_nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use fprs_forward::trace::Part;

    use super::*;

    fn part(name: &'static str, from_ms: u64) -> Part {
        Part {
            name,
            from: Duration::from_millis(from_ms),
            replica: Some("web-1".into()),
        }
    }

    #[test]
    fn a_request_is_a_span_and_its_parts_follow_each_other_inside_it() {
        let record = Record {
            role: "proxy",
            name: "GET".to_owned(),
            parent: Some(7),
            began: Some(UNIX_EPOCH + Duration::from_secs(1)),
            took: Duration::from_millis(30),
            parts: vec![part("connect", 5), part("body", 20)],
            notes: vec![("http.response.status_code", Value::Number(502))],
            fault: Some("Bad Gateway"),
            ..Record::default()
        };
        let relay = Record {
            role: "relay",
            ..Record::default()
        };
        let request = request(&[record, relay]);
        assert_eq!(request.resource_spans.len(), 2);
        let spans = &request.resource_spans[0].scope_spans[0].spans;
        let times: Vec<_> = spans
            .iter()
            .map(|span| {
                (
                    &*span.name,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                )
            })
            .collect();
        let ms = |ms: u64| 1_000_000_000 + ms * 1_000_000;
        assert_eq!(
            times,
            [
                ("GET", ms(0), ms(30)),
                ("connect", ms(5), ms(20)),
                ("body", ms(20), ms(30)),
            ]
        );
        assert_eq!(spans[0].parent_span_id, 7u64.to_be_bytes());
        assert_eq!(spans[1].parent_span_id, spans[0].span_id);
        assert_ne!(spans[1].span_id, spans[2].span_id);
        let status = spans[0].status.clone().unwrap();
        assert_eq!(status.code, i32::from(StatusCode::Error));
    }
}
