//! The named packets and what must become of them.

mod ethernet;
mod flags;
mod flows;
mod follower;
mod fragments;
mod handshakes;
mod ipv4;
mod ipv6;
mod jumbo;
mod lengths;
mod listeners;
mod ports;
mod sockets;

use std::net::SocketAddr;

use ftpfw_common::reason::Reason;
use ftpfw_tests::packets::{ETHERNET, IPV4, IPV6, tcp};

use crate::{
    setup::Setup,
    world::{CLOSED, EXPIRED, Side, TUPLE, World},
};

/// A packet and its verdict.
#[derive(Clone, Debug)]
pub struct Case {
    pub theme: &'static str,
    /// `v4` or `v6`; empty for what is neither.
    pub family: &'static str,
    pub name: String,
    pub frame: Vec<u8>,
    pub reason: Reason,
    /// Why `guard` drops what its filter lets through.
    pub follower: Option<Reason>,
}

impl Case {
    pub fn title(&self) -> String {
        let Self {
            theme,
            family,
            name,
            ..
        } = self;
        format!("{theme}: {family} {name}")
    }

    /// What a program counts for it, the last one being what becomes of it.
    pub fn reasons(&self, follows: bool) -> Vec<Reason> {
        let follower = self.follower.filter(|_| follows);
        [self.reason].into_iter().chain(follower).collect()
    }
}

/// A theme: its name, and what it adds to the table of one family.
type Theme = (&'static str, fn(&mut Table<'_>));

const THEMES: &[Theme] = &[
    ("ethernet", |it| it.ethernet()),
    ("lengths", |it| it.lengths()),
    ("ipv4", |it| it.ipv4()),
    ("ipv6", |it| it.ipv6()),
    ("fragments", |it| it.fragments()),
    ("flags", |it| it.flags()),
    ("ports", |it| it.ports()),
    ("sockets", |it| it.sockets()),
    ("flows", |it| it.flows()),
    ("handshakes", |it| it.handshakes()),
    ("listeners", |it| it.listeners()),
    ("jumbo", |it| it.jumbo()),
    (FOLLOWER, |it| it.follower()),
];

/// The theme whose packets make a session, which all that come after them meet.
pub const FOLLOWER: &str = "follower";

/// All cases of a setup, in an order: an admitted SYN is remembered, so each packet of a connection of
/// its own comes from another port.
pub fn cases(world: &World, setup: Setup) -> Vec<Case> {
    let themes: &[Theme] = match setup {
        Setup::Defaults => THEMES,
        Setup::UdpPass => &[("udp pass", |it| it.udp_pass())],
        Setup::ClaimOnSyn => &[("claim on SYN", |it| it.claim_on_syn())],
        Setup::PassiveRange => &[("passive range", |it| it.passive_range())],
    };
    let mut cases = Vec::new();
    if setup == Setup::Defaults {
        cases.append(&mut ethernet::no_ip());
    }
    for side in &world.sides {
        let mut table = Table {
            world,
            side,
            theme: "",
            port: 20_000,
            cases: Vec::new(),
        };
        for (theme, add) in themes {
            table.theme = theme;
            add(&mut table);
        }
        cases.append(&mut table.cases);
    }
    cases
}

struct Table<'a> {
    world: &'a World,
    side: &'a Side,
    theme: &'static str,
    port: u16,
    cases: Vec<Case>,
}

/// A port and what becomes of a SYN to it: what the headers before it may not change.
const PORTS: [(u16, Reason); 4] = [
    (80, Reason::Unprotected),
    (CLOSED, Reason::NotArmed),
    (EXPIRED, Reason::Expired),
    (TUPLE, Reason::Tuple),
];

impl Table<'_> {
    fn add(&mut self, name: &str, frame: Vec<u8>, reason: Reason) {
        self.add_followed(name, frame, reason, None);
    }

    fn add_followed(
        &mut self,
        name: &str,
        frame: Vec<u8>,
        reason: Reason,
        follower: Option<Reason>,
    ) {
        self.cases.push(Case {
            theme: self.theme,
            family: self.side.name,
            name: name.to_owned(),
            frame,
            reason,
            follower,
        });
    }

    /// The same headers before a SYN to each of [`PORTS`].
    fn add_by_port(&mut self, name: &str, headers: impl Fn(Vec<u8>) -> Vec<u8>) {
        for (port, reason) in PORTS {
            let frame = headers(self.syn(port));
            self.add(&format!("{name}, SYN to {port}"), frame, reason);
        }
    }

    /// An address of the client's that no other packet came from.
    fn client(&mut self) -> SocketAddr {
        self.port += 1;
        SocketAddr::new(self.side.client, self.port)
    }

    fn server(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.side.server, port)
    }

    fn segment(&mut self, port: u16, flags: &str) -> Vec<u8> {
        let (client, server) = (self.client(), self.server(port));
        tcp(client, server, flags, b"")
    }

    fn syn(&mut self, port: u16) -> Vec<u8> {
        self.segment(port, "S")
    }

    fn is_v4(&self) -> bool {
        self.side.server.is_ipv4()
    }

    /// Offset of the transport header in an untagged frame without options.
    fn transport(&self) -> usize {
        ETHERNET + if self.is_v4() { IPV4 } else { IPV6 }
    }
}
