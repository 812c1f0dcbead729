//! EtherTypes and VLAN tags (IEEE 802.1Q, 802.1ad).
//!
//! Tags are covered here alone: a kernel without the module 8021q can make no VLAN interface to send
//! real traffic through.

use ftpfw_common::reason::Reason;
use ftpfw_tests::packets::{ETHERNET, SERVICE_VLAN, VLAN, cut, ethernet, tagged, udp, with_u16};

use super::{Case, Table};
use crate::world::{CLOSED, TUPLE};

/// What switches used for the outer tag before 802.1ad.
const OLD_SERVICE_VLAN: u16 = 0x9100;
/// Where a frame says what it carries.
const TYPE: usize = ETHERNET - 2;

impl Table<'_> {
    pub(super) fn ethernet(&mut self) {
        for (name, tags) in [
            ("one tag", [VLAN].as_slice()),
            ("a service tag", &[SERVICE_VLAN]),
            ("a service and a customer tag", &[SERVICE_VLAN, VLAN]),
            ("a customer and a service tag", &[VLAN, SERVICE_VLAN]),
            ("two customer tags", &[VLAN, VLAN]),
            ("two service tags", &[SERVICE_VLAN, SERVICE_VLAN]),
        ] {
            self.add_by_port(name, |frame| tagged(&frame, tags));
        }
        for (name, control) in [
            ("priority tag (VLAN 0)", 0xe000),
            ("VLAN 4095", 0x0fff),
            ("drop eligible", 0x1007),
        ] {
            let frame = with_u16(tagged(&self.syn(TUPLE), &[VLAN]), ETHERNET, control);
            self.add(name, frame, Reason::Tuple);
        }
        for (name, tags) in [
            ("three tags", [VLAN; 3].as_slice()),
            ("three service tags", &[SERVICE_VLAN; 3]),
            ("eight tags", &[VLAN; 8]),
        ] {
            let frame = tagged(&self.syn(CLOSED), tags);
            self.add(name, frame, Reason::TooManyHeaders);
        }
        let frame = tagged(&self.syn(CLOSED), &[OLD_SERVICE_VLAN]);
        self.add("a tag of type 0x9100", frame, Reason::NotIp);
        let frame = tagged(&udp(self.client(), self.server(CLOSED), b"data"), &[VLAN]);
        self.add("UDP behind a tag", frame, Reason::UdpUnsolicited);
        for (tags, lengths) in [([VLAN].as_slice(), 14..18), (&[SERVICE_VLAN, VLAN], 18..22)] {
            for length in lengths {
                let frame = cut(tagged(&self.syn(TUPLE), tags), length);
                let name = format!("{} tags, cut after {length} bytes", tags.len());
                self.add(&name, frame, Reason::Malformed);
            }
        }
        for (tags, length) in [([VLAN].as_slice(), 18), (&[SERVICE_VLAN, VLAN], 22)] {
            let frame = cut(tagged(&self.syn(TUPLE), tags), length);
            let name = format!("{} tags and no IP header", tags.len());
            self.add(&name, frame, Reason::Malformed);
        }
        let other = if self.is_v4() { 0x86dd } else { 0x0800 };
        let frame = with_u16(self.syn(TUPLE), TYPE, other);
        self.add("the EtherType of the other IP", frame, Reason::Malformed);
        let frame = with_u16(self.syn(TUPLE), TYPE, 0x8847);
        self.add("behind an MPLS EtherType", frame, Reason::NotIp);
    }
}

/// What is of neither family.
pub(super) fn no_ip() -> Vec<Case> {
    let arp = [
        0, 1, 8, 0, 6, 4, 0, 1, 2, 0x77, 0, 0, 0, 2, 10, 63, 0, 2, 0, 0, 0, 0, 0, 0, 10, 63, 0, 1,
    ];
    let behind = |tags, ethertype, payload: &[u8]| tagged(&ethernet(ethertype, payload), tags);
    [
        ("ARP", ethernet(0x0806, &arp)),
        ("ARP behind a tag", behind(&[VLAN], 0x0806, &arp)),
        (
            "ARP behind two tags",
            behind(&[SERVICE_VLAN, VLAN], 0x0806, &arp),
        ),
        ("ARP of 14 bytes", ethernet(0x0806, &[])),
        ("LLDP", ethernet(0x88cc, &[0; 46])),
        ("EAPOL", ethernet(0x888e, &[0; 46])),
        ("PPPoE", ethernet(0x8864, &[0x45; 46])),
        ("flow control", ethernet(0x8808, &[0; 46])),
        ("802.3 with a length for a type", ethernet(46, &[0x42; 46])),
        ("14 bytes of an unknown protocol", ethernet(0x1234, &[])),
        ("60 bytes of zeroes", vec![0; 60]),
        ("60 bytes of ones", vec![0xff; 60]),
    ]
    .map(|(name, frame)| Case {
        theme: "ethernet",
        family: "",
        name: name.to_owned(),
        frame,
        reason: Reason::NotIp,
        follower: None,
    })
    .into()
}
