//! The bpffs is unmounted under a running agent, in a mount namespace of its own.

use std::fs::{self, File};
use std::process::{Child, Command, Output};

use anyhow::{Context as _, Result, bail, ensure};
use ftpfw_tests::firewall::mode;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::mounts::{self, in_own_namespace};
use ftpfw_tests::place::Place;
use ftpfw_tests::probe::{Answer, probe};
use ftpfw_tests::refusal::nothing_on;
use ftpfw_tests::scene::{LOGIN, OTHER, PORT};
use ftpfw_tests::scripted::Scripted;
use ftpfw_tests::wait;
use rustix::process::{Pid, Signal, kill_process};

/// An agent whose bpffs nobody else sees.
struct Secluded {
    child: Child,
    place: Place,
}

impl Secluded {
    fn start(lab: &Lab) -> Result<Self> {
        let place = Place::new(&lab.server)?;
        let log = File::create(place.log_path())?;
        let own = format!("mount -t bpf bpf {}", mounts::BPF);
        let run = place.command(&["run", "-i", "eth0", "--mode", &mode()]);
        let child = in_own_namespace(&own, &run).stderr(log).spawn()?;
        let mut agent = Self { child, place };
        agent.wait_for(" ready")?;
        Ok(agent)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.place.log_path()).unwrap_or_default()
    }

    fn wait_for(&mut self, words: &str) -> Result<()> {
        wait::until(&format!("`{words}` in the log"), || {
            if let Some(status) = self.child.try_wait()? {
                bail!("ftpfw ended with {status}:\n{}", self.log());
            }
            Ok(self.log().contains(words).then_some(()))
        })
        .with_context(|| self.log())
    }

    fn umount(&self, flags: &[&str]) -> Result<Output> {
        let mut umount = Command::new("nsenter");
        umount.arg(format!("--mount=/proc/{}/ns/mnt", self.child.id()));
        umount.arg("umount").args(flags).arg(mounts::BPF);
        Ok(umount.output()?)
    }
}

impl Drop for Secluded {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn the_filter_stays_while_the_agent_does() -> Result<()> {
    let lab = Lab::new()?;
    let server = Scripted::start(&lab.server, Family::V4)?;
    let _listeners = [server.listen(PORT)?, server.listen(OTHER)?];
    let mut agent = Secluded::start(&lab)?;
    let mut talk = server.talk(&lab.client.netns)?;
    talk.play(&LOGIN)?;

    let refused = agent.umount(&[])?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(said.contains("busy"), "nothing holds it: {refused:?}");
    let lazily = agent.umount(&["--lazy"])?;
    ensure!(lazily.status.success(), "{lazily:?}");
    agent.wait_for("is no longer there")?;
    talk.play(&["C EPSV", "S 229 Extended (|||50000|)"])?;
    for (host, port, right) in [
        (&lab.client, PORT, Answer::Open),
        (&lab.client, OTHER, Answer::Silent),
        (&lab.stranger, PORT, Answer::Silent),
    ] {
        let answer = probe(host, server.address, port)?;
        ensure!(answer == right, "port {port}: {answer:?}, not {right:?}");
    }
    let said = agent.log().matches("is no longer there").count();
    ensure!(said == 1, "said {said} times");

    kill_process(Pid::from_child(&agent.child), Signal::TERM)?;
    ensure!(
        wait::exit("ftpfw", &mut agent.child)?.success(),
        "{}",
        agent.log()
    );
    // The kernel takes a file system down in the background.
    wait::until("everything to be gone", || {
        Ok(nothing_on(&lab.server, "eth0").is_ok().then_some(()))
    })
}
