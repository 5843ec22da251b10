//! One look at every gateway: probes ask who owns what, and words say in every third of it that the
//! leader is there, or ask whether it is. What is asked is answered within the look or not at all. A
//! reconciler that leads all at once acts at once, on what the look before found.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::Reconciler;
use super::leader::{Following, Term};
use crate::limits;
use crate::ownership::GatewayName;
use crate::wire::Probe;
use crate::word::{Kind, Word};

/// What a look found: each static IP at each gateway that answered, with the epoch in which it owns it.
pub(super) type Said = BTreeMap<(GatewayName, Ipv4Addr), u64>;

/// What came back.
#[derive(Default)]
struct Found {
    said: Said,
    /// Gateways that have heard this reconciler in this beat.
    heard: Vec<GatewayName>,
    /// The leader's term and for how many milliseconds it is silent, as each gateway said in this beat.
    silent: BTreeMap<GatewayName, (u64, u64)>,
    /// The newest term that they know.
    newest: u64,
}

impl Reconciler {
    /// Asks every gateway about every static IP of it, and waits for one look's time. The leader renews
    /// what they own, too.
    pub(super) async fn look(&mut self, before: &Said) -> Said {
        let mut term = self.term();
        let nonce = fastrand::u64(..);
        let nodes = self.pools.gateways.iter();
        let by_node: BTreeMap<Ipv4Addr, GatewayName> = nodes
            .map(|(name, gateway)| (gateway.node, Arc::clone(name)))
            .collect();
        self.ask(nonce).await;
        let mut found = Found::default();
        for _ in 0..limits::BEATS {
            self.say(term, nonce).await;
            let leads = leads(self.following.as_ref(), term.is_some(), self.newest);
            let beat =
                tokio::time::timeout(limits::BEAT, self.collect(nonce, &by_node, &mut found));
            let leads = tokio::select! {
                _ = beat => false,
                () = leads => true,
            };
            let heard = std::mem::take(&mut found.heard);
            self.heard
                .extend(heard.into_iter().map(|name| (name, nonce)));
            self.watch(&std::mem::take(&mut found.silent));
            if leads {
                term = self.term();
                self.act(before);
            }
        }
        self.newest = self.newest.max(found.newest);
        if !by_node.is_empty() {
            self.looked = self.looked.saturating_add(1);
        }
        for name in by_node.into_values() {
            let answered = found.said.keys().any(|(gateway, _)| *gateway == name);
            self.health.entry(name).or_default().looked(answered);
        }
        found.said
    }

    async fn ask(&self, nonce: u64) {
        for (name, gateway) in &self.pools.gateways {
            let own = self.pools.addresses.iter();
            for address in own.filter(|address| address.gateways.contains(name)) {
                let probe = Probe {
                    nonce,
                    static_ip: address.ip,
                    epoch: 0,
                    answer: false,
                };
                let to = (gateway.node, limits::PROBE_PORT);
                // One that can't be sent is one that is not answered.
                self.socket.send_to(&probe.encode(), to).await.ok();
            }
        }
    }

    /// The leader's word, or that of one that waits.
    async fn say(&self, term: Option<Term>, nonce: u64) {
        for (name, gateway) in &self.pools.gateways {
            let heard = self.heard.get(name).copied().unwrap_or(0);
            let (kind, term, value) = match term {
                Some(term) => (Kind::Renew, term.number, heard),
                None => (Kind::Watch, 0, 0),
            };
            let word = Word {
                kind,
                answer: false,
                static_ip: Ipv4Addr::UNSPECIFIED,
                nonce,
                term,
                value,
            };
            let to = (gateway.node, limits::PROBE_PORT);
            self.socket.send_to(&self.seal.encode(word), to).await.ok();
        }
    }

    /// Never ends by itself.
    async fn collect(
        &self,
        nonce: u64,
        by_node: &BTreeMap<Ipv4Addr, GatewayName>,
        found: &mut Found,
    ) {
        let mut buffer = [0; Word::BYTES + 1];
        loop {
            let Ok((length, SocketAddr::V4(from))) = self.socket.recv_from(&mut buffer).await
            else {
                tokio::task::yield_now().await;
                continue;
            };
            let datagram = buffer.get(..length).unwrap_or_default();
            let Some(name) = by_node.get(from.ip()) else {
                continue;
            };
            if let Some(word) = self.seal.decode(datagram) {
                if word.answer && word.nonce == nonce {
                    found.take(name, word);
                }
                continue;
            }
            let probe = Probe::decode(datagram);
            let probe = probe.filter(|probe| probe.answer && probe.nonce == nonce);
            if let Some(probe) = probe {
                let key = (Arc::clone(name), probe.static_ip);
                found.said.insert(key, probe.epoch);
            }
        }
    }

    /// Has the leader relieved that no gateway hears, where gateways are what keeps it from doing harm.
    fn watch(&mut self, silent: &BTreeMap<GatewayName, (u64, u64)>) {
        let Some(following) = self.following.as_ref() else {
            return;
        };
        let leased = following.leased();
        if !leader_is_silent(leased, silent) || self.settings.fence.waits() {
            self.silent = 0;
            return;
        }
        self.silent = self.silent.saturating_add(1);
        if let Some(term) = leased.filter(|_| self.silent >= limits::SILENT_BEATS) {
            following.silent(term);
        }
    }
}

/// Every gateway that answered knows the leader of that term, and has not heard it lately.
fn leader_is_silent(leased: Option<u64>, said: &BTreeMap<GatewayName, (u64, u64)>) -> bool {
    let most = u64::try_from(limits::LEADER_SILENT.as_millis()).unwrap_or(u64::MAX);
    let silent = |(term, silent): &(u64, u64)| leased == Some(*term) && *silent >= most;
    !said.is_empty() && said.values().all(silent)
}

impl Found {
    fn take(&mut self, name: &GatewayName, word: Word) {
        match word.kind {
            Kind::Renew => self.newest = self.newest.max(word.term),
            Kind::Watch => {
                let silent = (word.term, word.value);
                self.silent.insert(Arc::clone(name), silent);
            }
            Kind::Led | Kind::Yield => return,
        }
        self.heard.push(Arc::clone(name));
    }
}

/// Waits until this reconciler leads; for ever if it does or there is no lease.
async fn leads(following: Option<&Following>, already: bool, newest: u64) {
    match following {
        Some(following) if !already => following.leads(newest).await,
        _ => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_is_silent_when_every_gateway_that_answers_says_so_of_its_term() {
        let said = |all: &[(&str, u64, u64)]| {
            let all = all.iter();
            let all = all.map(|(name, term, silent)| (GatewayName::from(*name), (*term, *silent)));
            all.collect()
        };
        for (silent, all) in [
            (true, said(&[("g1", 7, 125)])),
            (true, said(&[("g1", 7, 300), ("g2", 7, 140)])),
            // One hears it.
            (false, said(&[("g1", 7, 300), ("g2", 7, 20)])),
            // That was the one before.
            (false, said(&[("g1", 6, 300)])),
            (false, said(&[("g1", 8, 300)])),
            // Nobody says anything.
            (false, said(&[])),
        ] {
            assert_eq!(leader_is_silent(Some(7), &all), silent, "{all:?}");
        }
        assert!(!leader_is_silent(None, &said(&[("g1", 7, 300)])));
    }
}
