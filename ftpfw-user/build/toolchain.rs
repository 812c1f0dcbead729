//! Which compiler and which linker build the eBPF object: decided here and nowhere else.
//!
//! `core` has no prebuilt form for the BPF target, so the compiler's own sources are needed beside
//! it. Compilers are tried in this order and the first usable one wins:
//!
//! 1. what `FTPFW_BPF_TOOLCHAIN` names: a directory that holds `bin/cargo`, or a rustup toolchain;
//! 2. the rustup toolchain `nightly`, if it has the component `rust-src`;
//! 3. the distribution's compiler in `/usr/bin` (Debian: rustc-web, cargo-web, rust-web-src).
//!
//! A build script and `cargo xtask` both include this file; it uses the standard library only.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Names the compiler to use instead of looking for one.
pub const OVERRIDE: &str = "FTPFW_BPF_TOOLCHAIN";

/// The oldest bpf-linker that ftpfw is built and tested with.
const OLDEST_LINKER: (u32, u32) = (0, 13);

/// A compiler and a linker that can read what it writes.
#[derive(Debug)]
pub struct Toolchain {
    pub compiler: Compiler,
    pub linker: Linker,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.compiler, self.linker)
    }
}

/// A Rust compiler with the sources of `core`.
#[derive(Clone, Debug)]
pub struct Compiler {
    /// Where it was found, in words.
    pub origin: String,
    /// The directory of `cargo` and `rustc`.
    pub bin: PathBuf,
    pub release: String,
    /// The major version of the LLVM inside.
    pub llvm: u32,
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            origin,
            release,
            llvm,
            ..
        } = self;
        write!(f, "rustc {release} (LLVM {llvm}) of {origin}")
    }
}

/// A bpf-linker that runs.
#[derive(Clone, Debug)]
pub struct Linker {
    pub path: PathBuf,
    pub release: String,
    /// The major version of the LLVM that it loads; `None` if LLVM is linked in.
    pub llvm: Option<u32>,
}

impl fmt::Display for Linker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bpf-linker {}", self.release)
    }
}

/// Why there is no toolchain. Its text is the whole message for the user.
#[derive(Debug)]
pub enum Missing {
    /// No compiler is usable: every place that was looked at, and what was wrong with it.
    Compiler(Vec<String>),
    /// This compiler would do, but the linker is missing or does not fit.
    Linker { compiler: Compiler, why: String },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compiler(tried) => {
                writeln!(f, "no compiler here can build the eBPF programs:")?;
                for reason in tried {
                    writeln!(f, "  - {reason}")?;
                }
            }
            Self::Linker { compiler, why } => {
                writeln!(
                    f,
                    "{compiler} can compile the eBPF programs, but not link them:"
                )?;
                writeln!(f, "  - {why}")?;
            }
        }
        write!(
            f,
            "Install what is missing with `cargo xtask setup`, or name a toolchain in {OVERRIDE}."
        )
    }
}

impl std::error::Error for Missing {}

/// The toolchain to use. `oldest` is the workspace's `rust-version`.
///
/// # Errors
///
/// When no compiler is usable, or none that the installed linker fits.
pub fn find(oldest: &str) -> Result<Toolchain, Missing> {
    let linker = find_linker();
    let mut tried = Vec::new();
    let mut unlinked = None;
    for candidate in compilers(oldest) {
        let why = match (candidate, &linker) {
            (Err(why), _) => {
                tried.push(why);
                continue;
            }
            (Ok(compiler), Ok(linker)) if linker.reads(compiler.llvm) => {
                return Ok(Toolchain {
                    compiler,
                    linker: linker.clone(),
                });
            }
            (Ok(compiler), Ok(linker)) => (compiler, format!("{linker} has an older LLVM")),
            (Ok(compiler), Err(why)) => (compiler, why.clone()),
        };
        unlinked.get_or_insert(why);
    }
    Err(match unlinked {
        Some((compiler, why)) => Missing::Linker { compiler, why },
        None => Missing::Compiler(tried),
    })
}

impl Linker {
    /// LLVM reads the bitcode of its own and of older versions.
    fn reads(&self, llvm: u32) -> bool {
        self.llvm.is_none_or(|own| own >= llvm)
    }
}

