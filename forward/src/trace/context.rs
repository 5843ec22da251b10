//! PURE. Where a request is in a trace: W3C Trace Context, `traceparent` and `tracestate`. What is
//! malformed is no context, and a malformed `tracestate` is no state.

use std::fmt;

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The field with the trace, the span that asks, and whether it is sampled.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What systems on the way told each other.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A span of a trace, as whoever comes next is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    trace: u128,
    span: u64,
    flags: u8,
}

/// A field that is there and says nothing that could be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The trace is recorded.
const SAMPLED: u8 = 1;
/// The flags of version 00 that pass on: sampled, and that the trace's id is random.
const KNOWN: u8 = 0b11;
/// Bytes of `traceparent` in version 00.
const LENGTH: usize = 55;
/// Members of `tracestate` that may be there.
const MEMBERS: usize = 32;
/// Bytes of a member's key and of its value.
const MEMBER_BYTES: usize = 256;

impl Context {
    /// The first span of a trace. Neither number is 0.
    pub(super) const fn root(trace: u128, span: u64, sampled: bool) -> Self {
        Self {
            trace,
            span,
            flags: if sampled { SAMPLED } else { 0 },
        }
    }

    /// What a request came with; `None`: nothing.
    pub fn of(fields: &HeaderMap) -> Option<Result<Self, Malformed>> {
        let mut all = fields.get_all(TRACEPARENT).iter();
        let first = all.next()?;
        Some(match all.next() {
            None => Self::parse(first.as_bytes()).ok_or(Malformed),
            Some(_) => Err(Malformed),
        })
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut rest = text;
        let version = hex(&mut rest, 2)?;
        let context = Self {
            trace: after_dash(&mut rest, 32)?,
            span: u64::try_from(after_dash(&mut rest, 16)?).ok()?,
            flags: u8::try_from(after_dash(&mut rest, 2)?).ok()?,
        };
        // Versions to come may add to the end; 255 never is one.
        let whole = match version {
            0 => text.len() == LENGTH,
            0xff => false,
            _ => rest.first().is_none_or(|byte| *byte == b'-'),
        };
        (whole && context.trace != 0 && context.span != 0).then_some(context)
    }

    /// The trace.
    pub const fn trace(self) -> u128 {
        self.trace
    }

    /// The span in it.
    pub const fn span(self) -> u64 {
        self.span
    }

    /// The flags that pass on.
    pub const fn flags(self) -> u8 {
        self.flags & KNOWN
    }

    /// The trace is recorded.
    pub const fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Another span of the same trace. It is not 0.
    pub(super) const fn next(self, span: u64) -> Self {
        Self { span, ..self }
    }

    /// As a field's value.
    pub(super) fn field(self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.to_string()).ok()
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace,
            self.span,
            self.flags()
        )
    }
}

fn after_dash(rest: &mut &[u8], digits: usize) -> Option<u128> {
    *rest = rest.strip_prefix(b"-")?;
    hex(rest, digits)
}

/// So many digits in lower case, taken off the front.
fn hex(rest: &mut &[u8], digits: usize) -> Option<u128> {
    let (taken, after) = rest.split_at_checked(digits)?;
    *rest = after;
    taken.iter().try_fold(0, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

/// Whether `tracestate` can be passed on; where there is none, nothing is wrong with it.
pub(super) fn is_state(fields: &HeaderMap) -> bool {
    let mut keys: Vec<&[u8]> = Vec::new();
    for value in fields.get_all(TRACESTATE) {
        for member in value.as_bytes().split(|byte| *byte == b',') {
            let member = member.trim_ascii();
            if member.is_empty() {
                continue;
            }
            let Some(key) = key_of(member) else {
                return false;
            };
            if keys.contains(&key) || keys.len() == MEMBERS {
                return false;
            }
            keys.push(key);
        }
    }
    true
}

/// The key of a member that is one.
fn key_of(member: &[u8]) -> Option<&[u8]> {
    let at = member.iter().position(|byte| *byte == b'=')?;
    let (key, value) = member.split_at_checked(at)?;
    let value = value.get(1..)?;
    let first = key.first()?;
    let key_is_one = (first.is_ascii_lowercase() || first.is_ascii_digit())
        && key.iter().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(byte)
        });
    let value_is_one = value
        .iter()
        .all(|byte| (b' '..=b'~').contains(byte) && *byte != b'=');
    let short = key.len() <= MEMBER_BYTES && !value.is_empty() && value.len() <= MEMBER_BYTES;
    (key_is_one && value_is_one && short).then_some(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(values: &[&str]) -> Option<Result<Context, Malformed>> {
        let mut fields = HeaderMap::new();
        for value in values {
            fields.append(TRACEPARENT, value.parse().unwrap());
        }
        Context::of(&fields)
    }

    #[test]
    fn a_context_is_read_and_written_as_it_came() {
        let context = of(&[GOOD]).unwrap().unwrap();
        assert_eq!(context.trace(), 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(context.span(), 0xb7ad_6b71_6920_3331);
        assert!(context.is_sampled());
        assert_eq!(context.to_string(), GOOD);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let trace = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
        for later in [
            format!("cc-{trace}-01"),
            format!("cc-{trace}-01-more"),
            format!("01-{trace}-f9"),
        ] {
            let context = of(&[&later]).unwrap().unwrap();
            assert_eq!(context.to_string(), GOOD, "{later}");
        }
    }

    #[test]
    fn what_is_malformed_is_no_context() {
        let [trace, span] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];
        let table = [
            String::new(),
            "00".to_owned(),
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{span}-"),
            format!("00-{trace}-{span}-1"),
            format!("00-{trace}-{span}-01-more"),
            format!("00-{trace}-{span}-01 "),
            format!("ff-{trace}-{span}-01"),
            format!("cc-{trace}-{span}-01.more"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00_{trace}_{span}_01"),
            format!("00-{}-{span}-01", "g".repeat(32)),
        ];
        for wrong in table {
            assert_eq!(of(&[&wrong]), Some(Err(Malformed)), "{wrong:?}");
        }
        assert_eq!(of(&[GOOD, GOOD]), Some(Err(Malformed)));
    }

    #[test]
    fn a_state_is_kept_when_it_is_one() {
        let long = format!("a={}", "x".repeat(257));
        let many = (0..33).map(|n| format!("k{n}=v")).collect::<Vec<_>>();
        let table = [
            ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", true),
            ("rojo=1, ,congo=a b", true),
            ("1a-2f@foo=bar1", true),
            ("", true),
            ("rojo", false),
            ("rojo=", false),
            ("Rojo=1", false),
            ("rojo=1,rojo=2", false),
            ("rojo=1=2", false),
            (&*long, false),
            (&*many.join(","), false),
        ];
        for (state, good) in table {
            let mut fields = HeaderMap::new();
            fields.append(TRACESTATE, state.parse().unwrap());
            assert_eq!(is_state(&fields), good, "{state}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_as_it_is_written_or_not_at_all(
            text in "[0-9a-f-]{50,60}|[ -~]{0,70}", trace in 1u128.., span in 1u64.., sampled: bool,
        ) {
            if let Some(Ok(context)) = of(&[&text]) {
                let written = context.to_string();
                prop_assert_eq!(written.get(3..52), text.get(3..52));
            }
            let written = Context::root(trace, span, sampled);
            prop_assert_eq!(of(&[&written.to_string()]), Some(Ok(written)));
        }
    }
}
