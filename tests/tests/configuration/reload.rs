//! SIGHUP, while a session, an armed tuple and a transfer live.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::control::{accept, dial};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::probe::{Answer, expect_dropped, probe};
use ftpfw_tests::scene::{LOGIN, OTHER, PORT};
use ftpfw_tests::scripted::{Scripted, Talk};
use ftpfw_tests::{service, wait};
use rustix::process::Signal;

use crate::{File, eth0, hang_up};

/// What the operator opens and closes.
const SERVICE: u16 = 8080;

/// A session with a transfer under way and a tuple that is armed for the next one.
struct Life {
    talk: Talk,
    client: TcpStream,
    server: TcpStream,
    data: TcpListener,
    next: TcpListener,
    address: SocketAddr,
}

impl Life {
    fn new(lab: &Lab, server: &Scripted<'_>) -> Result<Self> {
        let (data, next) = (server.listen(PORT)?, server.listen(OTHER)?);
        let mut talk = server.talk(&lab.client.netns)?;
        talk.play(&LOGIN)?;
        talk.play(&["C EPSV", "S 229 Extended (|||50000|)"])?;
        let client = dial(&lab.client.netns, SocketAddr::new(server.address, PORT))?;
        let server_end = accept(&data)?;
        talk.play(&["C EPSV", "S 229 Extended (|||50001|)"])?;
        Ok(Self {
            talk,
            client,
            server: server_end,
            data,
            next,
            address: SocketAddr::new(server.address, OTHER),
        })
    }

    /// Does something while the transfer goes on, byte after byte counted, and insists that it goes on
    /// afterwards too.
    fn during<T>(&mut self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        let (mut from, mut to) = (&self.server, &self.client);
        thread::scope(|scope| {
            let sender = scope.spawn(|| -> Result<()> {
                let block = [7; 1000];
                while !stop.load(Ordering::Relaxed) {
                    from.write_all(&block)?;
                    to.read_exact(&mut [0; 1000])?;
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            });
            let acted = act();
            let after = sent.load(Ordering::Relaxed);
            let goes_on = wait::until("the transfer to go on", || {
                Ok(
                    (sent.load(Ordering::Relaxed) > after + 10 || sender.is_finished())
                        .then_some(()),
                )
            });
            stop.store(true, Ordering::Relaxed);
            sender
                .join()
                .expect("the sender does not panic")
                .context("the transfer")?;
            goes_on?;
            acted
        })
    }

    /// Insists that nothing was lost: the session, the tuple that is armed, the one that is claimed; that
    /// the next transfer can be made by it; and that the session can still negotiate another one.
    fn goes_on(mut self, lab: &Lab, firewall: &Firewall) -> Result<()> {
        let sessions = firewall.sessions()?;
        ensure!(sessions.len() == 1, "{sessions:?}");
        let tuples = firewall.tuples()?;
        let states: Vec<_> = tuples
            .iter()
            .map(|it| (it.port, it.state.as_str()))
            .collect();
        ensure!(
            states.contains(&(Some(PORT), "claimed")) && states.contains(&(Some(OTHER), "armed")),
            "{tuples:?}"
        );
        expect_dropped(
            firewall,
            &lab.stranger,
            self.address.ip(),
            OTHER,
            "no-tuple",
        )?;
        let _client = dial(&lab.client.netns, self.address)?;
        accept(&self.next)?;
        self.talk.play(&["C EPSV", "S 229 Extended (|||50000|)"])?;
        let _client = dial(&lab.client.netns, SocketAddr::new(self.address.ip(), PORT))?;
        accept(&self.data)?;
        Ok(())
    }
}

#[test]
fn a_port_is_opened_and_closed_again_and_nothing_is_lost() -> Result<()> {
    for family in [Family::V4, Family::V6] {
        let lab = Lab::new()?;
        let file = File::new(&eth0())?;
        let mut firewall = file.start(&lab, &[])?;
        let server = Scripted::start(&lab.server, family)?;
        let address = server.address;
        let mut life = Life::new(&lab, &server)?;
        let closed = |firewall: &Firewall| {
            expect_dropped(firewall, &lab.stranger, address, SERVICE, "not-armed")
        };
        life.during(|| {
            closed(&firewall)?;
            let text = eth0() + "open_ports = [\"8080/tcp\"]\n";
            let (event, said) = file.reload(&mut firewall, &text)?;
            ensure!(event == "reloaded", "{said}");
            ensure!(said.contains("open_ports: none -> 8080/tcp"), "{said}");
            let answer = probe(&lab.stranger, address, SERVICE)?;
            ensure!(answer == Answer::Refused, "{answer:?} after the reload");
            expect_dropped(&firewall, &lab.stranger, address, SERVICE + 1, "not-armed")?;
            let (event, said) = file.reload(&mut firewall, &eth0())?;
            ensure!(event == "reloaded", "{said}");
            closed(&firewall)
        })?;
        life.goes_on(&lab, &firewall)?;
        ensure!(firewall.log().contains("reloaded: "), "{}", firewall.log());
    }
    Ok(())
}

#[test]
fn a_file_that_is_wrong_changes_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let open = "open_ports = [\"8080/tcp\"]\n";
    let file = File::new(&(eth0() + open))?;
    let mut firewall = file.start(&lab, &[])?;
    let server = Scripted::start(&lab.server, Family::V4)?;
    let address = server.address;
    let mut life = Life::new(&lab, &server)?;
    life.during(|| {
        for (text, says) in [
            ("open_ports = [\"9090/tcp\"]\nudp = \"maybe\"\n", ":3:7: "),
            ("open_ports = [\"9090/tcp\"", "array"),
            (
                "open_ports = [\"9090/tcp\"]\nftps = \"range\"\n",
                "passive_ports",
            ),
        ] {
            let (event, said) = file.reload(&mut firewall, &(eth0() + text))?;
            ensure!(event == "reload-failed", "{text}: {event}: {said}");
            ensure!(said.contains(says) && said.contains(file.path()), "{said}");
            let answer = probe(&lab.stranger, address, SERVICE)?;
            ensure!(answer == Answer::Refused, "{text}: {answer:?}");
            expect_dropped(&firewall, &lab.stranger, address, 9090, "not-armed")?;
        }
        // Right but for an interface that is not there.
        let text = "interfaces = [\"eth0\", \"eth9\"]\nopen_ports = [9090]\n";
        let (event, said) = file.reload(&mut firewall, text)?;
        ensure!(event == "reload-failed" && said.contains("eth9"), "{said}");
        expect_dropped(&firewall, &lab.stranger, address, 9090, "not-armed")?;
        // No file at all.
        fs::remove_file(file.path())?;
        let (event, said) = hang_up(&mut firewall)?;
        ensure!(
            event == "reload-failed" && said.contains("cannot read"),
            "{said}"
        );
        let answer = probe(&lab.stranger, address, SERVICE)?;
        ensure!(answer == Answer::Refused, "{answer:?}");
        Ok(())
    })?;
    life.goes_on(&lab, &firewall)
}

