//! ATTACKS 27, 40: floods, and maps that are full. What is alive stays alive, what is new is refused
//! by name.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::maps::{HashMap, Map, MapData};
use ftpfw_common::Address;
use ftpfw_common::abi::{
    keys::{SessionKey, TupleKey},
    maps,
    values::{Mode, Session},
};
use ftpfw_tests::control::{accept, dial, read_all};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::ghost::Ghost;
use ftpfw_tests::haunt::Haunt;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::report::Tuple;
use ftpfw_tests::scene::{LOGIN, OTHER, PORT, Scene};
use ftpfw_tests::scripted::{Talk, heard};
use ftpfw_tests::{descriptors, wait};
use ftpfw_user::kernel::{
    Maps, PinDir,
    tuples::{Arming, Owner},
};
use rustix::net::sockopt::set_socket_linger;

const HOUR: u64 = 3_600_000_000_000;

fn pins(firewall: &Firewall) -> PinDir {
    PinDir::new(firewall.place().pins.clone())
}

/// A transfer that began before the attack and goes on after it.
struct Transfer {
    ends: [std::net::TcpStream; 2],
}

impl Transfer {
    fn begin(scene: &Scene<'_>, talk: &mut Talk) -> Result<Self> {
        scene.negotiate(talk)?;
        let address = SocketAddr::new(scene.address(), PORT);
        let client = dial(&scene.lab.client.netns, address)?;
        let server = accept(&scene.data)?;
        talk.play(&["C RETR file", "S 150 here it comes"])?;
        scene.firewall.wait_for_tuples("the transfer", |tuples| {
            tuples.iter().any(|tuple| tuple.state == "claimed")
        })?;
        Ok(Self {
            ends: [client, server],
        })
    }

    fn finish(self, talk: &mut Talk) -> Result<()> {
        let [mut client, mut server] = self.ends;
        let bytes = vec![7; 1 << 20];
        let sent = std::thread::scope(|scope| {
            let sender = scope.spawn(|| {
                server.write_all(&bytes)?;
                server.shutdown(std::net::Shutdown::Write)
            });
            let received = read_all(&mut client)?;
            sender.join().expect("no panic")?;
            Ok::<_, anyhow::Error>(received == bytes)
        })?;
        ensure!(sent, "other bytes arrived");
        talk.s(b"226 done\r\n")
    }
}

#[test]
fn a27_flood_of_pasv() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    // Somebody else's tuple, on one of the same ports.
    let mut bystander = scene.server.talk(&lab.stranger.netns)?;
    bystander.play(&LOGIN)?;
    scene.play(&mut bystander, &["C PASV", "S 227 Entering ({s},{p})"])?;
    let of_bystander = |tuple: &Tuple| tuple.client == lab.stranger.v4;

    let mut talk = scene.logged_in()?;
    let commands = "PASV\r\n".repeat(10);
    let replies = scene.fill("227 Entering ({s},{p})\r\n227 Entering ({s},{q})\r\n");
    let before = scene.firewall.stats()?.negotiations["pasv"];
    for round in 0..100 {
        talk.c(commands.as_bytes())?;
        talk.s(replies.repeat(5).as_bytes())?;
        if round % 20 == 0 {
            let tuples = scene.firewall.tuples()?;
            ensure!(
                tuples.len() == 2 && tuples.iter().any(of_bystander),
                "one tuple a session: {tuples:?}"
            );
        }
    }
    let armed = scene.firewall.stats()?.negotiations["pasv"] - before;
    ensure!(armed == 1000, "{armed} of 1000 were followed");
    scene.open(OTHER)?;
    scene.closed(PORT, "no-tuple").context("an older one's")?;
    scene.play(&mut talk, &["C ABOR", "S 226 ok"])?;
    scene.closed(OTHER, "not-armed")?;
    scene
        .firewall
        .wait_for_tuples("the bystander's tuple alone", |tuples| {
            tuples.len() == 1 && tuples.iter().all(of_bystander)
        })?;
    let _data = dial(&lab.stranger.netns, SocketAddr::new(scene.address(), PORT))?;
    Ok(())
}

