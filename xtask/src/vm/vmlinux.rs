//! The kernel proper out of a bzImage, as the kernel's own `scripts/extract-vmlinux` does it. A
//! processor that is emulated would take seconds to decompress it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

/// Writes the ELF file that is compressed in `image`.
///
/// # Errors
/// When it is no bzImage, or is compressed in an unknown way.
pub fn extract(image: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(image).with_context(|| format!("read {}", image.display()))?;
    let payload = payload(&bytes).with_context(|| format!("{} is no bzImage", image.display()))?;
    let (program, compressed) = decompressor(payload)?;
    decompress(program, compressed, to)?;
    let found = fs::read(to)?;
    ensure!(
        found.starts_with(b"\x7fELF"),
        "{program} made no ELF file of {}",
        image.display()
    );
    Ok(())
}

/// The compressed kernel, by the header at 0x1f1 (Documentation/arch/x86/boot.rst, protocol 2.08).
fn payload(image: &[u8]) -> Option<&[u8]> {
    const SECTOR: usize = 512;
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let number = |at: usize| {
        let bytes = image.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    // "For backwards compatibility, if the setup_sects field contains 0, the real value is 4."
    let setup = match *image.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let from = (setup + 1) * SECTOR + number(0x248)?;
    image.get(from..from + number(0x24c)?)
}

/// What decompresses it, and the part of it that is the program's own format: the size of the result
/// is appended for all but gzip, which ends with it anyway.
fn decompressor(payload: &[u8]) -> Result<(&'static str, &[u8])> {
    const FORMATS: [(&[u8], &str, usize); 4] = [
        (b"\x1f\x8b", "gzip", 0),
        (b"\xfd7zXZ", "xz", 4),
        (b"\x28\xb5\x2f\xfd", "zstd", 4),
        (b"\x02\x21\x4c\x18", "lz4", 4),
    ];
    for (magic, program, appended) in FORMATS {
        if payload.starts_with(magic) {
            return Ok((program, &payload[..payload.len() - appended]));
        }
    }
    bail!("it is compressed in an unknown way")
}

fn decompress(program: &str, compressed: &[u8], to: &Path) -> Result<()> {
    let output = File::create(to).with_context(|| format!("write {}", to.display()))?;
    let mut child = Command::new(program)
        .args(["--decompress", "--stdout"])
        .stdin(Stdio::piped())
        .stdout(output)
        .spawn()
        .with_context(|| format!("run {program}"))?;
    // Closed at the end of the statement: that is how the program learns of the end.
    let mut input = child.stdin.take().context("it has a standard input")?;
    let written = input.write_all(compressed);
    drop(input);
    ensure!(child.wait()?.success(), "{program} failed");
    written.with_context(|| format!("write to {program}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_where_the_header_says() {
        let mut image = vec![0; 0x400 + 20];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x1f1] = 1;
        image[0x248] = 4;
        image[0x24c] = 9;
        image[0x404..0x404 + 9].copy_from_slice(b"\x28\xb5\x2f\xfdxsize");
        let payload = payload(&image).expect("a bzImage");
        assert_eq!(
            decompressor(payload).expect("zstd"),
            ("zstd", b"\x28\xb5\x2f\xfdx".as_slice())
        );
    }

    #[test]
    fn other_files_are_refused() {
        assert!(payload(b"\x7fELF").is_none());
        assert!(decompressor(b"BZh9").is_err());
    }
}
