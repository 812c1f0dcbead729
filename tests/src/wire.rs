//! Frames straight onto and off a host's `eth0` (AF_PACKET): what no socket of the kernel would send.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::io::Errno;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::netdevice::name_to_index;
use rustix::net::sockopt::{Timeout, set_socket_recv_buffer_size, set_socket_timeout};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto,
    socket_with,
};
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};

use crate::lab::{Host, Lab};
use crate::netns::Netns;
use crate::wait::{self, patience};

/// `ETH_P_ALL`: frames of every protocol.
const EVERY_PROTOCOL: u16 = 3;
/// A GSO super-packet comes in one piece.
const LONGEST: usize = 1 << 17;
/// Room for whatever arrives while nobody reads; the kernel drops what does not fit.
const BUFFER: usize = 4 << 20;

/// `struct sockaddr_ll` (packet(7)).
#[repr(C)]
struct Link {
    family: u16,
    protocol: u16,
    interface: i32,
    hardware_type: u16,
    packet_type: u8,
    address_length: u8,
    address: [u8; 8],
}

// SAFETY: the closure gets a pointer to a whole `sockaddr_ll`, alive during the call, and its size.
unsafe impl SocketAddrArg for Link {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        f(
            (&raw const *self).cast(),
            size_of::<Self>() as SocketAddrLen,
        )
    }
}

/// A host's end of its cable.
#[derive(Debug)]
pub struct Wire {
    socket: OwnedFd,
    interface: i32,
    mac: [u8; 6],
}

impl Wire {
    /// Opens `eth0` of a host. The calling thread stays on one CPU from now on: frames that are sent
    /// in order then arrive in order.
    ///
    /// # Errors
    /// Without root.
    pub fn new(lab: &Lab, host: &Host) -> Result<Self> {
        pass_everything(&lab.switch)?;
        let mut one = CpuSet::new();
        one.set(sched_getcpu());
        sched_setaffinity(None, &one).context("stay on one CPU")?;
        let (socket, interface) = host.netns.run(|| open("eth0"))??;
        Ok(Self {
            socket,
            interface,
            mac: host.mac,
        })
    }

    /// Opens the loopback of the current namespace, to listen.
    ///
    /// # Errors
    /// Without root.
    pub fn loopback() -> Result<Self> {
        let (socket, interface) = open("lo")?;
        Ok(Self {
            socket,
            interface,
            mac: [0; 6],
        })
    }

    /// Opens `eth0` of a host, to listen.
    ///
    /// # Errors
    /// Without root.
    pub fn tap(host: &Host) -> Result<Self> {
        let (socket, interface) = host.netns.run(|| open("eth0"))??;
        let mac = host.mac;
        Ok(Self {
            socket,
            interface,
            mac,
        })
    }

    /// Sends a frame as it is, but for its hardware addresses: from this host, to `to`. A queue that is
    /// full, as floods fill it on a busy machine, is waited for.
    ///
    /// # Errors
    /// When the kernel refuses it: longer than the MTU, or not even an Ethernet header; when the queue
    /// stays full.
    pub fn send(&self, to: &Host, mut frame: Vec<u8>) -> Result<()> {
        frame[..6].copy_from_slice(&to.mac);
        frame[6..12].copy_from_slice(&self.mac);
        let interface = link(self.interface);
        let what = format!("a frame of {} bytes to be sent", frame.len());
        wait::until(&what, || {
            match sendto(&self.socket, &frame, SendFlags::empty(), &interface) {
                Ok(_) => Ok(Some(())),
                Err(Errno::NOBUFS) => Ok(None),
                Err(error) => Err(error).context(what.clone()),
            }
        })
    }

    /// The next frame that passes the interface, in either direction.
    ///
    /// # Errors
    /// When none comes within [`patience`].
    pub fn receive(&self) -> Result<Vec<u8>> {
        let mut frame = vec![0; LONGEST];
        match recv(&self.socket, frame.as_mut_slice(), RecvFlags::empty()) {
            Ok((length, _)) => {
                frame.truncate(length);
                Ok(frame)
            }
            Err(Errno::AGAIN) => bail!("waited {:?} in vain for a frame", patience()),
            Err(error) => Err(error).context("read frames"),
        }
    }

    /// The beginning of the next frame, as much of it as there is room for; `None` when none comes in
    /// that time.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn glance<'a>(&self, room: &'a mut [u8], wait: Duration) -> Result<Option<&'a [u8]>> {
        set_socket_timeout(&self.socket, Timeout::Recv, Some(wait))?;
        match recv(&self.socket, &mut *room, RecvFlags::empty()) {
            Ok((length, _)) => Ok(Some(&room[..length])),
            Err(Errno::AGAIN) => Ok(None),
            Err(error) => Err(error).context("read frames"),
        }
    }
}

/// Where the kernel has br_netfilter, a bridge drops malformed IPv4 by itself. A switch does not.
fn pass_everything(switch: &Netns) -> Result<()> {
    for table in ["iptables", "ip6tables", "arptables"] {
        let path = format!("/proc/sys/net/bridge/bridge-nf-call-{table}");
        switch.run(|| match fs::write(&path, "0") {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })??;
    }
    Ok(())
}

fn open(interface: &str) -> Result<(OwnedFd, i32)> {
    let protocol =
        std::num::NonZero::new(u32::from(EVERY_PROTOCOL.to_be())).map(Protocol::from_raw);
    let socket = socket_with(
        AddressFamily::PACKET,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        protocol,
    )
    .context("open a packet socket")?;
    let interface = name_to_index(&socket, interface)
        .with_context(|| format!("find {interface}"))?
        .try_into()?;
    bind(&socket, &link(interface)).context("bind a packet socket")?;
    set_socket_recv_buffer_size(&socket, BUFFER)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(patience()))?;
    Ok((socket, interface))
}

fn link(interface: i32) -> Link {
    Link {
        family: AddressFamily::PACKET.as_raw(),
        protocol: EVERY_PROTOCOL.to_be(),
        interface,
        hardware_type: 0,
        packet_type: 0,
        address_length: 0,
        address: [0; 8],
    }
}
