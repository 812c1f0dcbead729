//! ATTACKS 9, 17-20, 37: segments that are tiny or huge, early, late or wrong.

use std::io::Write as _;
use std::net::IpAddr;
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use ftpfw_tests::ghost::{Ghost, Segment};
use ftpfw_tests::haunt::Haunt;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::packets::{ETHERNET, IPV4};
use ftpfw_tests::scene::{OTHER, PORT, Scene};
use ftpfw_tests::scripted::heard;
use ftpfw_tests::wait;
use ftpfw_tests::wire::Wire;

/// What a ghost says it takes in a segment, if it is not about that.
const MSS: u16 = 1400;

#[test]
fn a09_mss_echo() -> Result<()> {
    const SMALL: u16 = 48;
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    // Segments of that size on the wire, and none put together for the NIC to cut.
    lab.server.netns.ip("link set dev eth0 gso_max_segs 1")?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    let (mut ghost, mut server) = scene.ghost(&haunt, SMALL)?;
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
    scene.negotiate_by(&mut ghost, &mut server)
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
    let (mut ghost, mut server) = scene.ghost(&haunt, MSS)?;
    let [a, b, c, d] = match haunt.address {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(_) => unreachable!("an IPv4 laboratory"),
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
    let (mut ghost, mut server) = scene.ghost(&haunt, MSS)?;
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
    wait::until("the session to be reported", || {
        let reported = scene.firewall.log().contains("others than before");
        Ok(reported.then_some(()))
    })?;
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
    let (mut ghost, mut server) = scene.ghost(&haunt, MSS)?;
    // The second is still to be answered: a forged reply would be taken for its.
    ghost.say(b"EPSV\r\nEPSV\r\n")?;
    heard(&mut server, b"EPSV\r\nEPSV\r\n")?;
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
fn a20_bad_checksum() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    let (mut ghost, mut server) = scene.ghost(&haunt, MSS)?;
    let wrong = |ghost: &Ghost<'_>, segment: &Segment<'_>| {
        let mut frame = segment.frame(ghost.local, ghost.remote);
        // The last byte of the checksum, 17 bytes into the TCP header.
        frame[ETHERNET + IPV4 + 17] ^= 0x55;
        haunt.send(frame)
    };
    let before = scene.firewall.stats()?;
    wrong(&ghost, &ghost.segment(b"EPSV\r\n"))?;
    scene.wait_for_drops(&before, "control-checksum", 1)?;
    // TCP never saw it; what is sent in its place is what the server reads, and what counts.
    ghost.say(b"CWD x\r\n")?;
    heard(&mut server, b"CWD x\r\n")?;
    let reply = format!("229 Extended (|||{PORT}|)\r\n");
    server.write_all(reply.as_bytes())?;
    ghost.expect(reply.as_bytes())?;
    scene.nothing_since(&before, &["no-command"])?;

    // Nothing is lost: neither the session nor, by a forged end, what it armed.
    scene.negotiate_by(&mut ghost, &mut server)?;
    for flags in ["R", "RA", "FA"] {
        let forged = Segment {
            flags,
            ..ghost.segment(b"")
        };
        wrong(&ghost, &forged)?;
    }
    scene.wait_for_drops(&before, "control-checksum", 4)?;
    scene.armed()
}

#[test]
fn a37_super_packet() -> Result<()> {
    /// As long as 16 bits of length and the headers allow, nearly.
    const ENOUGH: usize = 60_000;
    let lab = Lab::new()?;
    // However long a round takes on this machine: segments would be shorter on a long way
    // (`tcp_tso_autosize`), and the window of congestion closed after a pause (`tcp_cwnd_restart`).
    lab.server.netns.sysctl("ipv4/tcp_tso_rtt_log", "31")?;
    lab.server
        .netns
        .sysctl("ipv4/tcp_slow_start_after_idle", "0")?;
    let scene = Scene::new(&lab)?;
    let haunt = Haunt::new(&lab, Family::V4)?;
    let (mut ghost, mut server) = scene.ghost(&haunt, 1460)?;
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
    bail!("no segment was longer than {} bytes", ghost.longest)
}
