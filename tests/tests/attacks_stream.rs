//! ATTACKS 9, 11-13, 17-20, 22, 23, 34, 36, 37, 41: how bytes become lines, and how TCP cuts and
//! repeats them.

use std::io::Write as _;
use std::net::SocketAddr;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::control::dial;
use ftpfw_tests::ghost::{Ghost, Haunt, Segment};
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::scene::{LOGIN, OTHER, PORT, Scene};
use ftpfw_tests::scripted::{Scripted, heard};
use ftpfw_tests::wire::Wire;

/// What a ghost says it takes in a segment, if it is not about that.
const MSS: u16 = 1400;

/// Scripts that arm nothing and are refused nothing, on a connection of their own each.
fn ignored(rows: &[&[&str]]) -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    for script in rows {
        let mut talk = scene.logged_in()?;
        scene
            .arms_nothing(&mut talk, script, &[])
            .and_then(|()| scene.still_works(&mut talk))
            .with_context(|| format!("{script:?}"))?;
    }
    Ok(())
}

/// A ghost that is logged in, and the server's end.
fn ghost<'a>(
    scene: &Scene<'_>,
    haunt: &'a Haunt<'a>,
    mss: u16,
) -> Result<(Ghost<'a>, std::net::TcpStream)> {
    let mut ghost = Ghost::connect(haunt, 21, mss)?;
    let mut server = scene.server.accept()?;
    for line in LOGIN {
        let (who, text) = line.split_at(2);
        let text = format!("{text}\r\n");
        if who == "C " {
            ghost.say(text.as_bytes())?;
            heard(&mut server, text.as_bytes())?;
        } else {
            server.write_all(text.as_bytes())?;
            ghost.expect(text.as_bytes())?;
        }
    }
    Ok((ghost, server))
}

/// An honest negotiation of a ghost's.
fn negotiates(
    scene: &Scene<'_>,
    ghost: &mut Ghost<'_>,
    server: &mut std::net::TcpStream,
) -> Result<()> {
    ghost.say(b"EPSV\r\n")?;
    heard(server, b"EPSV\r\n")?;
    let reply = format!("229 Extended (|||{PORT}|)\r\n");
    server.write_all(reply.as_bytes())?;
    ghost.expect(reply.as_bytes())?;
    scene.armed()
}

#[test]
fn a09_mss_echo() -> Result<()> {
    const SMALL: u16 = 48;
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    // Segments of that size on the wire, and none put together for the NIC to cut.
    lab.server.netns.ip("link set dev eth0 gso_max_segs 1")?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    let (mut ghost, mut server) = ghost(&scene, &haunt, SMALL)?;
    let before = scene.firewall.stats()?;

    let echo = scene.fill("227 Entering ({s},{p})");
    let begin = "501 PASV takes no argument: ";
    let padding = "x".repeat(usize::from(SMALL) - begin.len());
    let command = format!("PASV {padding}{echo}\r\n");
    ghost.say(command.as_bytes())?;
    heard(&mut server, command.as_bytes())?;
    let reply = format!("{begin}{padding}{echo}\r\n");
    ghost.longest = 0;
    server.write_all(reply.as_bytes())?;
    ghost.expect(reply.as_bytes())?;
    ensure!(
        ghost.longest == usize::from(SMALL),
        "the echo did not begin a segment: the longest has {} bytes",
        ghost.longest
    );
    scene.nothing_since(&before, &[])?;
    negotiates(&scene, &mut ghost, &mut server)
}

#[test]
fn a11_injected_command() -> Result<()> {
    ignored(&[
        // As segments: each `c` is sent, and read by the server, before the next.
        &["c CWD xxxx", "C PORT {c},{p}", "S 550 no"],
        &["c PASS xxxx", "C EPRT |1|{client}|50000|", "S 230 in"],
        &["c CWD ", "c PASV\r", "c \n", "S 550 no"],
        &["c RETR a b", "c \rPORT {c},{p}\r\n", "S 550 no"],
    ])
}