/// A flag goes before the file at every reload too.
#[test]
fn flags_still_go_before_the_file() -> Result<()> {
    let lab = Lab::new()?;
    let file = File::new(&eth0())?;
    let mut firewall = file.start(&lab, &["--open-port", "9090"])?;
    let text = eth0() + "open_ports = [8080]\n";
    let (event, said) = file.reload(&mut firewall, &text)?;
    ensure!(
        event == "reloaded" && said.contains("nothing has changed"),
        "{said}"
    );
    let server = lab.server.v4.into();
    ensure!(
        probe(&lab.client, server, 9090)? == Answer::Refused,
        "9090 is closed"
    );
    expect_dropped(&firewall, &lab.client, server, SERVICE, "not-armed")
}

/// What cannot change is said, and the rest holds.
#[test]
fn what_cannot_change_waits_for_the_next_start() -> Result<()> {
    let lab = Lab::new()?;
    let file = File::new(&eth0())?;
    let mut firewall = file.start(&lab, &[])?;
    let text = eth0() + "opener = \"agent\"\nopen_ports = [8080]\n";
    let (event, said) = file.reload(&mut firewall, &text)?;
    ensure!(event == "reloaded", "{said}");
    ensure!(
        said.contains("not before the next start: opener: inline -> agent"),
        "{said}"
    );
    let status: serde_json::Value = firewall.query(&["status"])?;
    ensure!(status["agent"]["opener"] == "inline", "{status}");
    let answer = probe(&lab.client, lab.server.v4.into(), SERVICE)?;
    ensure!(answer == Answer::Refused, "{answer:?}");
    Ok(())
}

#[test]
fn a_dry_run_begins_and_ends() -> Result<()> {
    let lab = Lab::new()?;
    let file = File::new(&eth0())?;
    let mut firewall = file.start(&lab, &[])?;
    let server = lab.server.v4.into();
    expect_dropped(&firewall, &lab.client, server, SERVICE, "not-armed")?;
    file.reload(&mut firewall, &(eth0() + "dry_run = true\n"))?;
    ensure!(
        probe(&lab.client, server, SERVICE)? == Answer::Refused,
        "dropped"
    );
    let status: serde_json::Value = firewall.query(&["status"])?;
    ensure!(status["agent"]["dry_run"] == true, "{status}");
    file.reload(&mut firewall, &eth0())?;
    expect_dropped(&firewall, &lab.client, server, SERVICE, "not-armed")
}

