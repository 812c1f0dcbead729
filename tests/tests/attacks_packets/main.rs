//! ATTACKS 21, 29-33, 39: packets that no socket sends, to a control connection or to an armed port.
//!
//! The sender is a ghost: its segments are the test's to forge, and the port is armed for it.

mod flags;
mod fragments;
mod headers;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::ghost::Segment;
use ftpfw_tests::haunt::Haunt;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::report::Stats;
use ftpfw_tests::scene::{PORT, Scene};

const MSS: u16 = 1400;

/// What a SYN carries: one option, so that its header has 24 bytes, a multiple of 8.
const MSS_OPTION: [u8; 4] = [2, 4, 5, 0x78];

/// What a test sends to an armed port, as frames that are a SYN unless they are changed.
struct Sender<'a> {
    scene: &'a Scene<'a>,
    haunt: &'a Haunt<'a>,
    before: Stats,
}

impl<'a> Sender<'a> {
    fn new(scene: &'a Scene<'a>, haunt: &'a Haunt<'a>) -> Result<Self> {
        Ok(Self {
            scene,
            haunt,
            before: scene.firewall.stats()?,
        })
    }

    /// A segment to `port` from a source port of its own.
    fn frame(&self, port: u16, flags: &str, payload: &[u8]) -> Vec<u8> {
        let segment = Segment {
            flags,
            sequence: 1000,
            acknowledgment: if flags.contains('A') { 1000 } else { 0 },
            window: 1000,
            options: &MSS_OPTION,
            payload,
        };
        segment.frame(self.haunt.socket(), self.haunt.server(port))
    }

    fn syn(&self, port: u16) -> Vec<u8> {
        self.frame(port, "S", b"")
    }

    /// Ports that answered a SYN with SYN-ACK since this was asked last.
    fn opened(&self) -> Result<Vec<u16>> {
        let answers = self.haunt.answers()?;
        let opened = answers.iter().filter(|(_, _, it)| it.tcp.syn && it.tcp.ack);
        Ok(opened.map(|(from, _, _)| from.port()).collect())
    }

    /// Insists that exactly these were dropped since the beginning, and nothing was answered.
    fn dropped(&self, drops: &[(&str, u64)]) -> Result<()> {
        let opened = self.opened()?;
        ensure!(opened.is_empty(), "let through: {opened:?}");
        let after = self.scene.firewall.stats()?;
        for (reason, count) in &after.drop {
            let counted = count - self.before.dropped(reason);
            let expected = drops.iter().find(|it| it.0 == reason).map_or(0, |it| it.1);
            ensure!(
                counted == expected,
                "{counted} drops as `{reason}`, not {expected}"
            );
        }
        self.scene.armed().context("the tuple is as it was")
    }

    /// The other half: an honest SYN gets through.
    fn honest(&self) -> Result<()> {
        self.haunt.send(self.syn(PORT))?;
        let opened = self.opened()?;
        ensure!(opened == [PORT], "an honest SYN: {opened:?}");
        Ok(())
    }
}

/// Runs an attack on [`PORT`], which is armed for the ghosts.
fn on_an_armed_port(family: Family, attack: impl FnOnce(&Sender<'_>) -> Result<()>) -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::over(&lab, family)?;
    let haunt = Haunt::new(&lab, family)?;
    let (mut ghost, mut server) = scene.ghost(&haunt, MSS)?;
    scene.negotiate_by(&mut ghost, &mut server)?;
    let sender = Sender::new(&scene, &haunt)?;
    attack(&sender)?;
    sender.honest()
}