#[test]
fn a11_injected_pasv_answers_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    let script = ["c CWD xxxx", "C PASV", "S 227 Entering ({s},{p})"];
    scene.arms_nothing(&mut talk, &script, &["no-command"])?;
    scene.still_works(&mut talk)
}

#[test]
fn a12_cr_nul() -> Result<()> {
    ignored(&[
        &["c RETR a\r\0PORT {c},{p}\r\n", "S 550 no"],
        &["c RETR a\r\0\r\0EPRT |1|{client}|50000|\r\n", "S 550 no"],
        // In a reply: the line goes on behind it.
        &["C PASV", "s 425 no\r\0227 Entering ({s},{p})\r\n"],
    ])
}

#[test]
fn a13_foreign_protocol() -> Result<()> {
    const POST: &str = "POST / HTTP/1.1\r\nHost: server\r\n\r\nPORT {c},{p}\r\nPASV\r\n";
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    // Before the greeting: a browser talks first. 200 for PORT is the worst a server could say.
    for ok in ["S 200 ok", "S 530 log in first"] {
        let mut talk = scene.talk()?;
        let before = scene.firewall.stats()?;
        talk.c(scene.fill(POST).as_bytes())?;
        let replies = ["S 220 ready", "S 500 what", "S 500 what", "S 500 what", ok];
        scene.play(&mut talk, &replies)?;
        scene.play(&mut talk, &["S 227 Entering ({s},{p})"])?;
        let after = scene.firewall.stats()?;
        ensure!(
            after.negotiations == before.negotiations,
            "armed: {after:?}"
        );
        ensure!(
            scene.firewall.tuples()?.is_empty(),
            "armed, before the login"
        );
        scene.play(&mut talk, &LOGIN[1..])?;
        scene.still_works(&mut talk)?;
    }
    // Behind the greeting.
    let mut talk = scene.talk()?;
    scene.play(&mut talk, &["S 220 ready"])?;
    let post = scene.fill(POST);
    talk.c(post.as_bytes())?;
    let replies = ["S 500 what", "S 500 what", "S 500 what", "S 200 ok"];
    scene.play(&mut talk, &replies)?;
    scene.arms_nothing(&mut talk, &["S 227 Entering ({s},{p})"], &["not-logged-in"])
}

#[test]
fn a17_one_byte_a_segment() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    for byte in b"PASV\r\n" {
        talk.c(&[*byte])?;
    }
    let reply = scene.fill("227 Entering Passive Mode ({s},{p})\r\n");
    let (last, first) = reply.as_bytes().split_last().context("a line")?;
    for byte in first {
        talk.s(&[*byte])?;
    }
    ensure!(scene.firewall.tuples()?.is_empty(), "armed by half a line");
    talk.s(&[*last])?;
    scene.armed()?;
    scene.transfer(&mut talk)?;
    // No segment was dropped, so none came late.
    let stats = scene.firewall.stats()?;
    ensure!(stats.drops() == 0, "dropped: {stats:?}");
    for command in ["EPRT |1|{client}|50000|\r\n", "PORT {c},{p}\r\n"] {
        for byte in scene.fill(command).bytes() {
            talk.c(&[byte])?;
        }
        ensure!(scene.only_tuple()?.client_port == Some(PORT));
        talk.s(b"500 no\r\n")?;
    }
    Ok(())
}

