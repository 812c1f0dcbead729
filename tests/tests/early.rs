//! The programs for kernels without `bpf_loop`, on the kernel that runs: the agent opens. What only such a
//! kernel can refuse shows in `cargo xtask vm --kernel 5.10`.

use std::fs;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::client::Mode;
use ftpfw_tests::control::Control;
use ftpfw_tests::early::early;
use ftpfw_tests::firewall::{Firewall, mode};
use ftpfw_tests::lab::{Family, Host, Lab};
use ftpfw_tests::place::{Place, program};
use ftpfw_tests::probe::expect_dropped;
use ftpfw_tests::refusal::{self, FAILED, nothing_left};
use ftpfw_tests::report::Session;
use ftpfw_tests::scripted::Scripted;
use ftpfw_tests::server::{Daemon, FtpServer, Options};
use ftpfw_tests::wait;
use serde_json::Value;

/// The passive range of the server, and what is sent from it.
const PORT: u16 = 45_000;
const NAME: &str = "large.bin";
const SIZE: usize = 4 << 20;

/// `ftpfw run -i eth0 --mode … WORDS…` with these programs.
fn run(place: &Place, words: &[&str]) -> Command {
    let mode = mode();
    let mut command = place.command(&[&["run", "-i", "eth0", "--mode", &mode], words].concat());
    early(&mut command);
    command
}

fn start(host: &Host, words: &[&str]) -> Result<Firewall> {
    let place = Place::new(host)?;
    let mut command = run(&place, words);
    Firewall::start_by(place, &mut command)
}

/// A download by that kind of negotiation, and that nobody else gets in meanwhile.
fn transfer(firewall: &Firewall, lab: &Lab, server: &FtpServer, by: Mode) -> Result<()> {
    let (client, stranger, address) = (&lab.client, &lab.stranger, server.address);
    expect_dropped(firewall, client, address, PORT, "not-armed").context("before")?;
    let mut control = Control::login(&client.netns, (address, 21))?;
    let negotiated = control.negotiate(by)?;
    firewall.wait_for_tuples(
        "one armed tuple",
        |tuples| matches!(tuples, [tuple] if tuple.state == "armed"),
    )?;
    let reason = if by.is_passive() {
        "no-tuple"
    } else {
        "not-armed"
    };
    expect_dropped(firewall, stranger, address, PORT, reason).context("a stranger")?;
    expect_dropped(firewall, client, address, PORT + 1, "not-armed").context("next to it")?;

    control.send(&format!("RETR {NAME}"))?;
    let data = control.data(&negotiated)?;
    ensure!(control.reply()?.code == 150, "the transfer did not begin");
    control.receive(data, &vec![0x5a; SIZE])?;
    firewall.wait_for_tuples("the tuple to be gone", <[_]>::is_empty)?;
    expect_dropped(firewall, client, address, PORT, "not-armed").context("afterwards")
}

#[test]
fn transfers_work_and_nothing_else_gets_in() -> Result<()> {
    for family in [Family::V4, Family::V6] {
        let lab = Lab::new()?;
        let firewall = start(&lab.server, &[])?;
        ensure!(
            firewall.log().contains("the agent opens"),
            "{}",
            firewall.log()
        );
        let mut options = Options::new(Daemon::Vsftpd, family);
        options.passive_ports = PORT..=PORT;
        let server = FtpServer::start(&lab.server, &options)?;
        fs::write(server.root().join(NAME), vec![0x5a; SIZE])?;
        let modes = match family {
            Family::V4 => [Mode::Pasv, Mode::Port],
            Family::V6 => [Mode::Epsv, Mode::Eprt],
        };
        for by in modes {
            let done = transfer(&firewall, &lab, &server, by);
            done.with_context(|| format!("{by:?} over {family:?}"))?;
        }
        let status: Value = firewall.query(&["status"])?;
        ensure!(status["policy"]["opener"] == "agent", "{status}");
    }
    Ok(())
}

