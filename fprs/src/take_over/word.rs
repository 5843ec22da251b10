//! PURE. What is said in a take-over: one JSON object a line. The first line of either side can be
//! understood by every version there will be.

use serde::{Deserialize, Serialize};

/// Changes whenever one side would misunderstand the other.
pub(super) const PROTOCOL: u32 = 1;

/// A longer line is no word of ours.
pub(super) const LINE_BYTES: usize = 4096;

/// Descriptors of an offer: lock, socket, data listener, admin listener, in this order.
pub(super) const DESCRIPTORS: usize = 4;

/// The newcomer's first word.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Hello {
    /// What it speaks.
    pub(super) protocol: u32,
    /// Its process.
    pub(super) pid: u32,
}

/// What the running proxy says.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FromOld {
    /// Comes with the descriptors.
    Offer,
    /// The newcomer goes away; why, for its user.
    Refused(String),
    /// It has stopped accepting.
    Yours,
}

/// What the newcomer says after its hello.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FromNew {
    /// It accepts connections and is ready for them.
    Serving,
}

impl Hello {
    /// Why the running proxy can't talk to that newcomer.
    pub(super) fn refusal(&self) -> Option<String> {
        (self.protocol != PROTOCOL).then(|| {
            format!(
                "it speaks version {PROTOCOL} of the take-over protocol, this binary version {}; stop \
                 it, then start this one",
                self.protocol
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_refused_and_both_are_named() {
        let hello = |protocol| Hello { protocol, pid: 1 };
        assert_eq!(hello(PROTOCOL).refusal(), None);
        let refusal = hello(7).refusal().unwrap();
        assert!(refusal.contains("version 1") && refusal.contains("version 7"));
    }

    #[test]
    fn first_words_stay_as_they_are_for_ever() {
        let hello: Hello = serde_json::from_str(r#"{"protocol":2,"pid":7,"build":"1.4"}"#).unwrap();
        assert_eq!(
            hello,
            Hello {
                protocol: 2,
                pid: 7
            }
        );
        let refused: FromOld = serde_json::from_str(r#"{"refused":"why"}"#).unwrap();
        assert_eq!(refused, FromOld::Refused("why".to_owned()));
    }
}