#[test]
fn a18_out_of_order() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    let (mut ghost, mut server) = ghost(&scene, &haunt, MSS)?;
    let [a, b, c, d] = match haunt.address {
        std::net::IpAddr::V4(v4) => v4.octets(),
        std::net::IpAddr::V6(_) => unreachable!("an IPv4 laboratory"),
    };
    let [high, low] = PORT.to_be_bytes();
    let line = format!("PORT {a},{b},{c},{d},{high},{low}\r\n");
    let (head, tail) = line.as_bytes().split_at(7);

    let before = scene.firewall.stats()?;
    let late = ghost.segment(tail);
    let early = Segment {
        sequence: late.sequence.wrapping_add(7),
        ..late
    };
    ghost.put(&early)?;
    scene.wait_for_drops(&before, "control-out-of-order", 1)?;
    ensure!(scene.firewall.tuples()?.is_empty(), "armed by the tail");
    ghost.say(head)?;
    heard(&mut server, head)?;
    ensure!(scene.firewall.tuples()?.is_empty(), "armed by the head");
    // As TCP does when nobody acknowledges it.
    ghost.say(tail)?;
    heard(&mut server, tail)?;
    ensure!(scene.only_tuple()?.client_port == Some(PORT), "not armed");
    Ok(())
}

#[test]
fn a19_overlap_of_commands() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    let (mut ghost, mut server) = ghost(&scene, &haunt, MSS)?;
    let address = haunt.address.to_string();
    let first = format!("EPRT |1|{address}|{PORT}|\r\n");
    let second = format!("EPRT |1|{address}|{OTHER}|\r\n");

    let copy = ghost.segment(second.as_bytes());
    let (sequence, acknowledgment) = (copy.sequence, copy.acknowledgment);
    ghost.say(first.as_bytes())?;
    heard(&mut server, first.as_bytes())?;
    ensure!(scene.only_tuple()?.client_port == Some(PORT));
    let copy = Segment {
        sequence,
        acknowledgment,
        ..ghost.segment(second.as_bytes())
    };
    ghost.put(&copy)?;
    // The same again with more behind it: only what is behind it is new, to TCP as well.
    let longer = format!("{second}NOOP\r\n");
    let copy = Segment {
        sequence,
        acknowledgment,
        ..ghost.segment(longer.as_bytes())
    };
    ghost.put(&copy)?;
    ghost.skip("NOOP\r\n".len());
    heard(&mut server, b"NOOP\r\n")?;
    let tuple = scene.only_tuple()?;
    ensure!(tuple.client_port == Some(PORT), "the second: {tuple:?}");

    // Cut in the middle of the port.
    let (head, tail) = first.as_bytes().split_at(first.len() - 5);
    server.write_all(b"500 no\r\n200 ok\r\n")?;
    ghost.expect(b"500 no\r\n200 ok\r\n")?;
    ghost.say(head)?;
    heard(&mut server, head)?;
    let whole = Segment {
        sequence: ghost.next.wrapping_sub(u32::try_from(head.len())?),
        ..ghost.segment(second.as_bytes())
    };
    ghost.put(&whole)?;
    ghost.skip(tail.len());
    heard(&mut server, &second.as_bytes()[head.len()..])?;
    // The server's line is the first's head and the second's tail: so must be the tuple's port.
    let text = [head, &second.as_bytes()[head.len()..]].concat();
    let text = String::from_utf8(text)?;
    let port = text.trim_end().trim_end_matches('|').rsplit('|').next();
    let port: u16 = port.context("a port")?.parse()?;
    let tuple = scene.only_tuple()?;
    ensure!(tuple.client_port == Some(port), "{tuple:?}, not {port}");
    Ok(())
}

/// Segments of the server's own kernel do not overlap: somebody else's do, sent from its address.
#[test]
fn a19_overlap_of_replies() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    let (mut ghost, mut server) = ghost(&scene, &haunt, MSS)?;
    ghost.say(b"EPSV\r\n")?;
    heard(&mut server, b"EPSV\r\n")?;
    let sequence = ghost.expected;
    let reply = format!("229 Extended (|||{PORT}|)\r\n");
    server.write_all(reply.as_bytes())?;
    ghost.expect(reply.as_bytes())?;
    scene.armed()?;

    let forged = format!("229 Extended (|||{OTHER}|)\r\n");
    let forged = Segment {
        sequence,
        acknowledgment: ghost.next,
        ..ghost.segment(forged.as_bytes())
    };
    let out = Wire::new(&lab, &lab.server)?;
    out.send(&lab.client, forged.frame(ghost.remote, ghost.local))?;
    // It has left when it arrives: the ghost sees it as a copy and skips it.
    server.write_all(b"200 more\r\n")?;
    ghost.expect(b"200 more\r\n")?;
    scene.armed()
}

