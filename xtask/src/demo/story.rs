//! What happens in the demo, in order.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::control::{Control, Negotiated};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Host, Lab};
use ftpfw_tests::probe::{Answer, probe, scan};
use ftpfw_tests::server::{Daemon, FtpServer, Options};

use super::interrupted;
use super::narrator::{Narrator, thousands};

const HIGH_PORTS: std::ops::RangeInclusive<u16> = 1024..=65535;
const FILE: &str = "film.bin";
const FILE_SIZE: u64 = 64 << 20;
static BLOCK: [u8; 64 << 10] = [0x5a; 64 << 10];

/// The cast. Dropped in this order: whoever is watched goes before who watches.
struct Scene {
    firewall: Firewall,
    server: FtpServer,
    lab: Lab,
}

/// Plays it.
///
/// # Errors
/// When something is not as the story says, or the user wants no more of it.
pub fn tell(daemon: Daemon) -> Result<()> {
    let told = play(daemon);
    // Ctrl-C reaches the server and ftpfw too: what failed then failed for that reason.
    ensure!(!interrupted(), "interrupted; everything is cleaned up");
    told
}

fn play(daemon: Daemon) -> Result<()> {
    let mut narrator = Narrator::new();
    let mut scene = open_the_scene(&mut narrator, daemon)?;
    let played = acts(&mut narrator, &scene);
    if interrupted() {
        let _only_to_end_it = scene.firewall.stop();
    }
    played?;

    narrator.step("ftpfw is stopped");
    let status = scene.firewall.stop()?;
    narrator.check(
        status.success(),
        "it detached and left nothing in the kernel",
    )?;
    let answer = probe(&scene.lab.stranger, scene.server.address, 1024)?;
    narrator.check(
        answer != Answer::Silent,
        "without it the stranger reaches the high ports again",
    )?;
    drop(scene);
    narrator.end();
    Ok(())
}

fn acts(narrator: &mut Narrator, scene: &Scene) -> Result<()> {
    closed_to_a_scan(narrator, scene)?;
    let (mut control, negotiated) = log_in_and_negotiate(narrator, scene)?;
    open_to_one_client(narrator, scene, &negotiated)?;
    transfer(narrator, scene, &mut control, &negotiated)?;
    closed_again(narrator, scene, negotiated.port()?)?;
    narrator.step("What the kernel counted");
    let mut stats = scene.firewall.place().command(&["stats"]);
    narrator.query(&["stats"], &mut stats)
}

fn open_the_scene(narrator: &mut Narrator, daemon: Daemon) -> Result<Scene> {
    narrator.step("Three hosts on one switch, each a network namespace of its own");
    let lab = Lab::new()?;
    let server = FtpServer::start(&lab.server, &Options::new(daemon, Family::V4))?;
    let mut file = File::create(server.root().join(FILE)).context("make the file to transfer")?;
    for _ in 0..FILE_SIZE / BLOCK.len() as u64 {
        file.write_all(&BLOCK)
            .context("make the file to transfer")?;
    }
    let Lab {
        server: Host { v4, .. },
        client,
        stranger,
        ..
    } = &lab;
    narrator.quote(&format!(
        "server {v4} ({daemon:?}, port 21)   client {}   stranger {}",
        client.v4, stranger.v4
    ));
    let answer = probe(stranger, server.address, *HIGH_PORTS.end())?;
    narrator.check(
        answer == Answer::Refused,
        "without a firewall the stranger reaches the server's high ports",
    )?;

    narrator.step("ftpfw attaches to the server's NIC");
    let begin = Instant::now();
    let firewall = Firewall::start(&lab.server, &[])?;
    narrator.quote("$ ftpfw run -i eth0");
    narrator.quote(&firewall.log());
    narrator.check(
        true,
        &format!("attached and ready after {}", millis(begin.elapsed())),
    )?;
    Ok(Scene {
        firewall,
        server,
        lab,
    })
}

fn closed_to_a_scan(narrator: &mut Narrator, scene: &Scene) -> Result<()> {
    narrator.step("A stranger scans every high port");
    let before = scene.firewall.stats()?.dropped("not-armed");
    let begin = Instant::now();
    let answers = scan(&scene.lab.stranger, scene.server.address, HIGH_PORTS)?;
    let time = begin.elapsed();
    let dropped = scene.firewall.stats()?.dropped("not-armed") - before;
    let silent = answers
        .values()
        .filter(|answer| **answer == Answer::Silent)
        .count() as u64;
    let rate = (answers.len() as f64 / time.as_secs_f64()) as u64;
    narrator.check(
        silent == answers.len() as u64 && dropped == silent,
        &format!(
            "{} SYNs in {}, {} a second: {} dropped at the NIC, none answered",
            thousands(answers.len() as u64),
            millis(time),
            thousands(rate),
            thousands(dropped),
        ),
    )
}

