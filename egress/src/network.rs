//! Links, addresses, routes and rules, as the kernel takes them. What this crate makes carries its own
//! route protocol, which is how it finds its things again after a crash; it touches nothing else.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use ipnet::Ipv4Net;
use nix::errno::Errno;
use rtnetlink::packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, CacheInfo};
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkInfo};
use rtnetlink::packet_route::route::{RouteProtocol, RouteType};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::packet_route::tc::{TcAttribute, TcHandle, TcMessage};
use rtnetlink::{
    AddressMessageBuilder, Handle, IpVersion, LinkUnspec, LinkWireguard, RouteMessageBuilder,
};

use crate::shaping::{self, Rate};

/// Marks what is ours; unassigned in the registry of route protocols.
const PROTOCOL: RouteProtocol = RouteProtocol::Other(97);
/// Priority of our rules: before the main table's 32766, after the local table's 0.
const RULE_PRIORITY: u32 = 5100;
/// Metric of the route that is there while no tunnel is.
const LAST_METRIC: u32 = 4096;
/// The whole internet.
pub const EVERYWHERE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);

/// The kernel's tables, by netlink.
#[derive(Clone, Debug)]
pub struct Network(Handle);

/// What the kernel refused.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// There is no netlink here.
    #[error("can't talk to the kernel's network: {0}")]
    Open(#[source] std::io::Error),
    /// There is no such interface.
    #[error("there is no interface `{0}`; look at `ip link`")]
    NoInterface(String),
    /// Something else.
    #[error("can't {what}: {error}")]
    Refused {
        /// What was asked for.
        what: String,
        /// What the kernel said.
        error: rtnetlink::Error,
    },
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Out of that interface.
    Device(u32),
    /// Nowhere: whoever sends gets an error. Only if there is nothing else.
    Blackhole,
    /// On to the next rule: this table does not say.
    Throw,
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum By {
    /// Packets with that source.
    Source(Ipv4Addr),
    /// Packets with that mark.
    Mark(u32),
}

/// One of our rules: such packets are looked up in that table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    /// Which packets.
    pub by: By,
    /// The table.
    pub table: u32,
}

impl std::fmt::Display for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source(from) => write!(f, "{from}"),
            Self::Mark(mark) => write!(f, "mark {mark:#x}"),
        }
    }
}

