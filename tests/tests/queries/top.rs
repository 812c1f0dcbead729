//! `ftpfw top` on a terminal: what it shows, and how it leaves the terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::refusal::{USAGE, check};
use ftpfw_tests::scene::Scene;
use ftpfw_tests::scripted::Scripted;
use ftpfw_tests::wait;
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::transfers::pump;
use super::{kill_agent, run};

/// DECSET and DECRST of xterm: 1049 is the alternate screen, 25 the cursor.
const TAKEN: &str = "\u{1b}[?1049h";
const GIVEN_BACK: &str = "\u{1b}[?1049l";
const CURSOR_HIDDEN: &str = "\u{1b}[?25l";
const CURSOR_SHOWN: &str = "\u{1b}[?25h";

/// `ftpfw top` on a terminal of the test's.
struct Top {
    child: Child,
    keyboard: File,
    /// The other side stays open, so that its settings can be read when ftpfw has gone.
    terminal: OwnedFd,
    shown: Arc<Mutex<String>>,
}

impl Top {
    fn start(firewall: &Firewall) -> Result<Self> {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&controller)?;
        unlockpt(&controller)?;
        let name = ptsname(&controller, Vec::new())?;
        let terminal = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?;
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&terminal, size)?;
        let end = || Ok::<_, anyhow::Error>(Stdio::from(terminal.try_clone()?));
        let child = firewall
            .place()
            .command(&["top"])
            .env("TERM", "xterm")
            .stdin(end()?)
            .stdout(end()?)
            .stderr(end()?)
            .spawn()?;
        let keyboard = File::from(controller);
        let shown = Arc::new(Mutex::new(String::new()));
        collect(keyboard.try_clone()?, Arc::clone(&shown));
        Ok(Self {
            child,
            keyboard,
            terminal,
            shown,
        })
    }

    fn shown(&self) -> String {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.clone()
    }

    /// Waits until `text` has been written, in one piece, `times` times.
    fn wait_for(&self, text: &str, times: usize) -> Result<()> {
        wait::until(&format!("{text:?} on the terminal"), || {
            Ok((self.shown().matches(text).count() >= times).then_some(()))
        })
        .with_context(|| self.shown())
    }

    fn press(&mut self, keys: &str) -> Result<()> {
        Ok(self.keyboard.write_all(keys.as_bytes())?)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn end(&mut self) -> Result<ExitStatus> {
        wait::exit("ftpfw top", &mut self.child)
    }

    /// Whether keys are read line by line and echoed, as a shell wants it.
    fn is_ordinary(&self) -> Result<bool> {
        let modes = tcgetattr(self.terminal.as_fd())?.local_modes;
        Ok(modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG))
    }

    /// The alternate screen is left, the cursor is there, and keys are echoed.
    fn is_given_back(&self) -> Result<()> {
        self.wait_for(GIVEN_BACK, 1)?;
        let shown = self.shown();
        let last = |text: &str| shown.rfind(text);
        ensure!(last(GIVEN_BACK) > last(TAKEN), "{shown:?}");
        ensure!(last(CURSOR_SHOWN) > last(CURSOR_HIDDEN), "{shown:?}");
        ensure!(self.is_ordinary()?, "the terminal is still in raw mode");
        Ok(())
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// What comes out of a terminal, until nothing has it open any more.
fn collect(mut from: File, into: Arc<Mutex<String>>) {
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..read]);
            into.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push_str(&text);
        }
    });
}

#[test]
fn a_session_appears_and_q_gives_the_terminal_back() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    let daemon = Scripted::start(&lab.server, Family::V4)?;
    let mut top = Top::start(&firewall)?;
    top.wait_for("Sessions 0", 1)?;
    ensure!(!top.is_ordinary()?, "keys are echoed into the picture");
    ensure!(!top.shown().contains("alice"), "{}", top.shown());
    let _listener = daemon.listen(50_001)?;
    let mut talk = daemon.talk(&lab.client.netns)?;
    talk.play(&[
        "S 220 ready",
        "C USER alice",
        "S 331 password",
        "C PASS secret",
        "S 230 in",
        "C PASV",
    ])?;
    top.wait_for("alice", 1)?;
    ensure!(!top.shown().contains("50001"), "{}", top.shown());
    let octets = daemon.address.to_string().replace('.', ",");
    talk.play(&[&format!("S 227 Entering ({octets},195,81)")])?;
    top.wait_for("50001", 1)?;
    ensure!(!top.shown().contains("secret"), "{}", top.shown());
    top.press("q")?;
    let status = top.end()?;
    ensure!(status.success(), "{status}: {}", top.shown());
    top.is_given_back()
}