/// A control port that comes is followed; one that goes is followed until its sessions have ended, and
/// takes no new ones.
#[test]
fn control_ports_come_and_go() -> Result<()> {
    let lab = Lab::new()?;
    let both = eth0() + "control_ports = [21, 2121]\n";
    let file = File::new(&eth0())?;
    let mut firewall = file.start(&lab, &[])?;
    let server = Scripted::start(&lab.server, Family::V4)?;
    let address = server.address;
    let control = server.listen(2121)?;
    let data = server.listen(PORT)?;
    expect_dropped(&firewall, &lab.client, address, 2121, "not-armed")?;
    file.reload(&mut firewall, &both)?;
    let client = dial(&lab.client.netns, SocketAddr::new(address, 2121))?;
    let mut talk = Talk {
        client,
        server: accept(&control)?,
    };
    talk.play(&LOGIN)?;
    let (event, said) = file.reload(&mut firewall, &eth0())?;
    ensure!(event == "reloaded", "{said}");
    expect_dropped(&firewall, &lab.client, address, 2121, "not-armed")?;
    talk.play(&["C EPSV", "S 229 Extended (|||50000|)"])?;
    dial(&lab.client.netns, SocketAddr::new(address, PORT))?;
    accept(&data)?;
    drop(talk);
    wait::until("the session to end", || {
        Ok(firewall.sessions()?.is_empty().then_some(()))
    })?;
    // What follows it is data for whoever asks: no session may be left in the kernel either.
    file.reload(&mut firewall, &both)?;
    ensure!(
        probe(&lab.client, address, 2121)? == Answer::Open,
        "2121 is closed"
    );
    Ok(())
}

/// What other services listen on stays closed to negotiations: where it was known already, and where it
/// becomes a protected port only now.
#[test]
fn ports_of_other_services_stay_closed() -> Result<()> {
    let lab = Lab::new()?;
    for port in [1500, 3306] {
        service::start(&lab, port)?;
    }
    let file = File::new(&(eth0() + "protect = [\"2000-65535\"]\n"))?;
    let mut firewall = file.start(&lab, &[])?;
    let server = Scripted::start(&lab.server, Family::V4)?;
    let data = server.listen(PORT)?;
    let (event, said) = file.reload(&mut firewall, &eth0())?;
    ensure!(event == "reloaded", "{said}");
    ensure!(
        firewall.log().contains("1500/tcp will be unreachable"),
        "{}",
        firewall.log()
    );
    let mut talk = server.talk(&lab.client.netns)?;
    talk.play(&LOGIN)?;
    for port in [1500, 3306] {
        talk.play(&["C EPSV", &format!("S 229 Extended (|||{port}|)")])?;
        expect_dropped(&firewall, &lab.client, server.address, port, "not-armed")?;
    }
    let refused = firewall.stats()?.refused;
    ensure!(refused.get("foreign-listener") == Some(&2), "{refused:?}");
    talk.play(&["C EPSV", "S 229 Extended (|||50000|)"])?;
    let _client = dial(&lab.client.netns, SocketAddr::new(server.address, PORT))?;
    accept(&data)?;
    Ok(())
}

#[test]
fn without_a_file_there_is_nothing_to_reload() -> Result<()> {
    let lab = Lab::new()?;
    let mut firewall = Firewall::start(&lab.server, &[])?;
    firewall.signal(Signal::HUP)?;
    firewall.wait_for("nothing to read again")?;
    expect_dropped(
        &firewall,
        &lab.client,
        lab.server.v4.into(),
        SERVICE,
        "not-armed",
    )
}

/// The kernel breaks off verifying a program when a signal comes, and wants to be asked again.
#[test]
fn hanging_up_while_it_starts() -> Result<()> {
    const HANG_UPS: u32 = 6;
    /// Less than most programs are verified in.
    const APART: Duration = Duration::from_millis(30);
    let lab = Lab::new()?;
    let file = File::new("interfaces = [\"eth0\"]\n")?;
    let mut firewall = file.start(&lab, &[])?;
    firewall.end_by(Signal::KILL)?;
    firewall.launch(&file.options())?;
    let status = format!("/proc/{}/status", firewall.pid());
    wait::until("it to catch SIGHUP", || {
        let status = fs::read_to_string(&status)?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.context("no SigCgt")?.trim(), 16)?;
        Ok((caught & 1 << (Signal::HUP.as_raw() - 1) != 0).then_some(()))
    })?;
    for _ in 0..HANG_UPS {
        firewall.signal(Signal::HUP)?;
        thread::sleep(APART);
    }
    firewall.wait_until_ready()
}