#[test]
fn a27_ten_thousand_sessions() -> Result<()> {
    const SESSIONS: usize = 10_000;
    const PORTS: std::ops::Range<u16> = 40_000..40_050;
    const COMMANDS: &[u8] = b"USER a\r\nPASS b\r\nEPSV\r\n";
    descriptors::allow(SESSIONS + 200)?;
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let listeners: Vec<_> = PORTS
        .map(|port| scene.server.listen(port))
        .collect::<Result<_>>()?;
    let mut talk = scene.logged_in()?;
    let transfer = Transfer::begin(&scene, &mut talk)?;

    let haunt = Haunt::new(&lab, Family::V4)?;
    let mut flood = Vec::with_capacity(SESSIONS);
    for port in PORTS.cycle().take(SESSIONS) {
        let mut ghost = Ghost::connect(&haunt, 21, 1400)?;
        let mut server = scene.server.accept()?;
        server.write_all(b"220 ready\r\n")?;
        ghost.expect(b"220 ready\r\n")?;
        ghost.say(COMMANDS)?;
        heard(&mut server, COMMANDS)?;
        let replies = format!("331 word\r\n230 in\r\n229 Extended (|||{port}|)\r\n");
        server.write_all(replies.as_bytes())?;
        ghost.expect(replies.as_bytes())?;
        // Gone at once when it is dropped: nobody is there to answer its FIN.
        set_socket_linger(&server, Some(Duration::ZERO))?;
        flood.push(server);
    }
    let sessions = Maps::open(&pins(&scene.firewall))?.sessions()?.len();
    ensure!(sessions == SESSIONS + 1, "{sessions} sessions are followed");
    let of_ghosts = |tuple: &&Tuple| tuple.client == haunt.address;
    let tuples = scene.firewall.tuples()?;
    let armed: BTreeSet<_> = tuples.iter().filter(of_ghosts).map(|it| it.port).collect();
    ensure!(
        armed == PORTS.map(Some).collect() && tuples.len() == PORTS.len() + 1,
        "{} tuples",
        tuples.len()
    );

    // Those who were there before, and those who come now.
    transfer.finish(&mut talk)?;
    let mut late = scene.logged_in()?;
    late.play(&["C EPSV".to_owned(), format!("S 229 (|||{PORT}|)")])?;
    scene.open(PORT)?;
    drop(late);
    drop(flood);
    scene
        .firewall
        .wait_for_tuples("all to be withdrawn", <[_]>::is_empty)?;
    // The counts of the ports are back at zero too.
    for port in [PORTS.start, PORTS.end - 1, PORT] {
        scene.closed(port, "not-armed")?;
    }
    drop(listeners);
    scene.still_works(&mut talk)
}

#[test]
fn a40_tuples_full() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    let transfer = Transfer::begin(&scene, &mut talk)?;
    // Armed before, used after.
    let mut early = scene.server.talk(&lab.stranger.netns)?;
    early.play(&LOGIN)?;
    scene.play(&mut early, &["C PASV", "S 227 Entering ({s},{q})"])?;

    let maps = Maps::open(&pins(&scene.firewall))?;
    let mut tuples = maps.tuples()?;
    let server = Address::from(scene.address());
    let others = (0_u32..).map(|number| {
        let client = Address::v4((0xac10_0000 + number).to_be_bytes());
        TupleKey::passive(client, server, 30_000)
    });
    let mut filled = Vec::new();
    for key in others {
        if tuples.arm(key, Owner::new(0, Mode::Manual), HOUR)? == Arming::Full {
            break;
        }
        filled.push(key);
    }
    ensure!(filled.len() > 60_000, "full with {}", filled.len());

    let mut late = scene.logged_in()?;
    let before = scene.firewall.stats()?;
    scene.play(&mut late, &["C EPSV", "S 229 Extended (|||50000|)"])?;
    let after = scene.firewall.stats()?;
    let refused = after.refused["tuples-full"] - before.refused["tuples-full"];
    ensure!(refused == 1, "`tuples-full` was counted {refused} times");
    ensure!(
        after.negotiations == before.negotiations,
        "armed: {after:?}"
    );
    scene
        .closed(PORT, "not-armed")
        .context("counted for nothing")?;
    scene.play(&mut late, &["C PORT {c},{p}", "S 200 ok"])?;
    let refused = scene.firewall.stats()?.refused["tuples-full"] - before.refused["tuples-full"];
    ensure!(refused == 2, "an active one: {refused}");

    transfer.finish(&mut talk)?;
    let address = SocketAddr::new(scene.address(), OTHER);
    let data = dial(&lab.stranger.netns, address).context("armed before the map was full")?;
    drop((data, accept(&scene.other)?));
    // Its place is free.
    scene.play(&mut early, &["C EPSV", "S 229 Extended (|||50001|)"])?;
    let data = dial(&lab.stranger.netns, address).context("once there is room")?;
    drop((data, accept(&scene.other)?));
    for key in filled {
        tuples.withdraw(&key)?;
    }
    drop((talk, early));
    scene
        .firewall
        .wait_for_tuples("all to be gone", <[_]>::is_empty)?;
    scene.still_works(&mut late)
}

