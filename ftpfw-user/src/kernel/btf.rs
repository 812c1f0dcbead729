//! Layouts of the kernel's structures, from its BTF.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
};

use anyhow::{Context as _, bail};
use btf_rs::{Backend, Btf, BtfType, Struct, Type};
use ftpfw_common::abi::kernel::KernelLayout;
use nix::sys::memfd::{MFdFlags, memfd_create};

/// The types of the running kernel.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
/// Anonymous structs and unions inside each other; the kernel has two or three.
const DEPTH: u32 = 8;

/// Where the kernel keeps what the tracepoint programs read, for the network namespace of this thread.
///
/// # Errors
///
/// When the kernel has no BTF, or a structure lacks what is asked for.
pub fn kernel_layout() -> anyhow::Result<KernelLayout> {
    let btf = types()?;
    let named = |name| Outer::named(&btf, name);
    let (sock, inet_sock, tcp_sock) = (named("sock")?, named("inet_sock")?, named("tcp_sock")?);
    let (net, task) = (named("net")?, named("task_struct")?);
    let common = |member| sock.offset(&["__sk_common", member]);
    Ok(KernelLayout {
        family: common("skc_family")?,
        protocol: sock.offset(&["sk_protocol"])?,
        local_v4: inet_sock.offset(&["inet_saddr"])?,
        remote_v4: common("skc_daddr")?,
        local_v6: common("skc_v6_rcv_saddr")?,
        remote_v6: common("skc_v6_daddr")?,
        local_port: inet_sock.offset(&["inet_sport"])?,
        remote_port: common("skc_dport")?,
        // `possible_net_t` holds nothing but the pointer.
        net: common("skc_net")?,
        inum: net.offset(&["ns", "inum"])?,
        pid: task.offset(&["pid"])?,
        tgid: task.offset(&["tgid"])?,
        flags: common("skc_flags")?,
        // A `struct tcp_sock` begins with its `struct sock`.
        received: tcp_sock.offset(&["bytes_received"])?,
        acked: tcp_sock.offset(&["bytes_acked"])?,
        namespace: namespace()?,
    })
}

/// Which of these raw tracepoints the kernel lacks: each has a type of its own (`DECLARE_TRACE` in
/// `include/trace/bpf_probe.h`).
///
/// # Errors
///
/// When the kernel has no BTF.
pub fn missing_tracepoints<'a>(
    names: impl IntoIterator<Item = &'a str>,
) -> anyhow::Result<Vec<&'a str>> {
    let btf = types()?;
    let is_there = |name: &str| {
        let found = btf.resolve_types_by_name(&format!("btf_trace_{name}"));
        found.is_ok_and(|types| !types.is_empty())
    };
    Ok(names.into_iter().filter(|it| !is_there(it)).collect())
}

/// The types of the running kernel, read where they lie: a few of 100,000 and more are asked for, and
/// `Backend::Cache` begins with a string for each of their names.
fn types() -> anyhow::Result<Btf> {
    let copy = || -> anyhow::Result<Btf> {
        // A copy in memory: sysfs does not map its files before Linux 6.16 (fs/sysfs, kernel/bpf/sysfs_btf.c).
        let mut copy = File::from(memfd_create(c"vmlinux.btf", MFdFlags::MFD_CLOEXEC)?);
        io::copy(&mut File::open(VMLINUX)?, &mut copy)?;
        let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
        Ok(Btf::from_file_with_backend(path, Backend::Mmap)?)
    };
    copy().with_context(|| format!("cannot read {VMLINUX}"))
}

/// The number of this thread's network namespace.
fn namespace() -> anyhow::Result<u32> {
    const FILE: &str = "/proc/thread-self/ns/net";
    let number = fs::metadata(FILE)
        .with_context(|| format!("cannot look at {FILE}"))?
        .ino();
    u32::try_from(number).with_context(|| format!("{FILE} has the number {number}"))
}

/// A struct of the kernel's whose members are looked for.
struct Outer<'a> {
    btf: &'a Btf,
    name: &'a str,
    it: Struct,
}