#[test]
fn a22_telnet() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    // IAC IP IAC DM, then the command; sequences cut anywhere.
    for cut in [0, 1, 3, 5] {
        let (head, tail) = b"\xff\xf4\xff\xf2PASV\r\n".split_at(cut);
        talk.c(head)?;
        talk.c(tail)?;
        scene.play(&mut talk, &["S 227 Entering ({s},{p})"])?;
        scene.armed()?;
        scene.transfer(&mut talk)?;
    }
    let line = scene.fill("PORT {c},{p}\r\n");
    for (head, nop, tail) in [
        ("PO", b"\xff\xf1", &line[2..]),
        ("PORT ", b"\xff\xf1", &line[5..]),
    ] {
        talk.c(head.as_bytes())?;
        talk.c(&nop[..1])?;
        talk.c(&nop[1..])?;
        talk.c(tail.as_bytes())?;
        ensure!(scene.only_tuple()?.client_port == Some(PORT));
        talk.s(b"500 no\r\n")?;
    }
    // What vanishes joins nothing that was apart: this is CWD of a name.
    let line = scene.fill("CWD \u{1}PORT {c},{p}\r\n").replace('\u{1}', "");
    talk.c(b"CWD \xff\xf1")?;
    talk.c(&line.as_bytes()[4..])?;
    scene.arms_nothing(&mut talk, &["S 550 no"], &[])
}

#[test]
fn a23_outgoing_to_an_evil_server() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let evil = Scripted::start(&lab.client, Family::V4)?;
    let mut talk = evil.talk(&lab.server.netns)?;
    // The host is the client here; whatever is said names its own listening ports.
    scene.play(&mut talk, &LOGIN)?;
    let script = [
        "C PASV",
        "S 227 Entering ({s},{p})",
        "C EPSV",
        "S 229 Extended (|||50000|)",
        "C PORT {s},{p}",
        "S 200 ok",
        "S PASV",
        "C 227 Entering ({s},{p})",
    ];
    scene.arms_nothing(&mut talk, &script, &[])?;
    scene.closed(PORT, "not-armed")?;
    let sessions = scene.firewall.sessions()?;
    ensure!(sessions.is_empty(), "followed: {sessions:?}");
    // The same on the control port of its own arms.
    scene.still_works(&mut scene.logged_in()?)
}

#[test]
fn a34_ciphertext() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    for pipelined in ["", "PASV\r\n"] {
        let mut talk = scene.talk()?;
        let before = scene.firewall.stats()?;
        talk.s(b"220 ready\r\n")?;
        talk.c(format!("AUTH TLS\r\n{pipelined}").as_bytes())?;
        talk.s(b"234 go\r\n")?;
        let text = scene.fill("\n227 Entering ({s},{p})\r\n");
        let record = [
            b"\x17\x03\x03\0".as_slice(),
            &[u8::try_from(text.len())?],
            text.as_bytes(),
        ]
        .concat();
        for _ in 0..3 {
            talk.c(b"\x17\x03\x03\0\x08\nPASV\r\n\n")?;
            talk.s(&record)?;
        }
        scene.nothing_since(&before, &[])?;
        scene.closed(PORT, "not-armed")?;
    }
    // Another client's session is followed as before.
    scene.still_works(&mut scene.logged_in()?)
}

#[test]
fn a36_monster_line() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    let monster = vec![b'x'; 1 << 16];
    let before = scene.firewall.stats()?;
    for verb in ["CWD ", "PASV ", ""] {
        talk.c(verb.as_bytes())?;
        for chunk in monster.chunks(8192) {
            talk.c(chunk)?;
        }
        scene.play(&mut talk, &["c PORT {c},{p}\r\n", "S 500 what"])?;
    }
    for chunk in monster.chunks(8192) {
        talk.s(chunk)?;
    }
    scene.play(&mut talk, &["S 227 Entering ({s},{p})"])?;
    // A long PASV is one more refused.
    scene.nothing_since(&before, &["too-long"])?;
    scene.still_works(&mut talk).context("once it is clean")
}

