//! PURE. By which of its tunnels an agent sends. A tunnel is dead after three lost probes, whatever
//! its gateway says; among living ones the owner of the static IP wins, since what remotes answer
//! goes to it. One route is replaced at a time, and a tunnel that was dead has to prove itself first,
//! unless it is the only one.

use std::time::Duration;

use crate::limits;

/// Which tunnel, in the order of the settings.
pub type Tunnel = usize;

/// What one look at a tunnel found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Something came out of it since the last look.
    pub received: bool,
    /// A probe that was sent at the last look is still without an answer.
    pub unanswered: bool,
    /// The answer to a probe: the epoch in which its gateway owns the static IP, 0 if it does not.
    pub owner_epoch: Option<u64>,
}

/// What to do after a look at all tunnels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Send a probe through these.
    pub probe: Vec<Tunnel>,
    /// Put the default route there.
    pub route: Option<Tunnel>,
    /// These are dead since this look: connect them anew.
    pub died: Vec<Tunnel>,
}

/// What an agent remembers of its tunnels.
#[derive(Clone, Debug)]
pub struct Failover {
    tunnels: Vec<State>,
    active: Option<Tunnel>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    lost: u32,
    /// Good looks in a row, while it is dead.
    back: u32,
    alive: bool,
    /// Dead ones that never lived need not prove themselves.
    lived: bool,
    epoch: u64,
    asked: Duration,
}

impl Failover {
    /// So many tunnels, none of which lives yet.
    pub fn new(tunnels: usize) -> Self {
        let state = State {
            lost: 0,
            back: 0,
            alive: false,
            lived: false,
            epoch: 0,
            asked: Duration::ZERO,
        };
        Self {
            tunnels: vec![state; tunnels],
            active: None,
        }
    }

    /// By which tunnel the agent sends.
    pub const fn active(&self) -> Option<Tunnel> {
        self.active
    }

    /// Whether the tunnel that the agent sends by lives, and its gateway owns the static IP.
    pub fn held(&self) -> bool {
        let active = self.active.and_then(|active| self.tunnels.get(active));
        active.is_some_and(|state| state.alive && state.epoch != 0)
    }

    /// Whether that tunnel lives.
    pub fn alive(&self, tunnel: Tunnel) -> bool {
        self.tunnels.get(tunnel).is_some_and(|state| state.alive)
    }

    /// Whether that tunnel is dead, and shows no sign of life either.
    pub fn silent(&self, tunnel: Tunnel) -> bool {
        let state = self.tunnels.get(tunnel);
        state.is_some_and(|state| !state.alive && state.back == 0)
    }

    /// Decides after a look at every tunnel. `now` is the time since the agent began.
    pub fn look(&mut self, looks: &[Look], now: Duration) -> Step {
        let mut step = Step::default();
        for (tunnel, (state, look)) in self.tunnels.iter_mut().zip(looks).enumerate() {
            if state.learn(*look) {
                step.died.push(tunnel);
            }
        }
        step.route = self.choose();
        for (tunnel, state) in self.tunnels.iter_mut().enumerate() {
            let matters = self.active == Some(tunnel) || !state.alive || state.lost > 0;
            let due = now.saturating_sub(state.asked) >= limits::OWNERSHIP_EVERY;
            if matters || due {
                state.asked = now;
                step.probe.push(tunnel);
            }
        }
        self.check();
        step
    }

    /// The tunnel to change to, if there is a better one than the active.
    fn choose(&mut self) -> Option<Tunnel> {
        let any = self.tunnels.iter().any(|state| state.alive);
        let best = self
            .tunnels
            .iter()
            .enumerate()
            // One that is still proving itself is better than none.
            .filter(|(_, state)| state.alive || (!any && state.back > 0))
            // The owner, and then the one that is active, and then the first.
            .max_by_key(|(tunnel, state)| {
                let active = self.active == Some(*tunnel);
                (state.epoch, active, std::cmp::Reverse(*tunnel))
            })
            .map(|(tunnel, _)| tunnel)?;
        // With none alive the route stays: packets are lost in the tunnel, and never leave elsewhere.
        (self.active != Some(best)).then(|| {
            self.active = Some(best);
            best
        })
    }

    fn check(&self) {
        debug_assert!(self.active.is_none_or(|active| active < self.tunnels.len()));
        debug_assert!(self.tunnels.iter().all(|state| state.lived || !state.alive));
    }
}

impl State {
    /// Whether the tunnel died by this look.
    fn learn(&mut self, look: Look) -> bool {
        if let Some(epoch) = look.owner_epoch {
            self.epoch = epoch;
        }
        if look.received || look.owner_epoch.is_some() {
            self.lost = 0;
            self.back += 1;
            // Traffic alone is no proof: what a half dead gateway still sends is traffic too.
            let proven = !self.lived || self.back >= limits::PROBES_BACK;
            if !self.alive && proven && look.owner_epoch.is_some() {
                self.alive = true;
                self.lived = true;
            }
            return false;
        }
        if !look.unanswered {
            return false;
        }
        self.lost += 1;
        self.back = 0;
        let dies = self.alive && self.lost >= limits::PROBES_LOST;
        if dies {
            self.alive = false;
            // What it owned when it died it need not own when it is back.
            self.epoch = 0;
        }
        dies
    }
}

#[cfg(test)]
mod tests;
