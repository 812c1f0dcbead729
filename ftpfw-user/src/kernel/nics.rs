//! The map `NICS`: which of the counters of verdicts are an interface's.

use std::fmt;

use anyhow::bail;
use aya::maps::{Array, MapData, PerCpuArray, PerCpuValues};
use ftpfw_common::{
    abi::nics::Standing,
    reason::{Counter, Nic, Reason},
};

/// The map, and the counters that it hands out.
pub struct Nics {
    map: Array<MapData, u32>,
    counters: PerCpuArray<MapData, u64>,
}

impl fmt::Debug for Nics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nics").finish_non_exhaustive()
    }
}

impl Nics {
    pub(super) const fn new(map: Array<MapData, u32>, counters: PerCpuArray<MapData, u64>) -> Self {
        Self { map, counters }
    }

    /// Which counters an interface has.
    ///
    /// # Errors
    ///
    /// Those of the map; so with the others.
    pub fn of(&self, interface: u32) -> anyhow::Result<Nic> {
        match self.standing(interface)? {
            Standing::Protected(nic) => Ok(nic),
            _ => Ok(Nic(0)),
        }
    }

    fn standing(&self, interface: u32) -> anyhow::Result<Standing> {
        Ok(Standing::from_u32(self.map.get(&slot(interface), 0)?))
    }

    fn set(&mut self, interface: u32, standing: Standing) -> anyhow::Result<()> {
        Ok(self.map.set(slot(interface), standing.to_u32(), 0)?)
    }

    /// How an interface that is not protected stands to those that are; one that is stays so.
    ///
    /// # Errors
    ///
    /// Those of the map.
    pub fn place(&mut self, interface: u32, standing: Standing) -> anyhow::Result<()> {
        match self.standing(interface)? {
            Standing::Protected(_) => Ok(()),
            found if found == standing => Ok(()),
            _ => self.set(interface, standing),
        }
    }

    /// Gives an interface counters of its own, unless it has some. `protected`: the indexes of all
    /// interfaces that keep theirs.
    ///
    /// # Errors
    ///
    /// When more interfaces than [`Nic::COUNT`] less one are protected, or two have indexes that
    /// differ by a multiple of 65,536.
    pub fn assign(&mut self, interface: u32, protected: &[u32]) -> anyhow::Result<Nic> {
        if let Some(other) = protected
            .iter()
            .find(|other| **other != interface && slot(**other) == slot(interface))
        {
            bail!("the interfaces {interface} and {other} cannot be counted apart");
        }
        let own = self.of(interface)?;
        if own != Nic(0) && protected.contains(&interface) {
            return Ok(own);
        }
        let mut taken = Vec::with_capacity(protected.len());
        for other in protected {
            taken.push(self.of(*other)?.0);
        }
        let Some(free) = (1..Nic::COUNT).find(|nic| !taken.contains(nic)) else {
            bail!(
                "{} interfaces are protected already, and no more can be",
                Nic::COUNT - 1
            );
        };
        self.retire(Nic(free))?;
        self.set(interface, Standing::Protected(Nic(free)))?;
        Ok(Nic(free))
    }

    /// The interface is no longer protected. What it counted stays in the totals.
    ///
    /// # Errors
    ///
    /// Those of the maps.
    pub fn release(&mut self, interface: u32) -> anyhow::Result<()> {
        let nic = self.of(interface)?;
        self.set(interface, Standing::Apart)?;
        if nic != Nic(0) {
            self.retire(nic)?;
        }
        Ok(())
    }

    /// Adds the counters of an interface that is gone to those of no interface, and clears them.
    fn retire(&mut self, nic: Nic) -> anyhow::Result<()> {
        let verdicts = Reason::ALL.iter().map(|it| Counter::Verdict(*it));
        let dry = Reason::ALL.iter().map(|it| Counter::WouldDrop(*it));
        for counter in verdicts.chain(dry) {
            let (from, to) = (counter.index(nic), counter.index(Nic(0)));
            let counted = self.counters.get(&from, 0)?;
            if counted.iter().all(|count| *count == 0) {
                continue;
            }
            let before = self.counters.get(&to, 0)?;
            let sums: Vec<u64> = counted
                .iter()
                .zip(before.iter())
                .map(|(a, b)| a + b)
                .collect();
            let zeros = vec![0; sums.len()];
            self.counters.set(to, PerCpuValues::try_from(sums)?, 0)?;
            self.counters.set(from, PerCpuValues::try_from(zeros)?, 0)?;
        }
        Ok(())
    }
}

const fn slot(interface: u32) -> u32 {
    interface & 0xffff
}