/// A segment of many chunks, and the checksum over them: the loops that the verifier walks.
#[test]
fn long_segments_are_followed_whole() -> Result<()> {
    let lab = Lab::new()?;
    let server = Scripted::start(&lab.server, Family::V4)?;
    let firewall = start(&lab.server, &[])?;
    let mut talk = server.talk(&lab.client.netns)?;
    talk.play(&["S 220 ready", "C USER someone", "S 331 password"])?;
    talk.play(&["C PASS word", "S 230 welcome"])?;
    talk.c("NOOP\r\n".repeat(2_000).as_bytes())?;
    talk.s("200 fine\r\n".repeat(2_000).as_bytes())?;
    let help = format!("214-Help\r\n{}214 End\r\n", " text\r\n".repeat(7_000));
    talk.c(b"HELP\r\n")?;
    talk.s(help.as_bytes())?;
    let [high, low] = PORT.to_be_bytes();
    talk.c(b"PASV\r\n")?;
    talk.s(format!("227 Entering (1,2,3,4,{high},{low})\r\n").as_bytes())?;
    firewall.wait_for_tuples(
        "the tuple",
        |tuples| matches!(tuples, [tuple] if tuple.port == Some(PORT)),
    )?;
    let stats = firewall.stats()?;
    ensure!(stats.dropped("control-checksum") == 0, "{stats:?}");
    ensure!(stats.events_lost == 0, "{stats:?}");
    Ok(())
}

/// Additions do not tell what they came to here; CPU and direction are part of the number instead.
#[test]
fn every_session_has_a_number_of_its_own() -> Result<()> {
    const SESSIONS: usize = 40;
    let lab = Lab::new()?;
    let server = Scripted::start(&lab.server, Family::V4)?;
    let firewall = start(&lab.server, &[])?;
    let talks: Result<Vec<_>> = (0..SESSIONS)
        .map(|_| {
            let mut talk = server.talk(&lab.client.netns)?;
            talk.play(&["S 220 ready"])?;
            Ok(talk)
        })
        .collect();
    let talks = talks?;
    let sessions: Vec<Session> = wait::until("all sessions", || {
        let sessions: Vec<Session> = firewall.query(&["list", "sessions"])?;
        Ok((sessions.len() == SESSIONS).then_some(sessions))
    })?;
    let mut numbers: Vec<_> = sessions.iter().map(|session| session.id).collect();
    numbers.sort_unstable();
    numbers.dedup();
    ensure!(
        numbers.len() == SESSIONS && numbers[0] > 0,
        "{numbers:?}, {} sessions",
        talks.len()
    );
    Ok(())
}

#[test]
fn who_insists_on_the_other_opener_is_refused() -> Result<()> {
    let lab = Lab::new()?;
    let place = Place::new(&lab.server)?;
    let says = ["bpf_loop", "`--opener agent`"];
    refusal::refused_by(&mut run(&place, &["--opener", "inline"]), FAILED, &says)?;
    nothing_left(&lab.server, &place)?;

    let directory = tempfile::tempdir()?;
    let file = directory.path().join("ftpfw.toml");
    fs::write(&file, "opener = \"inline\"\n")?;
    let file = file.to_str().context("a path of ASCII")?;
    refusal::refused_by(&mut run(&place, &["--config", file]), FAILED, &says)?;
    nothing_left(&lab.server, &place)
}

/// What `ftpfw check` says of the opener: its status, and whether all is well.
fn checked(words: &[&str]) -> Result<(String, bool)> {
    let lab = Lab::new()?;
    let mut command = lab.server.netns.command(program()?);
    let Output { status, stdout, .. } = early(&mut command)
        .args(["check", "--json"])
        .args(words)
        .output()?;
    let report: Value = serde_json::from_slice(&stdout)?;
    let mut checks = report["checks"].as_array().context("no checks")?.iter();
    let opener = checks.find(|it| it["check"] == "opener");
    let opener = opener.with_context(|| format!("nothing of the opener in {report}"))?;
    let found = opener["status"].as_str().context("no status")?;
    Ok((found.to_owned(), status.success()))
}

#[test]
fn check_tells_who_opens() -> Result<()> {
    ensure!(checked(&[])? == ("warning".to_owned(), true));
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("ftpfw.toml");
    let path = file.to_str().context("a path of ASCII")?;
    for (opener, found, well) in [("agent", "ok", true), ("inline", "problem", false)] {
        fs::write(&file, format!("opener = \"{opener}\"\n"))?;
        let checked = checked(&["--config", path, "--host"])?;
        ensure!(checked == (found.to_owned(), well), "{opener}: {checked:?}");
    }
    Ok(())
}