impl Network {
    /// The network of this process. Wants a tokio runtime.
    ///
    /// # Errors
    /// There is no netlink.
    pub fn open() -> Result<Self, NetworkError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(NetworkError::Open)?;
        // Ends with its last handle.
        tokio::spawn(connection);
        Ok(Self(handle))
    }

    /// The number of that interface.
    ///
    /// # Errors
    /// There is none of that name.
    pub async fn index(&self, name: &str) -> Result<u32, NetworkError> {
        let mut links = self.0.link().get().match_name(name.to_owned()).execute();
        match links.try_next().await {
            Ok(Some(link)) => Ok(link.header.index),
            _ => Err(NetworkError::NoInterface(name.to_owned())),
        }
    }

    /// Makes a WireGuard interface anew, in place of one that a process left behind; its number, or `None`: this
    /// kernel has no WireGuard.
    ///
    /// # Errors
    /// The kernel refuses, or something else has that name.
    pub async fn make_wireguard(&self, name: &str) -> Result<Option<u32>, NetworkError> {
        if let Some(left) = self.wireguard(name).await {
            self.remove_link(left).await?;
        }
        let link = LinkWireguard::new(name).build();
        match self.0.link().add(link).execute().await {
            Ok(()) => self.index(name).await.map(Some),
            Err(error) if is(&error, Errno::EOPNOTSUPP) => Ok(None),
            Err(error) => Err(refused(format!("make the tunnel `{name}`"), error)),
        }
    }

    /// The number of a WireGuard interface of that name.
    async fn wireguard(&self, name: &str) -> Option<u32> {
        let mut links = self.0.link().get().match_name(name.to_owned()).execute();
        let link = links.try_next().await.ok().flatten()?;
        let told = link
            .attributes
            .iter()
            .filter_map(|attribute| match attribute {
                LinkAttribute::LinkInfo(told) => Some(told),
                _ => None,
            });
        let kind = LinkInfo::Kind(InfoKind::Wireguard);
        told.flatten()
            .any(|told| *told == kind)
            .then_some(link.header.index)
    }

    /// Removes an interface; it need not be there.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn remove_link(&self, index: u32) -> Result<(), NetworkError> {
        let done = self.0.link().del(index).execute().await;
        done.or_else(absent)
            .map_err(|error| refused(format!("remove interface {index}"), error))
    }

    /// The bridge that this interface is a port of.
    ///
    /// # Errors
    /// There is no such interface.
    pub async fn bridge_of(&self, name: &str) -> Result<Option<String>, NetworkError> {
        let mut links = self.0.link().get().match_name(name.to_owned()).execute();
        let Ok(Some(link)) = links.try_next().await else {
            return Err(NetworkError::NoInterface(name.to_owned()));
        };
        let of = link
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::Controller(index) => Some(*index),
                _ => None,
            });
        let Some(of) = of else { return Ok(None) };
        let mut links = self.0.link().get().match_index(of).execute();
        let bridge = links.try_next().await.ok().flatten();
        let attributes = bridge.into_iter().flat_map(|link| link.attributes);
        let mut names = attributes.filter_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name),
            _ => None,
        });
        Ok(names.next())
    }

    /// Sets an interface's MTU and switches it on.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn up(&self, index: u32, mtu: u32) -> Result<(), NetworkError> {
        let link = LinkUnspec::new_with_index(index).mtu(mtu).up().build();
        let done = self.0.link().set(link).execute().await;
        done.map_err(|error| refused(format!("switch interface {index} on"), error))
    }

    /// Gives an interface an address, which the kernel takes away after `valid` unless it is given
    /// again.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn add_address(
        &self,
        index: u32,
        address: Ipv4Addr,
        valid: Option<Duration>,
    ) -> Result<(), NetworkError> {
        let mut request = self
            .0
            .address()
            .add(index, IpAddr::V4(address), 32)
            .replace();
        if let Some(valid) = valid {
            let seconds = u32::try_from(valid.as_secs()).unwrap_or(u32::MAX);
            let mut times = CacheInfo::default();
            times.ifa_valid = seconds;
            times.ifa_preferred = seconds;
            let attributes = &mut request.message_mut().attributes;
            attributes.push(AddressAttribute::CacheInfo(times));
        }
        let done = request.execute().await;
        done.map_err(|error| refused(format!("give interface {index} {address}"), error))
    }

    /// Takes an address away; it need not be there.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn remove_address(&self, index: u32, address: Ipv4Addr) -> Result<(), NetworkError> {
        let message = AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index)
            .address(address, 32)
            .build();
        let done = self.0.address().del(message).execute().await;
        done.or_else(absent)
            .map_err(|error| refused(format!("take {address} from interface {index}"), error))
    }

    /// Makes or replaces a route. The way nowhere comes after every other.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn route(&self, table: u32, to: Ipv4Net, way: Way) -> Result<(), NetworkError> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .table_id(table)
            .protocol(PROTOCOL)
            .destination_prefix(to.network(), to.prefix_len());
        let route = match way {
            Way::Device(index) => route.output_interface(index),
            Way::Blackhole => route.kind(RouteType::BlackHole).priority(LAST_METRIC),
            Way::Throw => route.kind(RouteType::Throw),
        };
        let done = self.0.route().add(route.build()).replace().execute().await;
        done.map_err(|error| refused(format!("route {to} in table {table}"), error))
    }

    /// Looks such packets up in that table.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn add_rule(&self, rule: Rule) -> Result<(), NetworkError> {
        let mut request = self.0.rule().add().v4();
        fill(request.message_mut(), rule);
        let done = request.execute().await;
        done.or_else(present)
            .map_err(|error| refused(format!("look {} up in {}", rule.by, rule.table), error))
    }

    /// Takes a rule away; it need not be there.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn remove_rule(&self, rule: Rule) -> Result<(), NetworkError> {
        let mut message = RuleMessage::default();
        message.header.family = rtnetlink::packet_route::AddressFamily::Inet;
        fill(&mut message, rule);
        let done = self.0.rule().del(message).execute().await;
        done.or_else(absent)
            .map_err(|error| refused(format!("forget the rule of {}", rule.by), error))
    }

    /// Our rules, as the kernel has them.
    ///
    /// # Errors
    /// The kernel does not say.
    pub async fn rules(&self) -> Result<Vec<Rule>, NetworkError> {
        let all = self.0.rule().get(IpVersion::V4).execute();
        let all: Vec<RuleMessage> = all
            .try_collect()
            .await
            .map_err(|error| refused("list the rules".to_owned(), error))?;
        Ok(all.iter().filter_map(ours).collect())
    }
}

/// A class of a queue, by its number, and its rate.
pub type Class = (u16, Rate);

