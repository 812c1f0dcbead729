//! Interfaces that go, come back or get another name while they are protected.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File, Metadata},
    os::unix::fs::MetadataExt as _,
    time::Duration,
};

use anyhow::Context as _;
use ftpfw_common::abi::nics::{ANY_TAG, Standing};
use futures_util::StreamExt as _;
use rtnetlink::{
    MulticastGroup, new_multicast_connection,
    packet_core::NetlinkPayload,
    packet_route::{AddressFamily, RouteNetlinkMessage},
};
use tokio::{
    sync::Mutex,
    time::{MissedTickBehavior, interval},
};
use tracing::{error, info};

use super::{
    event::{Event, Happening},
    journal::Journal,
};
use crate::{
    config::{Interface, WantedInterface},
    kernel::{
        Kernel, PinDir, Wire,
        attach::{self, Rollback},
        clock, nic,
        pins::{AttachedMode, PinnedInterface},
        stack::{self, Stacked, Way},
    },
};

/// Netlink tells at once; what it loses is found this much later.
const PERIOD: Duration = Duration::from_secs(5);

/// The interfaces to protect, and what it takes to do so.
#[derive(Debug)]
pub struct Interfaces {
    pub(super) kernel: Kernel,
    pub(super) pins: PinDir,
    pub(super) wanted: Vec<WantedInterface>,
    /// What is wrong with an interface, so that it is said once.
    pub(super) complaints: HashMap<String, String>,
    /// The pin directory, held open: as long as it is, so are the links in it, also when its file
    /// system is unmounted lazily.
    directory: File,
    out_of_sight: bool,
}

impl Interfaces {
    /// The interfaces of that name; they are attached to before this watches.
    ///
    /// # Errors
    ///
    /// When the pin directory cannot be opened.
    pub fn new(kernel: Kernel, pins: PinDir, wanted: &[WantedInterface]) -> anyhow::Result<Self> {
        let directory = File::open(pins.path())
            .with_context(|| format!("cannot open {}", pins.path().display()))?;
        Ok(Self {
            kernel,
            pins,
            wanted: wanted.to_vec(),
            complaints: HashMap::new(),
            directory,
            out_of_sight: false,
        })
    }

    /// The programs and maps that it is about.
    pub const fn kernel(&mut self) -> &mut Kernel {
        &mut self.kernel
    }

    /// Detaches from what an earlier agent protected and nobody asks for any more.
    pub fn let_go(&self, others: &[PinnedInterface]) {
        for other in others {
            match attach::forget(&self.kernel, other) {
                Ok(()) => info!("{}: detached, no longer asked for", other.name),
                Err(error) => error!("{} stays protected: {error:#}", other.name),
            }
        }
    }

    /// Whether the pins are no longer where they were: what is attached cannot be told then, and nothing
    /// can be pinned beside it.
    fn lost_sight(&mut self) -> bool {
        let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let there = fs::metadata(self.pins.path()).ok().map(identity);
        let lost = there.is_none() || there != self.directory.metadata().ok().map(identity);
        if lost && !self.out_of_sight {
            error!(
                "the pin directory {} is no longer there (was its file system unmounted?): what is \
                 attached stays as long as this process lives; stop it and run it again",
                self.pins.path().display()
            );
        }
        self.out_of_sight = lost;
        lost
    }

    /// Looks after the interfaces. `message`: what netlink says; without one, after all of them.
    async fn look(
        &mut self,
        message: Option<&NetlinkPayload<RouteNetlinkMessage>>,
        journal: &Journal,
    ) -> anyhow::Result<()> {
        let reconciled = self.reconcile(message.and_then(deleted), journal).await;
        if message.is_none_or(|it| self.may_stack(it)) {
            self.note_above().await?;
        }
        reconciled
    }

