//! Other interfaces, or other modes, than before: those of a configuration that was read again.

use std::mem::replace;

use anyhow::bail;

use super::{
    event::{Event, Happening},
    interfaces::Interfaces,
    journal::Journal,
};
use crate::{
    config::{WantedInterface, find_all},
    kernel::{
        attach::{self, Attached, Rollback},
        clock, nic,
    },
};

impl Interfaces {
    /// Attaches to those of `wanted` that are new, or are to run in another mode. Those that are no longer
    /// wanted stay, until [`Self::keep_only`].
    ///
    /// # Errors
    ///
    /// When one that is new does not exist, or one cannot be attached to; then all is as before.
    pub(super) async fn add(
        &mut self,
        wanted: &[WantedInterface],
        journal: &Journal,
    ) -> anyhow::Result<()> {
        let changed = find_all(&self.changed(wanted)?)?;
        attach::refuse_unfit(&self.pins, &changed).await?;
        if nic::partial_checksums(&changed).await? {
            self.believe_partial_checksums()?;
        }
        let mut rollback = Rollback::begin(&self.pins);
        let attached =
            attach::attach_interfaces(&mut self.kernel, &self.pins, &changed, &mut rollback)?;
        rollback.keep();
        for Attached { interface, mode } in attached {
            let name = interface.name;
            tell(journal, Happening::InterfaceAttached { name, mode });
        }
        Ok(())
    }

    /// From now on these are to be protected, which are attached to already, and not those that were until
    /// now. One that was renamed since is under neither name among them: it stays protected.
    ///
    /// # Errors
    ///
    /// When one of the others cannot be detached.
    pub(super) fn keep_only(
        &mut self,
        wanted: &[WantedInterface],
        journal: &Journal,
    ) -> anyhow::Result<()> {
        let before = replace(&mut self.wanted, wanted.to_vec());
        self.complaints.clear();
        let named = |list: &[WantedInterface], name: &str| list.iter().any(|it| it.name == name);
        for pinned in self.pins.interfaces()? {
            if named(&before, &pinned.name) && !named(wanted, &pinned.name) {
                attach::forget(&self.kernel, &pinned)?;
                let name = pinned.name;
                tell(journal, Happening::InterfaceDetached { name });
            }
        }
        Ok(())
    }

    /// Those that are there and not protected as they should be. One that is gone for the time being is
    /// attached to when it comes back.
    fn changed(&self, wanted: &[WantedInterface]) -> anyhow::Result<Vec<WantedInterface>> {
        let mut changed = Vec::new();
        for wanted in wanted {
            let before = self.wanted.iter().find(|it| it.name == wanted.name);
            match (before, wanted.find()) {
                (None, Err(error)) => bail!(error),
                (Some(_), Err(_)) => {}
                (Some(before), Ok(_)) if before == wanted => {}
                (_, Ok(_)) => changed.push(wanted.clone()),
            }
        }
        Ok(changed)
    }
}

fn tell(journal: &Journal, what: Happening) {
    journal.tell(clock::now(), Event::of_agent(what));
}