fn log_in_and_negotiate<'a>(
    narrator: &mut Narrator,
    scene: &'a Scene,
) -> Result<(Control<'a>, Negotiated)> {
    narrator.step("The client logs in and asks for a passive transfer");
    let mut control = Control::connect(&scene.lab.client.netns, (scene.server.address, 21))?;
    let mut port = None;
    for command in ["USER anonymous", "PASS demo@example.net", "TYPE I", "PASV"] {
        let reply = control.command(command)?;
        narrator.quote(&format!("> {command}\n< {}", reply.lines.join("\n< ")));
        ensure!(reply.code < 400, "{command} was refused: {reply:?}");
        port = (command == "PASV").then(|| reply.port_of_227());
    }
    let port = port.context("PASV was the last command")??;
    narrator.check(
        HIGH_PORTS.contains(&port),
        &format!("the server listens on port {port} for this transfer"),
    )?;
    let tuples = scene.firewall.tuples()?;
    narrator.query(
        &["list", "tuples"],
        &mut scene.firewall.place().command(&["list", "tuples"]),
    )?;
    let right = matches!(
        tuples.as_slice(),
        [tuple] if tuple.client == IpAddr::V4(scene.lab.client.v4) && tuple.port == Some(port)
    );
    narrator.check(
        right,
        "exactly one tuple: this client, this server, this port",
    )?;
    Ok((
        control,
        Negotiated::Dial((scene.server.address, port).into()),
    ))
}

fn open_to_one_client(
    narrator: &mut Narrator,
    scene: &Scene,
    negotiated: &Negotiated,
) -> Result<()> {
    narrator.step("The stranger tries the port that has just been opened");
    let port = negotiated.port()?;
    let next = if port == *HIGH_PORTS.end() {
        port - 1
    } else {
        port + 1
    };
    dropped(
        narrator,
        scene,
        &scene.lab.stranger,
        port,
        "no-tuple",
        "the stranger",
    )?;
    dropped(
        narrator,
        scene,
        &scene.lab.client,
        next,
        "not-armed",
        "the client itself, one port beside,",
    )
}

fn transfer(
    narrator: &mut Narrator,
    scene: &Scene,
    control: &mut Control<'_>,
    negotiated: &Negotiated,
) -> Result<()> {
    narrator.step("The client fetches its file");
    let mut data = control.data(negotiated)?;
    narrator.quote(&format!("> RETR {FILE}"));
    let reply = control.command(&format!("RETR {FILE}"))?;
    narrator.quote(&format!("< {}", reply.lines.join("\n< ")));
    let begin = Instant::now();
    let size = receive(&mut data)?;
    let time = begin.elapsed();
    drop(data);
    let done = control.reply()?;
    narrator.quote(&format!("< {}", done.lines.join("\n< ")));
    let rate = (size as f64 / 1e6 / time.as_secs_f64()) as u64;
    narrator.check(
        size == FILE_SIZE && done.code == 226,
        &format!(
            "{} MB in {}, {} MB/s, every byte right",
            size / 1_000_000,
            millis(time),
            thousands(rate)
        ),
    )?;
    let passed = scene
        .firewall
        .stats()?
        .pass
        .get("tuple")
        .copied()
        .unwrap_or(0);
    narrator.check(
        passed == 1,
        "one SYN was let in; the kernel's socket table admitted the rest",
    )
}

fn closed_again(narrator: &mut Narrator, scene: &Scene, port: u16) -> Result<()> {
    narrator.step("The transfer is over");
    scene
        .firewall
        .wait_for_tuples("the tuple to go", <[_]>::is_empty)?;
    narrator.query(
        &["list", "tuples"],
        &mut scene.firewall.place().command(&["list", "tuples"]),
    )?;
    narrator.check(true, "the tuple is gone")?;
    dropped(
        narrator,
        scene,
        &scene.lab.stranger,
        port,
        "not-armed",
        "the stranger",
    )?;
    dropped(
        narrator,
        scene,
        &scene.lab.client,
        port,
        "not-armed",
        "the client",
    )
}

/// One SYN, unanswered, and counted once under that reason.
fn dropped(
    narrator: &Narrator,
    scene: &Scene,
    who: &Host,
    port: u16,
    reason: &str,
    name: &str,
) -> Result<()> {
    let before = scene.firewall.stats()?.dropped(reason);
    let answer = probe(who, scene.server.address, port)?;
    let counted = scene.firewall.stats()?.dropped(reason) - before;
    narrator.check(
        answer == Answer::Silent && counted == 1,
        &format!("{name} is dropped at port {port} ({reason})"),
    )
}

/// Reads to the end; an error when a byte is wrong.
fn receive(data: &mut TcpStream) -> Result<u64> {
    let mut buffer = BLOCK;
    let mut size = 0;
    loop {
        let length = data.read(&mut buffer).context("read the data connection")?;
        if length == 0 {
            return Ok(size);
        }
        ensure!(
            buffer[..length] == BLOCK[..length],
            "a wrong byte after {size}"
        );
        size += length as u64;
    }
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
