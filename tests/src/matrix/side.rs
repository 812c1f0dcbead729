//! Who filters, and a server behind it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::{Context as _, Result, ensure};

use super::choice::{Field, Station};
use super::{perform, stranger};
use crate::firewall::Firewall;
use crate::lab::Lab;
use crate::nftables::{self, Otherwise};
use crate::probe::Answer;
use crate::server::{FtpServer, Options};

/// Who filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Nobody.
    Nobody,
    /// ftpfw.
    Ftpfw(Mode, Opener),
    /// nftables with the kernel's FTP helper.
    Nftables,
}

/// `--mode` of ftpfw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// XDP in the driver.
    Native,
    /// XDP in the stack.
    Generic,
    /// TC.
    Tc,
}

/// `--opener` of ftpfw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opener {
    /// The programs in the kernel.
    Inline,
    /// The agent.
    Agent,
}

impl Mode {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Native, Self::Generic, Self::Tc];

    /// As on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Tc => "tc",
        }
    }
}

impl Opener {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Inline, Self::Agent];

    /// As on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Agent => "agent",
        }
    }
}

impl Side {
    /// The heading of its column.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Nobody => "no firewall".to_owned(),
            Self::Ftpfw(mode, opener) => format!("{}, {}", mode.name(), opener.name()),
            Self::Nftables => "nftables".to_owned(),
        }
    }

    /// Whether a stranger who gets this is refused.
    fn refuses(self, answer: Answer) -> bool {
        match self {
            Self::Nobody => true,
            Self::Ftpfw(..) => answer == Answer::Silent,
            Self::Nftables => answer != Answer::Open,
        }
    }
}

/// A server, who filters before it, and its peers.
pub struct Stand {
    // Dropped in this order: whoever is watched goes before who watches.
    server: FtpServer,
    firewall: Option<Firewall>,
    lab: Lab,
    /// Who filters.
    pub side: Side,
    /// SYNs of the stranger's that nobody answered.
    silences: AtomicU64,
}

impl Stand {
    /// Starts everything.
    ///
    /// # Errors
    /// When something cannot be started.
    pub fn new(side: Side, station: Station) -> Result<Self> {
        let lab = Lab::new()?;
        let firewall = match side {
            Side::Nobody => None,
            Side::Nftables => {
                nftables::load(
                    &lab.server.netns,
                    &nftables::ftp_helper(Otherwise::Reject, &[]),
                )?;
                None
            }
            Side::Ftpfw(mode, opener) => {
                let words = ["--mode", mode.name(), "--opener", opener.name()];
                Some(Firewall::start(&lab.server, &words)?)
            }
        };
        let options = Options::new(station.daemon, station.family).with_tls(station.tls);
        Ok(Self {
            server: FtpServer::start(&lab.server, &options)?,
            firewall,
            lab,
            side,
            silences: AtomicU64::new(0),
        })
    }

    /// One action of one client, while the stranger tries to get in.
    ///
    /// # Errors
    /// When the client fails, or the stranger does not.
    pub fn play(&self, field: Field) -> Result<()> {
        let (done, probed) = stranger::meanwhile(&self.lab, self.server.address, || {
            perform(&self.lab.client, &self.server, field.cell, field.deed)
        })?;
        let silences = probed
            .iter()
            .filter(|(_, answer)| *answer == Answer::Silent);
        self.silences.fetch_add(silences.count() as u64, Relaxed);
        for (port, answer) in &probed {
            ensure!(
                self.side.refuses(*answer),
                "a stranger's SYN to port {port} was answered: {answer:?}"
            );
        }
        done?;
        ensure!(!probed.is_empty(), "no data connection was seen");
        Ok(())
    }

    /// Ends it. SYNs of the client's that were dropped: sent again, and admitted then.
    ///
    /// # Errors
    /// When ftpfw does not end as it should, or, with the opener `inline`, leaves a tuple behind or has
    /// dropped such a SYN.
    pub fn close(mut self) -> Result<u64> {
        let Some(mut firewall) = self.firewall.take() else {
            return Ok(0);
        };
        let inline = matches!(self.side, Side::Ftpfw(_, Opener::Inline));
        // The agent's tuples stay until their deadline where only the client has closed the control
        // connection: docs/limits.md.
        let over = match inline {
            true => firewall.wait_for_tuples("no tuple to be left", <[_]>::is_empty),
            false => Ok(()),
        };
        let stats = firewall.stats();
        firewall.stop()?;
        over?;
        let stats = stats?;
        let early = stats
            .dropped_syns()
            .checked_sub(self.silences.load(Relaxed))
            .with_context(|| format!("the stranger's SYNs were not all counted: {stats:?}"))?;
        ensure!(
            early == 0 || !inline,
            "{early} SYNs of the client's were dropped: {stats:?}"
        );
        Ok(early)
    }
}