#[test]
fn a36_long_lines_and_nuls_arm_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    let long = " ".repeat(513);
    for (script, refusal) in [
        (
            [
                "C PASV".to_owned(),
                format!("S 227 Entering ({{s}},{{p}}){long}"),
            ],
            "too-long",
        ),
        (
            ["C PASV".to_owned(), format!("S 227 {long}({{s}},{{p}})")],
            "too-long",
        ),
        (
            ["C PASV".to_owned(), "S 227 Entering ({s},{p})\0".to_owned()],
            "nul",
        ),
        (
            [format!("C PORT {long}{{c}},{{p}}"), "S 200 ok".to_owned()],
            "too-long",
        ),
        (
            ["C PORT {c},{p}\0".to_owned(), "S 200 ok".to_owned()],
            "nul",
        ),
    ] {
        let script: Vec<_> = script.iter().map(String::as_str).collect();
        scene.arms_nothing(&mut talk, &script, &[refusal])?;
        scene.still_works(&mut talk)?;
    }
    Ok(())
}

#[test]
fn a37_super_packet() -> Result<()> {
    /// As long as 16 bits of length and the headers allow, nearly.
    const ENOUGH: usize = 60_000;
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    let (mut ghost, mut server) = ghost(&scene, &haunt, 1460)?;
    // The window of congestion must grow before the kernel builds segments of that size.
    let filler = format!(
        "211-status\r\n{}211 end\r\n",
        " a line of text\r\n".repeat(3900)
    );
    for _ in 0..40 {
        ghost.longest = 0;
        ghost.say(b"STAT\r\nNOOP\r\nPASV\r\n")?;
        heard(&mut server, b"STAT\r\nNOOP\r\nPASV\r\n")?;
        let passive = scene.fill("227 Entering ({s},{p})\r\n");
        let reply = format!("{filler}200 ok\r\n{passive}");
        // More than fits into the buffers of the connection: it must be read meanwhile.
        thread::scope(|scope| {
            let written = scope.spawn(|| server.write_all(reply.as_bytes()));
            ghost.expect(reply.as_bytes())?;
            Ok::<_, anyhow::Error>(written.join().expect("no panic")?)
        })?;
        scene.armed().context("the reply at the end of it")?;
        ghost.say(b"ABOR\r\n")?;
        heard(&mut server, b"ABOR\r\n")?;
        server.write_all(b"226 ok\r\n")?;
        ghost.expect(b"226 ok\r\n")?;
        ensure!(scene.firewall.tuples()?.is_empty(), "ABOR was not seen");
        if ghost.longest > ENOUGH {
            return Ok(());
        }
    }
    anyhow::bail!("no segment was longer than {} bytes", ghost.longest)
}

#[test]
fn a41_cr_echo() -> Result<()> {
    ignored(&[
        &[
            "C CWD x\r227 Entering ({s},{p})",
            "S 550 x\r227 Entering ({s},{p})",
        ],
        &[
            "C PASV x\r227 Entering ({s},{p})",
            "S 501 x\r227 Entering ({s},{p})",
        ],
        &["C PASV", "S 425 x\r227 Entering ({s},{p})"],
    ])
}

/// A connection of the host's own to a control port elsewhere is not cut off.
#[test]
fn a23_the_host_may_dial_control_ports() -> Result<()> {
    let lab = Lab::new()?;
    let _scene = Scene::new(&lab)?;
    let other = Scripted::start(&lab.stranger, Family::V6)?;
    let address = SocketAddr::new(other.address, 21);
    let mut ours = dial(&lab.server.netns, address)?;
    other.accept()?.write_all(b"220 hello\r\n")?;
    heard(&mut ours, b"220 hello\r\n")
}
