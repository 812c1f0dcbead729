//! Maps in a real kernel: arming from user space keeps `ARMED` and the armed counts of `PORTS` in
//! step. Loads without attaching; needs CAP_BPF and CAP_NET_ADMIN, so it is for `--ignored`.

use std::collections::HashSet;

use ftpfw_common::{
    Address,
    abi::{keys::TupleKey, policy::port, values::Mode},
};
use ftpfw_user::kernel::{
    Kernel, LoadOptions, Wire,
    tuples::{Arming, LOOKS, Owner, Tuples},
};

const CLIENT: Address = Address::v4([192, 0, 2, 7]);
const SERVER: Address = Address::v4([192, 0, 2, 1]);
const PORT: u16 = 50_001;
const MINUTE: u64 = 60_000_000_000;

fn kernel() -> (Kernel, Tuples) {
    let kernel = Kernel::load(&LoadOptions::default()).expect("load; this test needs root");
    let tuples = kernel.maps().tuples().expect("open the maps");
    (kernel, tuples)
}

#[test]
#[ignore = "needs CAP_BPF and CAP_NET_ADMIN"]
fn the_count_follows_the_tuples() {
    let (_kernel, mut tuples) = kernel();
    let key = TupleKey::passive(CLIENT, SERVER, PORT);
    let protected = port::PROTECTED_TCP | port::PROTECTED_UDP;
    let entry = |tuples: &Tuples| {
        let entry = tuples.ports().get(PORT);
        (entry.armed(), entry.policy())
    };

    assert_eq!(entry(&tuples), (0, protected));
    assert_eq!(
        tuples
            .arm(key, Owner::new(1, Mode::Passive), MINUTE)
            .unwrap(),
        Arming::New
    );
    assert_eq!(entry(&tuples), (1, protected));
    assert_eq!(
        tuples
            .arm(key, Owner::new(2, Mode::Passive), MINUTE)
            .unwrap(),
        Arming::Renewed
    );
    assert_eq!(entry(&tuples), (1, protected), "the same tuple counts once");

    assert!(
        !tuples.withdraw_of(&key, 1).unwrap(),
        "it is session 2's by now"
    );
    assert!(tuples.withdraw_of(&key, 2).unwrap());
    assert_eq!(entry(&tuples), (0, protected));
    assert!(!tuples.withdraw(&key).unwrap(), "it is gone");
    assert_eq!(
        entry(&tuples),
        (0, protected),
        "what is not there is not counted down"
    );
}

#[test]
#[ignore = "needs CAP_BPF and CAP_NET_ADMIN"]
fn active_tuples_are_not_counted() {
    let (_kernel, mut tuples) = kernel();
    let key = TupleKey::active(CLIENT, PORT, SERVER);
    tuples
        .arm(key, Owner::new(1, Mode::Active), MINUTE)
        .unwrap();
    assert_eq!(tuples.ports().get(PORT).armed(), 0);
    assert!(tuples.withdraw(&key).unwrap());
}

#[test]
#[ignore = "needs CAP_BPF and CAP_NET_ADMIN"]
fn only_what_expired_is_collected() {
    let (_kernel, mut tuples) = kernel();
    let live = TupleKey::passive(CLIENT, SERVER, PORT);
    let expired = TupleKey::passive(CLIENT, SERVER, PORT + 1);
    tuples
        .arm(live, Owner::new(1, Mode::Passive), MINUTE)
        .unwrap();
    tuples
        .arm(expired, Owner::new(1, Mode::Passive), 1)
        .unwrap();
    // So close to its deadline, the same tuple may be armed again at any moment.
    assert_eq!(tuples.collect_expired().unwrap(), []);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let collected: Vec<_> = tuples
        .collect_expired()
        .unwrap()
        .iter()
        .map(|it| it.0)
        .collect();
    assert_eq!(collected, [expired]);
    assert_eq!(tuples.ports().get(PORT + 1).armed(), 0);
    assert_eq!(tuples.all().unwrap().len(), 1);
}

#[test]
#[ignore = "needs CAP_BPF and CAP_NET_ADMIN"]
fn a_full_map_refuses_and_counts_nothing() {
    let (_kernel, mut tuples) = kernel();
    let key = |n: u32| {
        let [a, b, c, d] = n.to_be_bytes();
        TupleKey::passive(Address::v4([10 + a, b, c, d]), SERVER, PORT)
    };
    let armed = (0..200_000).take_while(|n| {
        tuples
            .arm(key(*n), Owner::new(1, Mode::Passive), MINUTE)
            .unwrap()
            == Arming::New
    });
    let armed = u32::try_from(armed.count()).unwrap();
    assert!((60_000..200_000).contains(&armed), "{armed}");
    assert_eq!(tuples.ports().get(PORT).armed(), armed);
    assert_eq!(
        tuples
            .arm(key(0), Owner::new(2, Mode::Passive), MINUTE)
            .unwrap(),
        Arming::Renewed
    );
}

/// An agent that dies between counting and arming leaves a count that is too high.
#[test]
#[ignore = "needs CAP_BPF and CAP_NET_ADMIN"]
fn a_count_that_stays_too_high_is_mended() {
    let (_kernel, mut tuples) = kernel();
    let key = TupleKey::passive(CLIENT, SERVER, PORT);
    let owner = Owner::new(1, Mode::Passive);
    assert_eq!(tuples.arm(key, owner, MINUTE).unwrap(), Arming::New);
    let policy = tuples.ports().get(PORT).policy();
    tuples.ports().count_up(PORT);
    for _ in 1..LOOKS {
        assert_eq!(tuples.mend_counts().unwrap(), [0; 0]);
    }
    // Another number: that was only a moment of somebody else's arming.
    tuples.ports().count_up(PORT);
    assert_eq!(tuples.mend_counts().unwrap(), [0; 0]);
    tuples.ports().count_down(PORT);
    for _ in 1..LOOKS {
        assert_eq!(tuples.mend_counts().unwrap(), [0; 0]);
    }
    assert_eq!(tuples.ports().get(PORT).armed(), 2);
    assert_eq!(tuples.mend_counts().unwrap(), [PORT]);
    let entry = tuples.ports().get(PORT);
    assert_eq!((entry.armed(), entry.policy()), (1, policy));
    assert_eq!(tuples.mend_counts().unwrap(), [0; 0]);
}

/// An iteration by keys begins anew whenever its key is gone; reading by batches does not.
#[test]
#[ignore = "needs CAP_BPF and CAP_NET_ADMIN"]
fn entries_come_once_while_they_go() {
    const MANY: u16 = 20_000;
    let (kernel, mut tuples) = kernel();
    for port in 0..MANY {
        let key = TupleKey::passive(CLIENT, SERVER, PORT - MANY + port);
        let owner = Owner::new(u64::from(port), Mode::Passive);
        assert_eq!(tuples.arm(key, owner, MINUTE).unwrap(), Arming::New);
    }
    let mut seen = HashSet::new();
    for entry in kernel.maps().armed_entries().unwrap() {
        let (Wire(key), Wire(tuple)) = entry.unwrap();
        let port = PORT - MANY + u16::try_from(tuple.session).unwrap();
        assert_eq!(key.server_port, port, "the value of another key");
        assert!(seen.insert(key), "{key:?} came twice");
        assert!(tuples.withdraw(&key).unwrap());
    }
    assert_eq!(seen.len(), usize::from(MANY));
    assert_eq!(kernel.maps().armed_entries().unwrap().count(), 0);
}
