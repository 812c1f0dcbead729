//! Why the filter passed or dropped a packet, why a negotiation was refused, and what is counted.
//!
//! Every verdict has exactly one [`Reason`] and every reason one counter, so that the counters of
//! all reasons add up to the number of packets seen.

/// Declares an enum of counted names: `Variant = "name-in-json" /// doc`.
macro_rules! counted {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name used in JSON, tables and metrics; stable.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The one with this number.
            #[must_use]
            pub fn from_u32(number: u32) -> Option<Self> {
                Self::ALL.get(number as usize).copied()
            }
        }
    };
}

counted! {
    /// A verdict: what the filter did with a packet, and why.
    Reason {
        // Passed. Keep these first: see `is_pass`.
        /// Not IPv4 or IPv6: ARP, LLDP, ...
        NotIp = "not-ip",
        /// IP, but neither TCP nor UDP.
        OtherProtocol = "other-protocol",
        /// A later fragment: without its first, which was judged, it cannot be assembled.
        LaterFragment = "later-fragment",
        /// The destination port is not protected.
        Unprotected = "unprotected",
        /// The operator opened the port.
        OpenPort = "open-port",
        /// A SYN to an armed tuple.
        Tuple = "tuple",
        /// A SYN to a listener of the FTP daemon's, from a client with an encrypted session on it.
        Listener = "listener",
        /// A SYN into the FTP daemon's passive range, from a client with an encrypted session.
        PassiveRange = "passive-range",
        /// A segment of a connection that the kernel has a socket for.
        Socket = "socket",
        /// A packet of a flow that went out before (`FLOWS`).
        Flow = "flow",
        // Dropped.
        /// A header that lies about itself or ends before it should; flags that no stack sends.
        Malformed = "malformed",
        /// A first fragment without the whole transport header, or a fragment that would overwrite
        /// it (RFC 1858 §3, RFC 3128).
        BadFragment = "bad-fragment",
        /// More IPv6 extension headers than are walked, or more VLAN tags.
        TooManyHeaders = "too-many-headers",
        /// A SYN to a protected port that has no armed tuple for anyone.
        NotArmed = "not-armed",
        /// A SYN to a port with an armed tuple, but not for this client and server address.
        NoTuple = "no-tuple",
        /// A SYN to a tuple whose deadline has passed.
        Expired = "expired",
        /// The last segment of a handshake whose tuple was claimed by another connection,
        /// withdrawn or has expired since its SYN.
        HandshakeTooLate = "handshake-too-late",
        /// TCP to a protected port without SYN and of no known connection.
        NoConnection = "no-connection",
        /// UDP to a protected port that answers nothing.
        UdpUnsolicited = "udp-unsolicited",
        /// A segment of a control connection that would leave a hole: TCP sends it again, in order.
        ControlOutOfOrder = "control-out-of-order",
        /// A segment of a control connection whose TCP checksum is wrong.
        ControlChecksum = "control-checksum",
        /// An outgoing SYN from the FTP data port to what no session named (RFC 2577 §3).
        BounceOut = "bounce-out",
    }
}

impl Reason {
    /// Whether the packet went through.
    #[inline(always)]
    #[must_use]
    pub const fn is_pass(self) -> bool {
        (self as u32) < Self::Malformed as u32
    }
}

