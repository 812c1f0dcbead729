//! What ethtool(8) shows of an interface: queues and offloads.

use futures_util::{Stream, TryStreamExt as _};
use netlink_packet_generic::GenlMessage;

use anyhow::Context as _;
use ethtool::{
    EthtoolAttr, EthtoolChannelAttr, EthtoolError, EthtoolFeatureAttr, EthtoolHandle,
    EthtoolMessage,
};

/// The kernel's names of the offloads (`net/ethtool/common.c`).
const LRO: &str = "rx-lro";
const RX_VLAN: &str = "rx-vlan-hw-parse";

/// What is on, and how many there are. What a driver does not tell is off, or 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ethtool {
    /// Large receive offload: the NIC makes one segment of several, and loses what they were.
    pub lro: bool,
    /// The NIC takes VLAN tags off.
    pub rx_vlan: bool,
    /// Queues that receive.
    pub queues: u32,
    /// The most of these that there can be.
    pub queues_max: u32,
    /// Whether they send too: ethtool's `combined`, not `rx`.
    pub combined: bool,
}

impl Ethtool {
    /// Asks about the interface of that name.
    ///
    /// # Errors
    ///
    /// When the kernel has no netlink family for it (before 5.6), or the interface is gone.
    pub async fn of(interface: &str) -> anyhow::Result<Self> {
        let (connection, handle, _) = ethtool::new_connection().context("cannot open netlink")?;
        let connection = tokio::spawn(connection);
        let found = ask(handle, interface).await;
        connection.abort();
        found.context("cannot ask ethtool's netlink")
    }

    fn note(&mut self, attribute: &EthtoolAttr) {
        match attribute {
            EthtoolAttr::Feature(EthtoolFeatureAttr::Active(bits)) => {
                let on = |name| bits.iter().any(|bit| bit.name == name && bit.value);
                (self.lro, self.rx_vlan) = (on(LRO), on(RX_VLAN));
            }
            EthtoolAttr::Channel(attribute) => self.count(attribute),
            _ => {}
        }
    }

    /// Drivers have queues that do both, queues that do one, or some of each.
    const fn count(&mut self, attribute: &EthtoolChannelAttr) {
        match attribute {
            EthtoolChannelAttr::RxCount(number) => self.queues += *number,
            EthtoolChannelAttr::CombinedCount(number) => {
                self.queues += *number;
                self.combined = *number > 0;
            }
            EthtoolChannelAttr::RxMax(number) | EthtoolChannelAttr::CombinedMax(number) => {
                self.queues_max += *number;
            }
            _ => {}
        }
    }
}

async fn ask(mut handle: EthtoolHandle, interface: &str) -> Result<Ethtool, EthtoolError> {
    let mut found = Ethtool::default();
    let features = handle.feature().get(Some(interface)).execute().await?;
    read(features, &mut found).await?;
    // Not every driver has channels to tell of; then there is one queue, or nobody knows.
    let channels = handle.channel().get(Some(interface)).execute().await?;
    if let Err(error) = read(channels, &mut found).await {
        tracing::debug!("{interface} tells of no channels: {error}");
    }
    Ok(found)
}

async fn read(
    answers: impl Stream<Item = Result<GenlMessage<EthtoolMessage>, EthtoolError>>,
    into: &mut Ethtool,
) -> Result<(), EthtoolError> {
    let answers: Vec<_> = answers.try_collect().await?;
    for answer in answers {
        answer.payload.nlas.iter().for_each(|nla| into.note(nla));
    }
    Ok(())
}
