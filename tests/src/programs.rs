//! Where the programs of others are.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// Finds a program of the system: the environment variable `FTPFW_<NAME>`, then what `cargo xtask
/// setup` has unpacked into `target/tools/<name>`, then what is installed.
///
/// # Errors
/// When it is nowhere; the message says how to get it.
pub fn find(name: &str) -> Result<PathBuf> {
    let variable = format!("FTPFW_{}", name.replace('-', "_").to_uppercase());
    if let Some(path) = named_by(&variable)? {
        return Ok(path);
    }
    let tools = target_directory().map(|target| target.join("tools").join(name));
    let unpacked = ["usr/sbin", "usr/bin"].map(|bin| tools.as_ref().map(|tools| tools.join(bin)));
    // The system's directories go before PATH: wrappers found there (pyenv's) cost 0.1 s a start.
    let system = ["/usr/sbin", "/usr/bin"].map(|bin| Some(PathBuf::from(bin)));
    let path = env::var_os("PATH").unwrap_or_default();
    unpacked
        .into_iter()
        .chain(system)
        .flatten()
        .chain(env::split_paths(&path))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
        .with_context(|| {
            format!("{name} not found: run `cargo xtask setup`, or set {variable} to its path")
        })
}

/// Finds a program that the package of another program has brought along.
///
/// # Errors
/// When it is not there.
pub fn find_beside(other: &str, name: &str) -> Result<PathBuf> {
    let other = find(other)?;
    let usr = other.parent().and_then(Path::parent);
    ["bin", "sbin"]
        .iter()
        .filter_map(|bin| Some(usr?.join(bin).join(name)))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("{name} is not beside {}", other.display()))
}

/// Finds a program of this workspace: the environment variable, then cargo's builds.
///
/// # Errors
/// When it has not been built; the message has the command that `build` is.
pub fn find_built(name: &str, variable: &str, build: &str) -> Result<PathBuf> {
    if let Some(path) = named_by(variable)? {
        return Ok(path);
    }
    target_directory()
        .into_iter()
        .flat_map(|target| ["release", "debug"].map(|profile| target.join(profile).join(name)))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("{name} has not been built: run `{build}`, or set {variable}"))
}

/// The file that an environment variable names; `None` when it is not set.
fn named_by(variable: &str) -> Result<Option<PathBuf>> {
    let path = env::var_os(variable).map(PathBuf::from);
    if let Some(path) = &path {
        ensure!(
            path.is_file(),
            "{variable} is {}, which is no file",
            path.display()
        );
    }
    Ok(path)
}

/// A command for a program that may have been unpacked from a package without its libraries being
/// installed: those lie beside it.
#[must_use]
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some(libraries) = libraries(program) {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    command
}

/// Copies a program to where it is to be executed.
///
/// By a process of its own: children that other threads fork while this one writes hold the file open
/// for writing until they execute something, and the kernel refuses to execute it (ETXTBSY).
///
/// # Errors
/// When it cannot be copied.
pub fn install(program: &Path, target: &Path) -> Result<()> {
    let output = installer(program, target).output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

/// Writes a program of the shell, as [`install`] would.
///
/// # Errors
/// When it cannot be written.
pub fn install_script(script: &str, target: &Path) -> Result<()> {
    // Not /dev/stdin, which a machine without udev has not.
    let mut child = installer(Path::new("/proc/self/fd/0"), target)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("a pipe")?;
    write!(stdin, "#!/bin/sh\n{script}\n")?;
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

fn installer(source: &Path, target: &Path) -> Command {
    let mut command = Command::new("install");
    command.arg("--mode=755").args([source, target]);
    command
}

/// `usr/lib/<triple>` of the tree that `usr/sbin/<program>` is in; none for the system's own.
fn libraries(program: &Path) -> Option<OsString> {
    let usr = program.parent()?.parent()?;
    if usr == Path::new("/usr") {
        return None;
    }
    let directories = fs::read_dir(usr.join("lib"))
        .ok()?
        .flatten()
        .map(|entry| entry.path());
    env::join_paths(directories.filter(|path| path.is_dir())).ok()
}

/// The target directory of cargo that the running program was built into.
#[must_use]
pub fn target_directory() -> Option<PathBuf> {
    if let Some(target) = env::var_os("CARGO_TARGET_DIR") {
        return Some(target.into());
    }
    let program = env::current_exe().ok()?;
    program
        .ancestors()
        .find(|path| path.ends_with("target"))
        .map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_the_way_to_get_it() {
        let error = find("no-such-program")
            .expect_err("it does not exist")
            .to_string();
        assert!(error.contains("cargo xtask setup") && error.contains("FTPFW_NO_SUCH_PROGRAM"));
        assert!(find("sh").is_ok());
    }

    #[test]
    fn what_is_installed_can_be_executed() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let [copy, script] = ["sh", "script"].map(|name| directory.path().join(name));
        install(&find("sh")?, &copy)?;
        install_script("echo \"$1\"", &script)?;
        let output = Command::new(copy).arg(script).arg("said").output()?;
        assert_eq!(output.stdout, b"said\n");
        Ok(())
    }

    #[test]
    fn the_system_needs_no_library_path() {
        assert_eq!(libraries(Path::new("/usr/sbin/vsftpd")), None);
    }
}
