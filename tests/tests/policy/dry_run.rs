//! `--dry-run`: everything is decided and counted, nothing is dropped.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::control::{accept, dial};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::probe::{Answer, expect_dropped, probe};
use ftpfw_tests::report::Stats;
use ftpfw_tests::scene::{LOGIN, PORT};
use ftpfw_tests::scripted::{Scripted, heard};
use ftpfw_tests::wait;

use crate::{FAMILIES, delivered, udp};

/// Counts of one kind of verdict; what is 0 is left out.
fn counted(counts: &BTreeMap<String, u64>) -> BTreeMap<&str, u64> {
    counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(reason, count)| (reason.as_str(), *count))
        .collect()
}

/// Packets that are to be dropped, each for its own reason; `dry`: that they are not.
struct Attempts<'a> {
    lab: &'a Lab,
    firewall: &'a Firewall,
    server: Scripted<'a>,
    family: Family,
    dry: bool,
}

impl Attempts<'_> {
    fn syns(&self) -> Result<()> {
        let (lab, address) = (self.lab, self.server.address);
        let mut talk = self.server.talk(&lab.client.netns)?;
        talk.play(&LOGIN)?;
        let closed = |host, reason| match self.dry {
            false => expect_dropped(self.firewall, host, address, PORT, reason),
            true => {
                let answer = probe(host, address, PORT)?;
                ensure!(
                    answer == Answer::Open,
                    "`{reason}`, in a dry run: {answer:?}"
                );
                Ok(())
            }
        };
        closed(&lab.stranger, "not-armed")?;
        // What would be armed is, so that a run tells whether real transfers would work.
        talk.play(&["C EPSV".to_owned(), format!("S 229 Extended (|||{PORT}|)")])?;
        closed(&lab.stranger, "no-tuple")
    }

    fn datagram(&self) -> Result<()> {
        let (from, to) = (
            udp(&self.lab.stranger, self.family, 4000)?,
            udp(&self.lab.server, self.family, 5000)?,
        );
        if self.dry {
            return delivered(&from, &to);
        }
        from.send_to(b"unsolicited", to.local_addr()?)?;
        Ok(())
    }

    /// A dial from the FTP data port to where no session said, at TC egress.
    fn bounce(&self) -> Result<()> {
        let third = SocketAddr::new(self.lab.stranger.address(self.family), 6000);
        let listener = Scripted::start(&self.lab.stranger, self.family)?.listen(6000)?;
        let _dialled = self.server.dial_from_20(third)?;
        if self.dry {
            accept(&listener).context("a bounce, in a dry run")?;
        }
        Ok(())
    }
}

fn attempts(words: &[&str], family: Family) -> Result<Stats> {
    let lab = Lab::new()?;
    let firewall = Firewall::start(&lab.server, words)?;
    let server = Scripted::start(&lab.server, family)?;
    let _data = server.listen(PORT)?;
    let dry = words.contains(&"--dry-run");
    let attempts = Attempts {
        lab: &lab,
        firewall: &firewall,
        server,
        family,
        dry,
    };
    attempts.syns()?;
    attempts.datagram()?;
    attempts.bounce()?;
    let reasons = ["bounce-out", "no-tuple", "not-armed", "udp-unsolicited"];
    let mut seen = Stats::default();
    wait::until("all to be counted", || {
        seen = firewall.stats()?;
        let counts = if dry { &seen.would_drop } else { &seen.drop };
        let all = reasons
            .iter()
            .all(|it| counts.get(*it).is_some_and(|n| *n > 0));
        Ok(all.then_some(()))
    })
    .with_context(|| format!("{seen:?}"))?;
    Ok(seen)
}

#[test]
fn everything_is_counted_and_nothing_dropped() -> Result<()> {
    for family in FAMILIES {
        let stats = attempts(&["--dry-run"], family)?;
        ensure!(stats.drops() == 0, "dropped: {stats:?}");
        let right = ["not-armed", "no-tuple", "udp-unsolicited", "bounce-out"]
            .map(|reason| (reason, 1))
            .into();
        let mut would = counted(&stats.would_drop);
        // What followed the SYNs that got through: the RSTs of kernels that know nothing of them.
        would.remove("no-connection");
        would.remove("handshake-too-late");
        ensure!(would == right, "{stats:?}");
    }
    Ok(())
}

#[test]
fn without_it_the_same_is_dropped() -> Result<()> {
    for family in FAMILIES {
        let stats = attempts(&[], family)?;
        ensure!(stats.would_drop.is_empty(), "{stats:?}");
        let drops = counted(&stats.drop);
        for reason in ["not-armed", "no-tuple", "udp-unsolicited"] {
            ensure!(drops.get(reason) == Some(&1), "`{reason}`: {stats:?}");
        }
        // Its kernel dials again and again.
        ensure!(drops.contains_key("bounce-out"), "{stats:?}");
    }
    Ok(())
}

/// Not only its SYN: a whole connection that would be closed.
#[test]
fn a_connection_that_would_be_dropped_works() -> Result<()> {
    for family in FAMILIES {
        let lab = Lab::new()?;
        let firewall = Firewall::start(&lab.server, &["--dry-run"])?;
        let server = Scripted::start(&lab.server, family)?;
        let listener = server.listen(PORT)?;
        let mut theirs = dial(&lab.stranger.netns, listener.local_addr()?)?;
        let mut ours = accept(&listener)?;
        std::io::Write::write_all(&mut theirs, b"hello")?;
        heard(&mut ours, b"hello")?;
        let stats = firewall.stats()?;
        ensure!(
            stats.would_drop.get("not-armed") == Some(&1) && stats.drops() == 0,
            "{stats:?}"
        );
    }
    Ok(())
}
