//! A frame's way through the firewall: the filter, the followers, the stack behind them.

use std::collections::{BTreeSet, HashMap};

use ftpfw_common::{
    Address,
    abi::{
        keys::{SessionKey, TupleKey},
        policy::port,
        values::Mode,
    },
    control::{LOWEST_PORT, State},
    filter::{self, Armed, Tables as _},
    packet::{self, Packet, Tcp, Transport},
    reason::Reason,
};

use super::{
    arming::pair,
    capture::Frame,
    follow::{Follower, Segment},
    model::{ConnectionRow, us},
    sockets::Change,
    survey::Survey,
    world::World,
};

/// The FTP data port, which a server dials from (RFC 959 §3.3).
const FTP_DATA: u16 = 20;

/// Everything that a replay keeps.
#[derive(Debug)]
pub struct Player {
    /// Sessions.
    pub follower: Follower,
    /// Data connections, in the order in which they were met.
    pub connections: Vec<ConnectionRow>,
    /// Packets, by what was done with them.
    pub verdicts: HashMap<Reason, u64>,
    /// Packets between other hosts.
    pub unjudged: u64,
    /// Packets.
    pub packets: u64,
    /// Packets that were captured in part only.
    pub cut_short: u64,
    servers: BTreeSet<Address>,
    earlier: Vec<SessionKey>,
    begins: u64,
    world: World,
    /// Where in `connections` a connection is.
    rows: HashMap<SessionKey, usize>,
}

impl Player {
    /// A player of the capture that was surveyed. `policy`: bits of [`port`] of each port.
    #[must_use]
    pub fn new(survey: Survey, servers: BTreeSet<Address>, policy: &[u32]) -> Self {
        let mut world = World::new(policy);
        let mut earlier = Vec::new();
        for key in survey.earlier {
            if servers.contains(&key.server) {
                world.sockets.insert_earlier(key);
                earlier.push(key);
            }
        }
        earlier.sort_unstable();
        Self {
            follower: Follower::default(),
            connections: Vec::new(),
            verdicts: HashMap::new(),
            unjudged: 0,
            packets: 0,
            cut_short: 0,
            servers,
            earlier,
            begins: survey.begins.unwrap_or_default(),
            world,
            rows: HashMap::new(),
        }
    }

    /// µs from the first frame to the latest.
    #[must_use]
    pub const fn duration_us(&self) -> u64 {
        us(self.world.now)
    }

    /// Plays one frame.
    pub fn play(&mut self, frame: &Frame<'_>) {
        if let Some(at) = frame.at {
            // A clock does not go back; the frames of some captures do.
            self.world.now = self.world.now.max(at.saturating_sub(self.begins));
        }
        self.packets += 1;
        self.cut_short += u64::from(frame.captured < frame.bytes.len());
        let cursor = frame.bytes;
        let Ok(Packet { network, transport }) = packet::parse(&cursor) else {
            // Where it goes cannot be told from a header that makes no sense.
            return self.filter(frame, None);
        };
        let (from, to) = (network.source(&cursor), network.destination(&cursor));
        // On loopback, and from server to server, a frame both leaves and comes.
        let (leaves, comes) = (self.servers.contains(&from), self.servers.contains(&to));
        self.unjudged += u64::from(!leaves && !comes);
        match transport {
            Transport::Tcp(tcp) => {
                let key = SessionKey {
                    client: to,
                    server: from,
                    client_port: tcp.destination,
                    server_port: tcp.source,
                };
                if leaves && !self.leaves(frame, &key, &tcp) {
                    return;
                }
                let key = SessionKey {
                    client: from,
                    server: to,
                    client_port: tcp.source,
                    server_port: tcp.destination,
                };
                if comes {
                    self.filter(frame, Some((&key, &tcp)));
                }
            }
            Transport::Udp(udp) => {
                if leaves {
                    let ports = (udp.destination, udp.source);
                    self.world.sent_datagram(to, from, ports);
                }
                if comes {
                    self.filter(frame, None);
                }
            }
            Transport::Other | Transport::LaterFragment if comes => self.filter(frame, None),
            Transport::Other | Transport::LaterFragment => {}
        }
    }

    fn count(&mut self, reason: Reason) {
        *self.verdicts.entry(reason).or_default() += 1;
    }

    fn is_control(&self, port: u16) -> bool {
        self.world.policy(port) & port::CONTROL != 0
    }

    /// NIC, ingress; behind it, for TCP, the stack.
    fn filter(&mut self, frame: &Frame<'_>, tcp: Option<(&SessionKey, &Tcp)>) {
        // Claimed and expired tuples look alike afterwards: whose it was is asked first.
        let session = tcp.and_then(|(key, _)| self.armed_by(key));
        let reason = filter::decide(&frame.bytes, &mut self.world);
        self.count(reason);
        let Some((key, tcp)) = tcp else {
            return;
        };
        if !self.is_control(key.server_port) {
            self.note(key, tcp, reason, session);
        }
        if !reason.is_pass() {
            return;
        }
        // The stack's handshake goes before the first command, which is behind it.
        let change = self.world.sockets.came(key, tcp, self.world.now);
        if self.is_control(key.server_port) {
            let segment = segment(frame, key, tcp);
            if let Some(reason) = self.follower.command(&segment, &mut self.world) {
                self.count(reason);
            }
        }
        self.changed(key, change);
    }

