//! PURE. Short words between reconcilers and gateways, and between gateways, in datagrams of one size
//! that only who knows the admin secret can make: an answer is never longer than what was asked.

use std::net::Ipv4Addr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use crate::credential::SecretHash;

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A leading reconciler to a gateway: what you own is yours for some time more. `value` is the nonce
    /// of the last answer that it heard: the time counts from when that was given.
    Renew,
    /// A reconciler that does not lead to a gateway: how long ago did a leader speak to you? In the answer
    /// `value` is that in milliseconds, and `term` is that leader's.
    Watch,
    /// A gateway that no reconciler renews to another: does one renew you? In the answer `value` is 1 if so.
    Led,
    /// A gateway to the others of a static IP: it is mine, in the epoch `value`. Answered once it is no
    /// longer held there.
    Yield,
}

/// One word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// What.
    pub kind: Kind,
    /// It is an answer.
    pub answer: bool,
    /// The static IP in question; unspecified where it is about all.
    pub static_ip: Ipv4Addr,
    /// Tells answers of different words apart.
    pub nonce: u64,
    /// The leader's term, as whoever speaks knows it.
    pub term: u64,
    /// See [`Kind`].
    pub value: u64,
}

/// Makes and knows words.
#[derive(Clone)]
pub struct Seal(hmac::Key);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    /// Of whoever knows that secret, or its hash.
    pub fn new(admin: &SecretHash) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, admin.bytes()))
    }

    /// The word as it is sent.
    pub fn encode(&self, word: Word) -> [u8; Word::BYTES] {
        let mut bytes = [0; Word::BYTES];
        let open = [
            b'f',
            b'p',
            word.kind.letter(),
            if word.answer { b'!' } else { b'?' },
        ]
        .into_iter()
        .chain(word.static_ip.octets())
        .chain(word.nonce.to_be_bytes())
        .chain(word.term.to_be_bytes())
        .chain(word.value.to_be_bytes());
        for (to, from) in bytes.iter_mut().zip(open) {
            *to = from;
        }
        if let Some((open, seal)) = bytes.split_at_mut_checked(Word::OPEN) {
            let made = hmac::sign(&self.0, open);
            for (to, from) in seal.iter_mut().zip(made.as_ref()) {
                *to = *from;
            }
        }
        bytes
    }

    /// The word that came; nothing if it is none, or not of who knows the secret.
    pub fn decode(&self, bytes: &[u8]) -> Option<Word> {
        if bytes.len() != Word::BYTES {
            return None;
        }
        let (open, seal) = bytes.split_at_checked(Word::OPEN)?;
        let (head, rest) = open.split_first_chunk::<4>()?;
        let (ip, rest) = rest.split_first_chunk::<4>()?;
        let (nonce, rest) = rest.split_first_chunk::<8>()?;
        let (term, rest) = rest.split_first_chunk::<8>()?;
        let (value, _) = rest.split_first_chunk::<8>()?;
        let [b'f', b'p', letter, mark @ (b'!' | b'?')] = *head else {
            return None;
        };
        let kind = Kind::of(letter)?;
        let made = hmac::sign(&self.0, open);
        verify_slices_are_equal(made.as_ref().get(..seal.len())?, seal).ok()?;
        Some(Word {
            kind,
            answer: mark == b'!',
            static_ip: Ipv4Addr::from(*ip),
            nonce: u64::from_be_bytes(*nonce),
            term: u64::from_be_bytes(*term),
            value: u64::from_be_bytes(*value),
        })
    }
}

impl Word {
    /// Bytes of a word.
    pub const BYTES: usize = Self::OPEN + 16;
    const OPEN: usize = 32;
}

impl Kind {
    const fn letter(self) -> u8 {
        match self {
            Self::Renew => b'r',
            Self::Watch => b'w',
            Self::Led => b'l',
            Self::Yield => b'y',
        }
    }

    fn of(letter: u8) -> Option<Self> {
        [Self::Renew, Self::Watch, Self::Led, Self::Yield]
            .into_iter()
            .find(|kind| kind.letter() == letter)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn word() -> impl Strategy<Value = Word> {
        let kind = prop_oneof![
            Just(Kind::Renew),
            Just(Kind::Watch),
            Just(Kind::Led),
            Just(Kind::Yield)
        ];
        let rest = (
            any::<bool>(),
            any::<u32>(),
            any::<u64>(),
            any::<u64>(),
            any::<u64>(),
        );
        (kind, rest).prop_map(|(kind, (answer, ip, nonce, term, value))| Word {
            kind,
            answer,
            static_ip: Ipv4Addr::from_bits(ip),
            nonce,
            term,
            value,
        })
    }

    proptest! {
        #[test]
        fn a_word_comes_as_it_was_said_to_whoever_knows_the_secret_alone(word in word()) {
            let seal = Seal::new(&SecretHash::of("secret"));
            let bytes = seal.encode(word);
            prop_assert_eq!(seal.decode(&bytes), Some(word));
            let other = Seal::new(&SecretHash::of("other"));
            prop_assert_eq!(other.decode(&bytes), None);
        }

        #[test]
        fn a_word_that_was_changed_is_none(word in word(), at in 0..Word::BYTES, bit in 0..8_u8) {
            let seal = Seal::new(&SecretHash::of("secret"));
            let mut bytes = seal.encode(word);
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(seal.decode(&bytes), None);
        }
    }
}