    /// Brings what is attached in step with what is there. `deleted`: an index whose interface is
    /// gone, whatever has it now. What cannot be done for one keeps nothing from the others.
    async fn reconcile(&mut self, deleted: Option<u32>, journal: &Journal) -> anyhow::Result<()> {
        let tell = |what| journal.tell(clock::now(), Event::of_agent(what));
        let mut attached = HashSet::new();
        let mut outcome = Ok(());
        for pinned in self.pins.interfaces()? {
            match nic::name_of(pinned.index) {
                Some(name) if deleted != Some(pinned.index) => {
                    attached.insert(name.clone());
                    if name == pinned.name {
                        continue;
                    }
                    let renamed = self.pins.rename(&pinned, &name);
                    if renamed.is_ok() {
                        tell(Happening::InterfaceRenamed {
                            from: pinned.name,
                            to: name,
                        });
                    }
                    outcome = outcome.and(renamed);
                }
                _ => {
                    let forgotten = attach::forget(&self.kernel, &pinned);
                    if forgotten.is_ok() {
                        tell(Happening::InterfaceGone { name: pinned.name });
                    }
                    outcome = outcome.and(forgotten);
                }
            }
        }
        for wanted in self.wanted.clone() {
            if attached.contains(&wanted.name) {
                continue;
            }
            let Ok(interface) = wanted.find() else {
                self.complaints.remove(&wanted.name);
                continue;
            };
            let name = wanted.name;
            match self.attach(&interface).await {
                Ok(mode) => {
                    self.complaints.remove(&name);
                    tell(Happening::InterfaceAttached { name, mode });
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    if self.complaints.get(&name) != Some(&error) {
                        self.complaints.insert(name.clone(), error.clone());
                        tell(Happening::InterfaceUnprotected { name, error });
                    }
                }
            }
        }
        outcome
    }

    async fn attach(&mut self, interface: &Interface) -> anyhow::Result<AttachedMode> {
        let one = std::slice::from_ref(interface);
        attach::refuse_unfit(&self.pins, one).await?;
        if nic::partial_checksums(one).await? {
            self.believe_partial_checksums()?;
        }
        let mut rollback = Rollback::begin(&self.pins);
        let attached = attach::attach_one(&mut self.kernel, &self.pins, interface, &mut rollback);
        match attached {
            Ok(attached) => {
                rollback.keep();
                Ok(attached.mode)
            }
            Err(error) => {
                attach::undo(&mut self.kernel, &self.pins, one, &mut rollback);
                // The attempt has taken it out of where it stands.
                self.note_above().await?;
                Err(error)
            }
        }
    }

    /// Notes which interfaces stand on protected ones: what came in by those has another index above them.
    async fn note_above(&self) -> anyhow::Result<()> {
        let protected = self.pins.interfaces()?;
        let protected: Vec<u32> = protected.iter().map(|it| it.index).collect();
        let all = stack::all().await?;
        let above = stack::above(&protected, &all);
        let mut nics = self.kernel.maps().nics()?;
        for Stacked { index, .. } in all {
            let standing = match above.get(&index) {
                None => Standing::Apart,
                Some(Way { lowest, tag }) => {
                    let mut below = 0;
                    for lowest in lowest {
                        below |= nics.of(*lowest)?.bit();
                    }
                    Standing::Above {
                        nics: below,
                        tag: tag.unwrap_or(ANY_TAG),
                    }
                }
            };
            nics.place(index, standing)?;
        }
        Ok(())
    }

    /// Whether a message may be about an interface that stands on a protected one, or will.
    fn may_stack(&self, message: &NetlinkPayload<RouteNetlinkMessage>) -> bool {
        let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) = message else {
            return false;
        };
        let stacked = Stacked::read(link);
        let mut protected = self.pins.interfaces().into_iter().flatten();
        stacked.below.is_some() || protected.any(|it| it.index == stacked.index)
    }

    pub(super) fn believe_partial_checksums(&self) -> anyhow::Result<()> {
        let Wire(mut settings) = self.kernel.maps().settings()?.get(&0, 0)?;
        settings.partial_checksums = 1;
        self.kernel.set_settings(settings)
    }
}

/// Watches for ever.
///
/// # Errors
///
/// When netlink cannot be listened to.
pub(super) async fn watch(interfaces: &Mutex<Interfaces>, journal: &Journal) -> anyhow::Result<()> {
    let (connection, _handle, mut messages) =
        new_multicast_connection(&[MulticastGroup::Link]).context("cannot listen to netlink")?;
    let _connection = tokio::spawn(connection);
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            Some((message, _)) = messages.next() => Some(message.payload),
            _ = ticks.tick() => None,
        };
        let mut interfaces = interfaces.lock().await;
        if interfaces.lost_sight() {
            continue;
        }
        if let Err(error) = interfaces.look(message.as_ref(), journal).await {
            error!("cannot look after the interfaces: {error:#}");
        }
    }
}

/// The index of the interface that a message says is deleted. One that leaves a bridge is "deleted" too,
/// for the family of bridges.
fn deleted(message: &NetlinkPayload<RouteNetlinkMessage>) -> Option<u32> {
    match message {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link))
            if link.header.interface_family == AddressFamily::Unspec =>
        {
            Some(link.header.index)
        }
        _ => None,
    }
}
