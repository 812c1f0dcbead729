//! What XDP a driver has, without attaching anything: the netlink family `netdev` (kernel 6.3).

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use genetlink::{GenetlinkError, GenetlinkHandle};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use rtnetlink::packet_core::{
    DecodeError, Emitable, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, NlasIterator,
    ParseableParametrized,
};

/// `linux/netdev.h`.
const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
const NETDEV_XDP_ACT_BASIC: u64 = 1;
const NETDEV_XDP_ACT_RX_SG: u64 = 1 << 5;

/// What a driver says that it can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XdpFeatures {
    /// Programs run in the driver: native mode.
    pub native: bool,
    /// Frames of several buffers: no limit to the MTU.
    pub frags: bool,
}

impl XdpFeatures {
    /// Asks for the interface with this index; `None` where the kernel cannot tell.
    ///
    /// # Errors
    ///
    /// When netlink cannot be opened.
    pub async fn of(interface: u32) -> anyhow::Result<Option<Self>> {
        let (connection, handle, _) = genetlink::new_connection().context("cannot open netlink")?;
        let connection = tokio::spawn(connection);
        let features = ask(handle, interface).await;
        connection.abort();
        Ok(features
            .inspect_err(|error| tracing::debug!("no features of XDP: {error}"))
            .ok()
            .flatten())
    }
}

async fn ask(
    mut handle: GenetlinkHandle,
    interface: u32,
) -> Result<Option<XdpFeatures>, GenetlinkError> {
    let question = Device {
        interface,
        features: None,
    };
    let mut message = NetlinkMessage::from(GenlMessage::from_payload(question));
    message.header.flags = NLM_F_REQUEST;
    let answers = handle.request(message).await?;
    let answers: Vec<_> = answers.try_collect().await?;
    Ok(answers
        .into_iter()
        .find_map(|answer| match answer.payload {
            NetlinkPayload::InnerMessage(message) => message.payload.features,
            _ => None,
        })
        .map(|bits| XdpFeatures {
            native: bits & NETDEV_XDP_ACT_BASIC != 0,
            frags: bits & NETDEV_XDP_ACT_RX_SG != 0,
        }))
}

/// `NETDEV_CMD_DEV_GET`: an index as the question, features as the answer.
#[derive(Clone, Copy, Debug)]
struct Device {
    interface: u32,
    features: Option<u64>,
}

impl GenlFamily for Device {
    fn family_name() -> &'static str {
        "netdev"
    }

    fn command(&self) -> u8 {
        NETDEV_CMD_DEV_GET
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Device {
    /// One attribute: length and type, 16 bits each, and the index.
    fn buffer_len(&self) -> usize {
        8
    }

    fn emit(&self, buffer: &mut [u8]) {
        buffer[..2].copy_from_slice(&8_u16.to_ne_bytes());
        buffer[2..4].copy_from_slice(&NETDEV_A_DEV_IFINDEX.to_ne_bytes());
        buffer[4..8].copy_from_slice(&self.interface.to_ne_bytes());
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Device {
    fn parse_with_param(payload: &[u8], _header: GenlHeader) -> Result<Self, DecodeError> {
        let mut device = Self {
            interface: 0,
            features: None,
        };
        for attribute in NlasIterator::new(payload) {
            let attribute = attribute?;
            if attribute.kind() == NETDEV_A_DEV_XDP_FEATURES {
                device.features = attribute.value().try_into().ok().map(u64::from_ne_bytes);
            }
        }
        Ok(device)
    }
}