    /// TC, egress; `false` when the packet must not leave.
    fn leaves(&mut self, frame: &Frame<'_>, key: &SessionKey, tcp: &Tcp) -> bool {
        if self.is_control(key.server_port) {
            let segment = segment(frame, key, tcp);
            self.follower.reply(&segment, &mut self.world);
        } else if tcp.opens() && !self.dials(key) {
            return false;
        }
        let change = self.world.sockets.left(key, tcp);
        self.changed(key, change);
        true
    }

    /// An outgoing SYN; whether it may leave.
    fn dials(&mut self, key: &SessionKey) -> bool {
        let tuple = TupleKey::active(key.client, key.client_port, key.server);
        let armed = self.world.armed(&tuple) == Armed::Live;
        let opaque = self.world.opaque.contains_key(&pair(key)) && key.client_port >= LOWEST_PORT;
        let may = armed || opaque || key.server_port != FTP_DATA;
        let session = self.follower.latest(&pair(key));
        let is_data = armed || key.server_port == FTP_DATA || session.is_some_and(|it| it.live);
        if is_data {
            let session = self.world.tuple(&tuple).map(|it| it.session);
            let row = self.open(key, Mode::Active, session);
            if armed {
                row.judge(Reason::Tuple);
            } else if !may {
                row.judge(Reason::BounceOut);
            }
        }
        if !may {
            self.count(Reason::BounceOut);
        }
        may
    }

    /// What came of a segment in the stack.
    fn changed(&mut self, key: &SessionKey, change: Change) {
        let (tuple, mode, port) = match change {
            Change::None => return,
            Change::Closed if self.is_control(key.server_port) => {
                return self.follower.closed(key, &mut self.world);
            }
            Change::Closed => return,
            Change::Accepted => (
                TupleKey::passive(key.client, key.server, key.server_port),
                Mode::Passive,
                key.server_port,
            ),
            Change::Connected => (
                TupleKey::active(key.client, key.client_port, key.server),
                Mode::Active,
                key.client_port,
            ),
        };
        if let Some(index) = self.rows.get(key) {
            self.connections[*index].established = true;
        }
        if let Some(tuple) = self.world.claim(&tuple) {
            let now = self.world.now;
            self.follower.claimed(&tuple, mode, port, now);
        }
    }

    /// The session whose passive tuple a segment would use.
    fn armed_by(&self, key: &SessionKey) -> Option<u64> {
        let tuple = TupleKey::passive(key.client, key.server, key.server_port);
        self.world.tuple(&tuple).map(|it| it.session)
    }

    /// Into the row of its connection.
    fn note(&mut self, key: &SessionKey, tcp: &Tcp, reason: Reason, session: Option<u64>) {
        if tcp.opens() && self.world.is_closed(key.server_port) {
            self.dialled(key, reason, session);
        }
        let index = match self.rows.get(key) {
            Some(index) => *index,
            // Of what there was before, only what is a session's is of interest.
            None if self.earlier.binary_search(key).is_ok() && !tcp.opens() => {
                if self.follower.latest(&pair(key)).is_none() {
                    return;
                }
                let row = self.open_any(key, None, None);
                row.judge(reason);
                row.established = true;
                self.rows[key]
            }
            None => return,
        };
        let row = &mut self.connections[index];
        if reason.is_pass() {
            row.passed += 1;
        } else {
            row.dropped += 1;
        }
        if !row.established && row.passes() && !reason.is_pass() {
            row.judge(reason);
        }
    }

    /// A client's SYN. One that is sent again after the first was dropped is judged anew.
    fn dialled(&mut self, key: &SessionKey, reason: Reason, session: Option<u64>) {
        let again = self.rows.get(key).map(|index| &self.connections[*index]);
        match again {
            Some(row) if !row.established && row.passes() => {}
            Some(row) if !row.established => {
                let index = self.rows[key];
                self.connections[index].judge(reason);
            }
            _ => self.open(key, Mode::Passive, session).judge(reason),
        }
    }

    fn open(&mut self, key: &SessionKey, mode: Mode, session: Option<u64>) -> &mut ConnectionRow {
        self.open_any(key, Some(mode), session)
    }

    fn open_any(
        &mut self,
        key: &SessionKey,
        mode: Option<Mode>,
        session: Option<u64>,
    ) -> &mut ConnectionRow {
        let mut row = ConnectionRow::new(self.world.now, key, mode);
        let latest = self.follower.latest(&pair(key));
        row.session = session.or_else(|| latest.map(|it| it.id));
        row.tls = session.is_none() && latest.is_some_and(|it| it.state().has(State::OPAQUE));
        let index = self.connections.len();
        self.rows.insert(*key, index);
        self.connections.push(row);
        &mut self.connections[index]
    }
}

/// What of a control segment was captured.
fn segment<'a>(frame: &Frame<'a>, key: &'a SessionKey, tcp: &'a Tcp) -> Segment<'a> {
    let end = tcp.end.min(frame.captured);
    Segment {
        key,
        tcp,
        payload: frame.bytes.get(tcp.payload..end).unwrap_or_default(),
    }
}