counted! {
    /// Why a negotiation armed nothing.
    Refusal {
        /// PORT, EPRT or LPRT named an address that is not the client's (RFC 2577 §3).
        Bounce = "bounce",
        /// A port below 1024.
        LowPort = "low-port",
        /// A 227, 228 or 229 that answers no PASV, EPSV, LPSV or SPSV.
        NoCommand = "no-command",
        /// Before 230 or 232.
        NotLoggedIn = "not-logged-in",
        /// The numbers are not what the RFC asks for: five, seven, a sign, none at all.
        WrongNumber = "wrong-number",
        /// An octet over 255 or a port over 65535.
        Overflow = "overflow",
        /// Nothing listens on the announced port.
        NotListening = "not-listening",
        /// Another process than the FTP daemon listens on the announced port.
        ForeignListener = "foreign-listener",
        /// The port is not protected, or opened by the operator: there is nothing to arm.
        NotProtected = "not-protected",
        /// After EPSV ALL (RFC 2428 §4).
        EpsvAll = "epsv-all",
        /// The line is longer than 512 bytes.
        TooLong = "too-long",
        /// The line holds a NUL.
        Nul = "nul",
        /// The line began before the follower (re)synchronised.
        Desync = "desync",
        /// The map of tuples is full.
        TuplesFull = "tuples-full",
        /// The map of sessions is full.
        SessionsFull = "sessions-full",
        /// The client has as many sessions as one may have: this one is not followed.
        SessionsPerClient = "sessions-per-client",
        /// The client has as many armed tuples as one may have.
        TuplesPerClient = "tuples-per-client",
        /// The map of listeners is full, or the listener is in it already.
        ListenersFull = "listeners-full",
    }
}

counted! {
    /// What was negotiated.
    Negotiation {
        /// PASV.
        Pasv = "pasv",
        /// EPSV.
        Epsv = "epsv",
        /// LPSV.
        Lpsv = "lpsv",
        /// SPSV.
        Spsv = "spsv",
        /// PORT.
        Port = "port",
        /// EPRT.
        Eprt = "eprt",
        /// LPRT.
        Lprt = "lprt",
    }
}

counted! {
    /// What was lost, or happened to the follower.
    Loss {
        /// Records that did not fit into the ring buffer.
        EventsLost = "events-lost",
        /// Resynchronisations of a control stream after a gap.
        Gap = "gap",
        /// A 227 whose address is not the one of the control connection (a server behind NAT).
        ForeignAddress = "foreign-address",
        /// A retransmission whose bytes were skipped.
        Retransmitted = "retransmitted",
        /// Client bytes that were read, and that TCP then threw away.
        Rewound = "rewound",
    }
}

/// Index into the map `COUNTERS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counter {
    /// A verdict on a packet.
    Verdict(Reason),
    /// A verdict that `--dry-run` did not carry out.
    WouldDrop(Reason),
    /// A negotiation refused.
    Refused(Refusal),
    /// A negotiation that armed a tuple.
    Armed(Negotiation),
    /// A loss.
    Lost(Loss),
}

/// Which interface a verdict is counted for: a value of the map `NICS`. 0 for one that nobody was
/// asked to protect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Nic(pub u32);

impl Nic {
    /// Number of values: so many interfaces, less one, can be protected at once.
    pub const COUNT: u32 = 16;

    /// Its bit in a set of them.
    #[inline(always)]
    #[must_use]
    pub const fn bit(self) -> u16 {
        1 << (self.0 % Self::COUNT)
    }
}

const BLOCK: u32 = 32;
const _: () = assert!(Reason::ALL.len() <= BLOCK as usize && Refusal::ALL.len() <= BLOCK as usize);

impl Counter {
    /// Number of entries of the map: three blocks for all interfaces, then two for each.
    pub const COUNT: u32 = (3 + 2 * Nic::COUNT) * BLOCK;

    /// Where in the map it is. Verdicts are counted by interface, all else is not.
    #[inline(always)]
    #[must_use]
    pub const fn index(self, nic: Nic) -> u32 {
        // The mask changes no value there is, and spares the verifier a range.
        let verdicts = (3 + 2 * (nic.0 & (Nic::COUNT - 1))) * BLOCK;
        match self {
            Self::Refused(refusal) => refusal as u32,
            Self::Armed(negotiation) => BLOCK + negotiation as u32,
            Self::Lost(loss) => 2 * BLOCK + loss as u32,
            Self::Verdict(reason) => verdicts + reason as u32,
            Self::WouldDrop(reason) => verdicts + BLOCK + reason as u32,
        }
    }

    /// Whether it is counted for each interface by itself.
    #[must_use]
    pub const fn is_by_nic(self) -> bool {
        matches!(self, Self::Verdict(_) | Self::WouldDrop(_))
    }
}