#[test]
fn a40_sessions_full() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    let transfer = Transfer::begin(&scene, &mut talk)?;

    let path = pins(&scene.firewall).map(maps::SESSIONS);
    let map = Map::from_map_data(MapData::from_pin(path)?)?;
    let mut sessions: HashMap<_, [u8; size_of::<SessionKey>()], [u8; size_of::<Session>()]> =
        map.try_into()?;
    // Ended long ago, of clients that are none.
    let nobody = |number: u32| {
        let mut key = [0xee; size_of::<SessionKey>()];
        key[..4].copy_from_slice(&number.to_ne_bytes());
        key
    };
    let mut filled = 0;
    while sessions
        .insert(nobody(filled), [0; size_of::<Session>()], 0)
        .is_ok()
    {
        filled += 1;
    }
    ensure!(filled > 16_000, "full with {filled}");

    let before = scene.firewall.stats()?;
    let mut late = scene.logged_in()?;
    scene.play(&mut late, &["C EPSV", "S 229 Extended (|||50001|)"])?;
    let after = scene.firewall.stats()?;
    ensure!(
        after.refused["sessions-full"] > before.refused["sessions-full"],
        "not counted: {after:?}"
    );
    ensure!(
        after.negotiations == before.negotiations,
        "armed: {after:?}"
    );
    scene.closed(OTHER, "not-armed")?;

    transfer.finish(&mut talk)?;
    scene
        .firewall
        .wait_for_tuples("the transfer's end", <[_]>::is_empty)?;
    scene.still_works(&mut talk).context("the session before")?;
    for number in 0..filled {
        sessions.remove(&nobody(number))?;
    }
    // It is followed from now on, as one met in the middle.
    scene.still_works(&mut late).context("once there is room")
}

#[test]
fn a40_flows_full() -> Result<()> {
    const FLOWS: u32 = 1 << 16;
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    let transfer = Transfer::begin(&scene, &mut talk)?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    let udp = |host: &ftpfw_tests::lab::Host, port| {
        let address = (host.v4, port);
        host.netns.run(|| UdpSocket::bind(address))?.context("bind")
    };
    // Twice as many flows as there is room for, to somebody who does not even refuse them.
    for _ in 0..2 {
        let flood = udp(&lab.server, 0)?;
        for port in 1..=u16::MAX {
            flood.send_to(b"x", (haunt.address, port))?;
        }
    }
    let passed = scene.firewall.stats()?.pass["flow"];
    let (asker, resolver) = (udp(&lab.server, 0)?, udp(&lab.client, 53)?);
    for socket in [&asker, &resolver] {
        socket.set_read_timeout(Some(wait::patience()))?;
    }
    let mut buffer = [0; 8];
    asker.send_to(b"query", (lab.client.v4, 53))?;
    let (_, from) = resolver.recv_from(&mut buffer)?;
    resolver.send_to(b"answer", from)?;
    asker
        .recv_from(&mut buffer)
        .context("the answer to the latest datagram")?;
    let answered = scene.firewall.stats()?.pass["flow"] - passed;
    ensure!(answered == 1, "{answered} packets passed as flows");
    ensure!(FLOWS < 2 * u32::from(u16::MAX), "more than the map holds");
    // What has a socket needs no flow.
    transfer.finish(&mut talk)?;
    scene
        .firewall
        .wait_for_tuples("the transfer's end", <[_]>::is_empty)?;
    scene.still_works(&mut talk)
}
