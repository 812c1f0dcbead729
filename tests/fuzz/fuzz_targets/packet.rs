//! Any frame gets a verdict, and what the parser says of it lies inside it.
#![no_main]

use ftpfw_common::{
    abi::{
        keys::{FlowKey, SessionKey, TupleKey},
        policy::port,
        values::PortEntry,
    },
    filter::{self, Armed, Flow, Socket, Tables},
    packet::{self, Packet, Transport},
    reason::Reason,
};
use libfuzzer_sys::fuzz_target;

/// Everything protected, nothing allowed.
struct Closed;

impl Tables for Closed {
    fn port(&self, number: u16) -> PortEntry {
        let protected = if number < 1024 {
            0
        } else {
            port::PROTECTED_TCP | port::PROTECTED_UDP
        };
        PortEntry::new(u32::from(number % 2), protected)
    }
    fn armed(&self, _: &TupleKey) -> Armed {
        Armed::None
    }
    fn socket(&self, _: &SessionKey) -> Socket {
        Socket::None
    }
    fn flow(&self, _: &FlowKey) -> Flow {
        Flow::None
    }
    fn admit(&mut self, _: &TupleKey, _: &FlowKey) {
        panic!("nothing is armed");
    }
    fn establish(&mut self, _: &TupleKey, _: &FlowKey, _: u32) {
        panic!("nothing was admitted");
    }
}

fuzz_target!(|frame: &[u8]| {
    let reason = filter::decide(&frame, &mut Closed);
    let Ok(Packet { transport, .. }) = packet::parse(&frame) else {
        assert!(!reason.is_pass() || reason == Reason::NotIp);
        return;
    };
    match transport {
        Transport::Tcp(tcp) => {
            assert!(tcp.at + 20 <= tcp.payload && tcp.payload <= tcp.end && tcp.end <= frame.len());
            assert_eq!(reason.is_pass(), tcp.destination < 1024);
        }
        Transport::Udp(udp) => assert_eq!(reason.is_pass(), udp.destination < 1024),
        Transport::Other | Transport::LaterFragment => assert!(reason.is_pass()),
    }
});