/// Every place that may hold a compiler, best first: the compiler, or why it is not usable.
fn compilers(oldest: &str) -> Vec<Result<Compiler, String>> {
    if let Some(wanted) = env::var_os(OVERRIDE) {
        let (bin, origin) = match Path::new(&wanted) {
            dir if dir.is_absolute() => (dir.join("bin"), dir.display().to_string()),
            name => (
                rustup_toolchains().join(name).join("bin"),
                format!("rustup toolchain {}", name.display()),
            ),
        };
        return vec![
            compiler_in(&bin, &origin, oldest).map_err(|why| format!("{OVERRIDE}: {why}")),
        ];
    }
    let nightly = format!("nightly-{}-", env::consts::ARCH);
    let nightly = fs::read_dir(rustup_toolchains())
        .into_iter()
        .flatten()
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with(&nightly));
    vec![
        nightly.map_or_else(
            || Err("rustup toolchain nightly: not installed".to_owned()),
            |entry| {
                compiler_in(
                    &entry.path().join("bin"),
                    "rustup toolchain nightly",
                    oldest,
                )
            },
        ),
        compiler_in(Path::new("/usr/bin"), "the distribution (/usr/bin)", oldest),
    ]
}

/// Asks the compiler in `bin` what it is, and looks for the sources of `core` in its sysroot.
fn compiler_in(bin: &Path, origin: &str, oldest: &str) -> Result<Compiler, String> {
    let [cargo, rustc] = ["cargo", "rustc"].map(|name| bin.join(name));
    if let Some(absent) = [&cargo, &rustc].into_iter().find(|path| !path.exists()) {
        return Err(format!("{origin}: {} does not exist", absent.display()));
    }
    let version = output(Command::new(&rustc).arg("-vV"))?;
    let field = |name: &str| {
        version
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let (Some(release), Some(llvm)) = (field("release"), field("LLVM version")) else {
        return Err(format!(
            "{origin}: `rustc -vV` names no release or no LLVM version"
        ));
    };
    if major_minor(release) < major_minor(oldest) {
        return Err(format!("{origin}: rustc {release} is older than {oldest}"));
    }
    let sysroot = output(Command::new(&rustc).args(["--print", "sysroot"]))?;
    let core = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/src/lib.rs");
    if !core.exists() {
        return Err(format!(
            "{origin}: rustc {release} comes without the sources of `core` (rust-src)"
        ));
    }
    Ok(Compiler {
        origin: origin.to_owned(),
        bin: bin.to_owned(),
        release: release.to_owned(),
        llvm: major_minor(llvm).0,
    })
}

/// bpf-linker in PATH, or where `cargo install` puts it.
fn find_linker() -> Result<Linker, String> {
    let mut dirs: Vec<PathBuf> = env::var_os("PATH")
        .iter()
        .flat_map(env::split_paths)
        .collect();
    dirs.push(home_of("CARGO_HOME", ".cargo").join("bin"));
    let path = dirs
        .into_iter()
        .map(|dir| dir.join("bpf-linker"))
        .find(|path| path.is_file())
        .ok_or("bpf-linker: not in PATH and not in cargo's bin directory")?;
    let version = output(Command::new(&path).arg("--version"))?;
    let release = version
        .split_whitespace()
        .nth(1)
        .unwrap_or_default()
        .to_owned();
    if major_minor(&release) < OLDEST_LINKER {
        let (major, minor) = OLDEST_LINKER;
        return Err(format!(
            "{}: version {release} is older than {major}.{minor}",
            path.display()
        ));
    }
    // bpf-linker does not say which LLVM it has; the name of the library that it loads does
    // ("libLLVM.so.22.1", "libLLVM-22.so"). Without such a library LLVM is inside it.
    let libraries = output(Command::new("ldd").arg(&path)).unwrap_or_default();
    let llvm = libraries.split_once("libLLVM").map(|(_, rest)| {
        let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
        major_minor(digits.split(' ').next().unwrap_or_default()).0
    });
    Ok(Linker {
        path,
        release,
        llvm,
    })
}

fn rustup_toolchains() -> PathBuf {
    home_of("RUSTUP_HOME", ".rustup").join("toolchains")
}

fn home_of(variable: &str, default: &str) -> PathBuf {
    env::var_os(variable).map_or_else(
        || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(default),
        PathBuf::from,
    )
}

/// The first two numbers of a version; what cannot be read counts as 0, the oldest.
pub fn major_minor(version: &str) -> (u32, u32) {
    let mut numbers = version
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// What a command prints. It must succeed: a compiler whose libraries are gone is not usable.
fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("{program} cannot be run: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program} does not work: {}", stderr.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
