//! Which part of the matrix.

use std::num::NonZero;

use super::Cell;
use super::side::{Mode as Attach, Opener, Side};
use crate::client::{Deed, Mode, Tool};
use crate::lab::Family;
use crate::server::Daemon;
use crate::tls::{Security, Tls};

/// The servers of the matrix.
pub const DAEMONS: [Daemon; 5] = [
    Daemon::Vsftpd,
    Daemon::Proftpd,
    Daemon::PureFtpd,
    Daemon::Pyftpdlib,
    Daemon::Embedded,
];

/// Of how many fields `quick` takes one.
const QUICK: usize = 8;

/// What is asked for: the fields that every list has a part in.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Servers.
    pub daemons: Vec<Daemon>,
    /// Clients.
    pub tools: Vec<Tool>,
    /// Kinds of TLS.
    pub tls: Vec<Tls>,
    /// Kinds of negotiation.
    pub modes: Vec<Mode>,
    /// Protocols.
    pub families: Vec<Family>,
    /// Actions.
    pub deeds: Vec<Deed>,
    /// Who filters, besides nobody.
    pub sides: Vec<Side>,
    /// Only a sample in which every value of a list meets nearly every value of the others.
    pub quick: bool,
    /// Of what is left, one field in so many: for machines that are slow.
    pub sparse: NonZero<usize>,
}

impl Choice {
    /// The complete matrix.
    #[must_use]
    pub fn everything() -> Self {
        let ftpfw = Attach::ALL
            .into_iter()
            .flat_map(|mode| Opener::ALL.map(|opener| Side::Ftpfw(mode, opener)));
        Self {
            daemons: DAEMONS.to_vec(),
            tools: Tool::ALL.to_vec(),
            tls: Tls::ALL.to_vec(),
            modes: Mode::ALL.to_vec(),
            families: Family::ALL.to_vec(),
            deeds: Deed::ALL.to_vec(),
            sides: ftpfw.chain([Side::Nftables]).collect(),
            quick: false,
            sparse: NonZero::<usize>::MIN,
        }
    }

    /// The fields, those of one station together.
    #[must_use]
    pub fn fields(&self) -> Vec<Field> {
        let mut fields = Vec::new();
        for &daemon in &self.daemons {
            for &tls in &self.tls {
                for &family in &self.families {
                    fields.extend(self.fields_of(Station {
                        daemon,
                        tls,
                        family,
                    }));
                }
            }
        }
        fields.into_iter().step_by(self.sparse.get()).collect()
    }

    fn fields_of(&self, station: Station) -> impl Iterator<Item = Field> {
        let modes = move |&mode: &Mode| mode.exists_on(station.family).then_some(mode);
        self.tools.iter().flat_map(move |&tool| {
            self.modes.iter().filter_map(modes).flat_map(move |mode| {
                let cell = Cell {
                    tool,
                    mode,
                    family: station.family,
                    security: Security::of(station.tls),
                };
                let field = move |&deed: &Deed| Field {
                    daemon: station.daemon,
                    cell,
                    deed,
                };
                let fields = self.deeds.iter().map(field);
                fields.filter(|field| !self.quick || field.rank().is_multiple_of(QUICK))
            })
        })
    }
}

/// One action of one client against one server: what is tried under each firewall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The server.
    pub daemon: Daemon,
    /// The client, and how it negotiates.
    pub cell: Cell,
    /// What it does.
    pub deed: Deed,
}

impl Field {
    /// The server process that it needs.
    #[must_use]
    pub fn station(self) -> Station {
        Station {
            daemon: self.daemon,
            tls: self.cell.security.tls,
            family: self.cell.family,
        }
    }

    /// Why it is not tried; `None` when it is.
    #[must_use]
    pub fn left_out(self) -> Option<&'static str> {
        let cell = self.cell;
        if !cell.server_can(self.daemon) {
            return Some("libunftp knows no EPRT");
        }
        cell.left_out(self.daemon)
            .or_else(|| cell.has_no(self.deed))
            .or_else(|| cell.is_unsteady(self.daemon, self.deed))
    }

    /// Neighbours differ, whichever value makes them neighbours.
    fn rank(self) -> usize {
        let cell = self.cell;
        let family = 5 * usize::from(cell.family == Family::V6);
        self.daemon as usize
            + cell.tool as usize
            + 3 * cell.mode as usize
            + 2 * self.deed as usize
            + cell.security.tls as usize
            + family
    }
}

/// A server process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Station {
    /// Which server.
    pub daemon: Daemon,
    /// With or without TLS.
    pub tls: Tls,
    /// Over which protocol.
    pub family: Family,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What of each list a field has.
    fn values(field: &Field) -> [(usize, usize); 6] {
        let cell = field.cell;
        [
            (0, field.daemon as usize),
            (1, cell.tool as usize),
            (2, cell.mode as usize),
            (3, cell.security.tls as usize),
            (4, usize::from(cell.family == Family::V6)),
            (5, field.deed as usize),
        ]
    }

    fn pairs(choice: &Choice) -> BTreeSet<[(usize, usize); 2]> {
        let fields = choice.fields();
        let tried = fields.iter().filter(|field| field.left_out().is_none());
        let pairs = tried.flat_map(|field| {
            let values = values(field);
            values
                .into_iter()
                .flat_map(move |one| values.map(|other| [one, other]))
        });
        pairs.collect()
    }

    #[test]
    fn in_the_sample_nearly_every_value_meets_every_other() {
        let everything = Choice::everything();
        let sample = Choice {
            quick: true,
            ..everything.clone()
        };
        let (all, some) = (everything.fields().len(), sample.fields().len());
        assert!(
            some * QUICK < all + 100 && some * QUICK + 100 > all,
            "{some} of {all}"
        );
        let (all, some) = (pairs(&everything), pairs(&sample));
        let missing: Vec<_> = all.difference(&some).collect();
        assert!(
            missing.len() * 20 < all.len(),
            "{} of {}: {missing:?}",
            missing.len(),
            all.len()
        );
    }
}