impl Network {
    /// Shapes what leaves by an interface: each class at its rate; what has none is of class
    /// `default`, or not shaped if that is 0. Rates can be changed by shaping again.
    ///
    /// # Errors
    /// The kernel refuses: perhaps the interface has another queue already.
    pub async fn shape(
        &self,
        index: u32,
        default: u16,
        classes: &[Class],
    ) -> Result<(), NetworkError> {
        let what = || format!("shape what leaves by interface {index}");
        let root = TcHandle {
            major: shaping::QUEUE,
            minor: 0,
        };
        let queue = queueing(index, TcHandle::ROOT, root, shaping::queue(default));
        // A queue that is there can't be replaced, and need not be.
        self.ask(RouteNetlinkMessage::NewQueueDiscipline(queue), NLM_F_EXCL)
            .await
            .or_else(present)
            .map_err(|error| refused(what(), error))?;
        for (minor, rate) in classes {
            let handle = TcHandle {
                minor: *minor,
                ..root
            };
            let class = queueing(index, root, handle, shaping::class(*rate));
            self.ask(RouteNetlinkMessage::NewTrafficClass(class), NLM_F_REPLACE)
                .await
                .map_err(|error| refused(what(), error))?;
        }
        Ok(())
    }

    async fn ask(&self, message: RouteNetlinkMessage, flags: u16) -> Result<(), rtnetlink::Error> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | flags;
        let mut answers = self.0.clone().request(request)?;
        while let Some(answer) = answers.next().await {
            if let NetlinkPayload::Error(error) = answer.payload
                && error.raw_code() != 0
            {
                return Err(rtnetlink::Error::NetlinkError(error));
            }
        }
        Ok(())
    }
}

/// A queue or a class of HTB.
fn queueing(index: u32, parent: TcHandle, handle: TcHandle, options: Vec<u8>) -> TcMessage {
    const TCA_OPTIONS: u16 = 2;
    let mut message = TcMessage::default();
    message.header.index = index.cast_signed();
    message.header.parent = parent;
    message.header.handle = handle;
    message.attributes = vec![
        TcAttribute::Kind("htb".to_owned()),
        TcAttribute::Other(DefaultNla::new(TCA_OPTIONS, options)),
    ];
    message
}

fn fill(message: &mut RuleMessage, rule: Rule) {
    message.header.action = RuleAction::ToTable;
    match rule.by {
        By::Source(from) => {
            message.header.src_len = 32;
            let from = RuleAttribute::Source(IpAddr::V4(from));
            message.attributes.push(from);
        }
        By::Mark(mark) => {
            let mark = RuleAttribute::FwMark(mark);
            message.attributes.push(mark);
        }
    }
    message.attributes.extend([
        RuleAttribute::Table(rule.table),
        RuleAttribute::Priority(RULE_PRIORITY),
        RuleAttribute::Protocol(PROTOCOL),
    ]);
}

fn ours(message: &RuleMessage) -> Option<Rule> {
    let attributes = || message.attributes.iter();
    attributes().find(|attribute| **attribute == RuleAttribute::Protocol(PROTOCOL))?;
    let by = attributes().find_map(|attribute| match attribute {
        RuleAttribute::Source(IpAddr::V4(from)) => Some(By::Source(*from)),
        RuleAttribute::FwMark(mark) => Some(By::Mark(*mark)),
        _ => None,
    })?;
    let table = attributes().find_map(|attribute| match attribute {
        RuleAttribute::Table(table) => Some(*table),
        _ => None,
    })?;
    Some(Rule { by, table })
}

/// What is there already is as wanted.
fn present(error: rtnetlink::Error) -> Result<(), rtnetlink::Error> {
    told(error, Errno::EEXIST)
}

/// What is gone already is as wanted.
fn absent(error: rtnetlink::Error) -> Result<(), rtnetlink::Error> {
    told(error, Errno::EADDRNOTAVAIL)
        .or_else(|error| told(error, Errno::ENOENT))
        .or_else(|error| told(error, Errno::ENODEV))
}

fn told(error: rtnetlink::Error, errno: Errno) -> Result<(), rtnetlink::Error> {
    match is(&error, errno) {
        true => Ok(()),
        false => Err(error),
    }
}

fn is(error: &rtnetlink::Error, errno: Errno) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(said) if said.raw_code() == -(errno as i32))
}

const fn refused(what: String, error: rtnetlink::Error) -> NetworkError {
    NetworkError::Refused { what, error }
}
