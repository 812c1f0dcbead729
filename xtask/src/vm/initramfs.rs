//! The initramfs: process 1, its plan, and the modules without which the host's files cannot be had.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::kernel::Kernel;

/// What the root needs. virtio comes first: it is built in from 6.12 on, and before nothing says
/// that 9p needs its bus.
const MODULES: [&str; 3] = ["virtio_pci", "9pnet_virtio", "overlay"];
/// Found by what is mounted, not by what depends on it.
const FILE_SYSTEM: &str = "9p";

/// Writes the initramfs for a kernel.
///
/// # Errors
/// When a module cannot be read or decompressed.
pub fn write(kernel: &Kernel, init: &Path, plan: &str, to: &Path) -> Result<()> {
    let mut archive = Archive::default();
    archive.add("init", 0o100_755, &fs::read(init).context("read vm-init")?);
    archive.add("plan", 0o100_644, plan.as_bytes());
    let mut listed = String::new();
    for (at, path) in needed(&kernel.modules)?.iter().enumerate() {
        let name = format!("{at}.ko");
        archive.add(&name, 0o100_644, &read(&kernel.modules.join(path))?);
        listed.push_str(&format!("/{name}\n"));
    }
    archive.add("modules", 0o100_644, listed.as_bytes());
    fs::write(to, archive.finish()).with_context(|| format!("write {}", to.display()))
}

/// The files of [`MODULES`] and of what they depend on, in the order of loading.
fn needed(modules: &Path) -> Result<Vec<String>> {
    let index = fs::read_to_string(modules.join("modules.dep")).context("read modules.dep")?;
    let mut files = Vec::new();
    let mut seen = HashSet::new();
    for name in MODULES.into_iter().chain([FILE_SYSTEM]) {
        for file in closure(&index, name) {
            if seen.insert(file) {
                files.push(file.to_owned());
            }
        }
    }
    Ok(files)
}

/// The dependencies of a module, then itself; nothing when it is built in.
/// A line of the index is "kernel/a.ko: kernel/b.ko kernel/c.ko", and c is to be loaded before b.
fn closure<'a>(index: &'a str, name: &str) -> Vec<&'a str> {
    let of_that_name = |file: &str| {
        let stem = file.rsplit('/').next().and_then(|it| it.split('.').next());
        stem == Some(name)
    };
    let line = index
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(file, _)| of_that_name(file));
    let Some((file, dependencies)) = line else {
        return Vec::new();
    };
    let dependencies = dependencies.split_whitespace().rev();
    dependencies.chain([file]).collect()
}

/// A module, decompressed: the kernel takes no other, unless it is built to.
fn read(path: &Path) -> Result<Vec<u8>> {
    let extension = path.extension().and_then(|it| it.to_str());
    let program = match extension {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::read(path).with_context(|| format!("read {}", path.display())),
    };
    let mut decompress = Command::new(program);
    decompress.args(["--decompress", "--stdout"]).arg(path);
    let output = decompress
        .output()
        .with_context(|| format!("run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{decompress:?}: {}", said.trim());
    Ok(output.stdout)
}

/// A cpio archive in the "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst):
/// a header of hexadecimal numbers, name and contents, each padded to 4 bytes.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds a file; `mode` has its kind too.
    fn add(&mut self, name: &str, mode: u32, contents: &[u8]) {
        self.entries += 1;
        let size = contents.len();
        let name_size = name.len() + 1;
        // Inode, mode, user, group, links, time, size, device and its kind, name, checksum.
        let header = format!(
            "070701{:08x}{mode:08x}{zero}{zero}{:08x}{zero}{size:08x}{zero}{zero}{zero}{zero}{name_size:08x}{zero}",
            self.entries,
            1,
            zero = "00000000",
        );
        self.bytes.extend(header.as_bytes());
        self.bytes.extend(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(contents);
        self.pad();
    }

    fn pad(&mut self) {
        let padded = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(padded, 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_loaded_after_what_they_depend_on() {
        let index = "kernel/net/9p/9pnet.ko.xz:\n\
                     kernel/fs/9p/9p.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/fs/netfs/netfs.ko.xz\n";
        assert_eq!(
            closure(index, "9p"),
            [
                "kernel/fs/netfs/netfs.ko.xz",
                "kernel/net/9p/9pnet.ko.xz",
                "kernel/fs/9p/9p.ko.xz"
            ]
        );
        assert!(closure(index, "virtio_pci").is_empty());
    }

    #[test]
    fn an_archive_is_padded_to_four_bytes() {
        let mut archive = Archive::default();
        archive.add("one", 0o100_644, b"first");
        archive.add("a longer name", 0o100_755, b"second\n");
        let bytes = archive.finish();
        assert!(bytes.len().is_multiple_of(4));
        assert_eq!(&bytes[..6], b"070701");
        // The header has 110 bytes; with the name and its NUL, 114 are padded to 116.
        assert_eq!(&bytes[110..121], b"one\0\0\0first");
    }
}
