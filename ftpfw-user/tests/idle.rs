//! Which ports are known to be idle, in a real kernel: never one that is busy, whoever makes it so and
//! when. Loads without attaching; needs CAP_BPF and CAP_NET_ADMIN, so it is for `--ignored`.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use ftpfw_common::{
    Address,
    abi::{idle::Place, keys::TupleKey, policy::port, values::Mode},
};
use ftpfw_user::{
    config::PortPolicy,
    kernel::{
        Kernel, LoadOptions,
        idle::Finder,
        ports::Ports,
        tuples::{Arming, Owner, Tuples},
    },
};

const PORT: u16 = 50_001;
const OPEN: u16 = 50_002;
const UNPROTECTED: u16 = 1023;
/// Ports of one word.
const WORD: std::ops::Range<u16> = 50_016..50_048;

fn kernel(options: &LoadOptions) -> (Kernel, Ports, Finder) {
    let kernel = Kernel::load(options).expect("load; this test needs root");
    let (ports, finder) = (kernel.maps().ports(), kernel.maps().idle_finder());
    (kernel, ports.unwrap(), finder.unwrap())
}

/// For TCP and for UDP.
fn known(ports: &Ports, port: u16) -> (bool, bool) {
    let idle = ports.idle();
    (
        idle.is_idle(Place::tcp(port)),
        idle.is_idle(Place::udp(port)),
    )
}

#[test]
#[ignore = "needs CAP_BPF and CAP_NET_ADMIN"]
fn a_port_is_idle_while_nothing_is_allowed_there() {
    let (kernel, ports, finder) = kernel(&LoadOptions {
        ports: PortPolicy {
            open: vec![format!("{OPEN}/tcp").parse().unwrap()],
            ..PortPolicy::default()
        },
        ..LoadOptions::default()
    });
    assert_eq!(known(&ports, PORT), (false, false), "nobody has looked");
    finder.look().unwrap();
    assert_eq!(known(&ports, PORT), (true, true));
    assert_eq!(known(&ports, OPEN), (false, true));
    assert_eq!(known(&ports, UNPROTECTED), (false, false));

    for (up, down) in [
        (
            Ports::count_up as fn(&Ports, u16),
            Ports::count_down as fn(&Ports, u16),
        ),
        (
            |ports, port| assert!(ports.count_listener(port)),
            Ports::uncount_listener,
        ),
    ] {
        up(&ports, PORT);
        assert_eq!(known(&ports, PORT), (false, true));
        assert_eq!(known(&ports, PORT - 1), (true, true));
        finder.look().unwrap();
        assert_eq!(known(&ports, PORT), (false, true));
        down(&ports, PORT);
        assert_eq!(known(&ports, PORT), (false, true), "nobody has looked");
        finder.look().unwrap();
        assert_eq!(known(&ports, PORT), (true, true));
    }

    let mut flows = kernel.maps().flow_ports().unwrap();
    flows.set(u32::from(PORT), u32::MAX, 0).unwrap();
    ports.idle().busy(Place::udp(PORT));
    finder.look().unwrap();
    assert_eq!(known(&ports, PORT), (true, false), "the flow is one of UDP");
}

#[test]
#[ignore = "needs CAP_BPF and CAP_NET_ADMIN"]
fn a_port_that_another_policy_opens_is_not_idle() {
    let (_kernel, ports, finder) = kernel(&LoadOptions::default());
    finder.look().unwrap();
    let mut table = PortPolicy::default().table();
    for (bits, expected) in [
        (port::OPEN_TCP, (false, true)),
        (port::OPEN_UDP, (true, false)),
        (port::PASSIVE_RANGE, (false, true)),
    ] {
        table[usize::from(PORT)] ^= bits;
        ports.change_policy(&table);
        assert_eq!(known(&ports, PORT), expected, "{bits:#x}");
        finder.look().unwrap();
        assert_eq!(known(&ports, PORT), expected, "{bits:#x}");
        table[usize::from(PORT)] ^= bits;
        ports.change_policy(&table);
        finder.look().unwrap();
        assert_eq!(known(&ports, PORT), (true, true));
    }
}

#[test]
#[ignore = "needs CAP_BPF and CAP_NET_ADMIN"]
fn a_tuple_is_not_idle_while_it_is_armed() {
    let (kernel, ports, finder) = kernel(&LoadOptions::default());
    let mut tuples = kernel.maps().tuples().unwrap();
    let (client, server) = (Address::v4([192, 0, 2, 7]), Address::v4([192, 0, 2, 1]));
    let key = |port| TupleKey::passive(client, server, port);
    let known = |port| ports.idle().is_idle(Place::tuple(&key(port)));
    assert!(!known(PORT), "nobody has looked");
    finder.look().unwrap();
    assert!(known(PORT) && known(OPEN));
    let arm = |tuples: &mut Tuples| {
        let owner = Owner::new(1, Mode::Passive);
        tuples.arm(key(PORT), owner, 60_000_000_000).unwrap()
    };
    for expected in [Arming::New, Arming::Renewed] {
        assert_eq!(arm(&mut tuples), expected);
        assert!(!known(PORT) && known(OPEN));
        finder.look().unwrap();
        assert!(!known(PORT) && known(OPEN));
    }
    assert!(tuples.withdraw(&key(PORT)).unwrap());
    assert!(!known(PORT), "nobody has looked");
    finder.look().unwrap();
    assert!(known(PORT));
}

/// Whoever counts sees the port busy from then on, as often as the agent may look.
#[test]
#[ignore = "needs CAP_BPF and CAP_NET_ADMIN"]
fn no_look_makes_a_busy_port_idle() {
    const TIMES: u32 = 20_000;
    let (_kernel, ports, finder) = kernel(&LoadOptions::default());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                WORD.for_each(|port| finder.look_at(port));
            }
        });
        let mut found = 0;
        for time in 0..TIMES {
            let port = WORD.start + (time % 32) as u16;
            found += u32::from(known(&ports, port).0);
            ports.count_up(port);
            let wrong = (0..100).any(|_| known(&ports, port).0);
            ports.count_down(port);
            if wrong {
                done.store(true, Relaxed);
                panic!("port {port} is armed and known to be idle");
            }
        }
        done.store(true, Relaxed);
        assert!(found > 0, "nobody found anything idle");
    });
    finder.look().unwrap();
    assert!(WORD.into_iter().all(|port| known(&ports, port).0));
}