#[test]
fn a_signal_gives_the_terminal_back() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut top = Top::start(&firewall)?;
        top.wait_for("Sessions 0", 1)?;
        kill_process(top.pid(), signal)?;
        let status = top.end()?;
        ensure!(status.success(), "{signal:?}: {status}");
        top.is_given_back().with_context(|| format!("{signal:?}"))?;
    }
    Ok(())
}

#[test]
fn ctrl_z_gives_it_back_and_fg_takes_it_again() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    let mut top = Top::start(&firewall)?;
    top.wait_for("Sessions 0", 1)?;
    top.press("\u{1a}")?;
    let pid = top.pid();
    wait::until("the stop", || {
        let options = WaitOptions::UNTRACED | WaitOptions::NOHANG;
        let status = waitpid(Some(pid), options)?;
        Ok(status
            .filter(|(_, status)| WaitStatus::stopped(*status))
            .map(|_| ()))
    })?;
    top.is_given_back()?;
    kill_process(pid, Signal::CONT)?;
    top.wait_for(TAKEN, 2)?;
    top.wait_for("Sessions 0", 2)?;
    top.press("\u{3}")?;
    let status = top.end()?;
    ensure!(status.success(), "{status}");
    top.is_given_back()
}

/// Cells that stay are not written again, so each share is looked at by a terminal of its own.
#[test]
fn a_download_shows_how_fast_and_how_far() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    let (mut client, mut server) = scene.connect(&mut talk)?;
    talk.play(&["C RETR quiet.iso", "S 150 here it comes"])?;
    pump(&mut server, &mut client, 1)?;
    let top = Top::start(&scene.firewall)?;
    top.wait_for("RETR quiet.iso", 1)?;
    wait::until("a rate", || {
        pump(&mut server, &mut client, 1)?;
        let shown = top.shown();
        let fast = ["kB/s", "MB/s"].iter().any(|unit| shown.contains(unit));
        Ok(fast.then_some(()))
    })?;
    ensure!(!top.shown().contains(" %"), "{}", top.shown());
    drop((client, server));
    talk.s(b"226 done\r\n")?;
    let gone = |firewall: &Firewall| firewall.wait_for_tuples("its end", <[_]>::is_empty);
    gone(&scene.firewall)?;

    let (mut client, mut server) = scene.connect(&mut talk)?;
    talk.play(&["C RETR big.iso", "S 150 for big.iso (1000000 bytes)."])?;
    for (chunks, percent) in [(25, "25 %"), (50, "75 %")] {
        pump(&mut server, &mut client, chunks)?;
        Top::start(&scene.firewall)?.wait_for(percent, 1)?;
    }
    Ok(())
}

/// An error ends it, too, and is read where the shell is.
#[test]
fn goes_on_without_an_agent_and_ends_with_the_filter() -> Result<()> {
    let lab = Lab::new()?;
    let mut firewall = Firewall::start(&lab.server, &[])?;
    let mut top = Top::start(&firewall)?;
    top.wait_for("opener inline", 1)?;
    ensure!(!top.shown().contains("no agent"), "{}", top.shown());
    kill_agent(&mut firewall)?;
    top.wait_for("no agent", 1)?;
    ensure!(run(&firewall, &["detach"])?.status.success());
    let status = top.end()?;
    ensure!(status.code() == Some(1), "{status}");
    top.is_given_back()?;
    top.wait_for("ftpfw: ", 1)?;
    let shown = top.shown();
    ensure!(
        shown.rfind("ftpfw: ") > shown.rfind(GIVEN_BACK),
        "{shown:?}"
    );
    firewall.stop_by(Signal::KILL)?;
    Ok(())
}

#[test]
fn needs_a_terminal() -> Result<()> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, &[])?;
    let output = run(&firewall, &["top"])?;
    ensure!(output.stdout.is_empty(), "{output:?}");
    check(&output, USAGE, &["needs a terminal", "stats --watch"])?;
    check(
        &run(&firewall, &["top", "--interval", "0"])?,
        USAGE,
        &["--interval", "1..=3600"],
    )
}