impl<'a> Outer<'a> {
    /// Goes through all types once.
    fn named(btf: &'a Btf, name: &'a str) -> anyhow::Result<Self> {
        let missing = || format!("the kernel's BTF has no struct {name}");
        let types = btf.resolve_types_by_name(name).with_context(missing)?;
        let it = types.into_iter().find_map(|it| match it {
            Type::Struct(it) => Some(it),
            _ => None,
        });
        let it = it.with_context(missing)?;
        Ok(Self { btf, name, it })
    }

    /// Byte offset of a member, and of members inside of it.
    fn offset(&self, path: &[&str]) -> anyhow::Result<u32> {
        let missing = || format!("the kernel's BTF has no {}.{}", self.name, path.join("."));
        let mut outer = self.it.clone();
        let mut bits = 0;
        for (nth, member) in path.iter().enumerate() {
            let (at, inner) = find(self.btf, &outer, member, DEPTH).with_context(missing)?;
            bits += at;
            if nth + 1 < path.len() {
                outer = structure(self.btf, inner).with_context(missing)?;
            }
        }
        if !bits.is_multiple_of(8) {
            let name = self.name;
            bail!("{name}.{} is a bit field in this kernel", path.join("."));
        }
        Ok(bits / 8)
    }
}

/// Bit offset and type of a member, also of anonymous structs and unions inside.
fn find(btf: &Btf, within: &Struct, name: &str, depth: u32) -> Option<(u32, Type)> {
    let depth = depth.checked_sub(1)?;
    within.members.iter().find_map(|member| {
        let inner = btf.resolve_chained_type(member).ok()?;
        let own = btf.resolve_name(member).unwrap_or_default();
        if own == name {
            return Some((member.bit_offset(), inner));
        }
        if !own.is_empty() {
            return None;
        }
        let (at, found) = find(btf, &structure(btf, inner)?, name, depth)?;
        Some((member.bit_offset() + at, found))
    })
}

/// The struct or union that a type is, behind its names and qualifiers.
fn structure(btf: &Btf, mut kind: Type) -> Option<Struct> {
    for _ in 0..DEPTH {
        kind = match &kind {
            Type::Struct(it) | Type::Union(it) => return Some(it.clone()),
            Type::Typedef(it) => btf.resolve_chained_type(it as &dyn BtfType).ok()?,
            Type::Const(it) | Type::Volatile(it) => {
                btf.resolve_chained_type(it as &dyn BtfType).ok()?
            }
            _ => return None,
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What has been where it is since there is such a thing (`include/net/sock.h`).
    #[test]
    fn the_kernel_that_runs_has_what_is_asked_for() {
        let layout = kernel_layout().unwrap();
        println!("{layout:?}");
        assert_eq!(
            (layout.remote_v4, layout.remote_port, layout.family),
            (0, 12, 16)
        );
        assert!(layout.net > layout.family && layout.remote_v6 > layout.net);
        assert!(layout.local_port > layout.local_v6);
        assert_eq!(layout.tgid, layout.pid + 4);
        assert!(layout.received > layout.local_port && layout.acked > layout.local_port);
        assert_ne!(layout.namespace, 0);
    }

    #[test]
    fn tracepoints_have_types() {
        let missing = |name| missing_tracepoints([name]).unwrap();
        assert!(missing("inet_sock_set_state").is_empty());
        assert_eq!(missing("no_such_tracepoint"), ["no_such_tracepoint"]);
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let btf = types().unwrap();
        let error = Outer::named(&btf, "no_such_struct").err().unwrap();
        assert!(error.to_string().contains("no_such_struct"), "{error:#}");
        let sock = Outer::named(&btf, "sock").unwrap();
        for path in [
            ["__sk_common", "no_such_member"],
            ["no_such_member", "skc_net"],
        ] {
            let error = sock.offset(&path).unwrap_err();
            assert!(error.to_string().contains(&path.join(".")), "{error:#}");
        }
    }
}
