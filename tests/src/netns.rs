//! A named network namespace that lives as long as its guard.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::wait;

const DIRECTORY: &str = "/run/netns";
/// What the names of all our namespaces begin with; the pid of their maker follows.
const PREFIX: &str = "ftpfw-";

/// A network namespace, removed on drop. Only the network is apart: processes in it see the same
/// files, /sys/fs/bpf and /sys/kernel/tracing included (`ip netns exec` would hide those).
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes `ftpfw-<pid>-<label>` and brings its loopback up. The first call of a process removes
    /// what processes that were killed have left behind.
    ///
    /// # Errors
    /// Without root, without `ip`, or when the label is already in use in this process.
    pub fn new(label: &str) -> Result<Self> {
        static STALE: Once = Once::new();
        STALE.call_once(remove_stale);
        let name = format!("{PREFIX}{}-{label}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let netns = Self { name };
        netns.ip("link set lo up")?;
        Ok(netns)
    }

    /// Its name in /run/netns.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that holds it, for `setns` and `nsenter --net=`.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(&self.name)
    }

    /// Runs `work` on a new thread inside the namespace and hands back what it returns. Sockets
    /// opened there stay in the namespace wherever they are used afterwards.
    ///
    /// # Errors
    /// When the namespace cannot be entered. A panic of `work` is passed on.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let path = self.path();
        let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .map(|()| work())
            });
            match inside.join() {
                Ok(result) => result.with_context(|| format!("enter {}", self.name)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Starts a command that is inside from its first instruction.
    ///
    /// # Errors
    /// When the namespace cannot be entered or the program cannot be started.
    pub fn spawn(&self, command: &mut Command) -> Result<Child> {
        // A child has the namespace of the thread that forks it.
        self.run(|| command.spawn())?
            .with_context(|| format!("run {command:?} in {}", self.name))
    }

    /// A command that will enter the namespace by itself, for callers that start it their own way.
    /// `nsenter` replaces itself, so the pid is the program's own.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.path().display()))
            .arg("--")
            .arg(program);
        command.stdin(Stdio::null());
        command
    }

    /// The processes inside.
    ///
    /// # Errors
    /// When `ip` cannot tell.
    pub fn pids(&self) -> Result<Vec<Pid>> {
        pids(&self.name)
    }

    /// Runs lines of `ip` commands inside, all by one process.
    ///
    /// # Errors
    /// With what `ip` said and the line it refused.
    pub fn ip(&self, lines: &str) -> Result<()> {
        let mut child = Command::new("ip")
            .args(["-netns", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("run ip (package iproute2)")?;
        // The pipe closes at the end of the statement, which is how `ip` learns of the last line.
        let written = child
            .stdin
            .take()
            .map(|mut pipe| pipe.write_all(lines.as_bytes()));
        let output = child.wait_with_output().context("wait for ip")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "ip in {}: {}\n{lines}",
            self.name,
            said.trim()
        );
        written.transpose().context("write to ip")?;
        Ok(())
    }

    /// Waits until packets to an address of this namespace are delivered: the kernel makes the local
    /// route to a new IPv6 address in the background, even without duplicate address detection, and
    /// answers "unreachable" until then.
    ///
    /// # Errors
    /// When the address does not become usable.
    pub fn wait_for_address(&self, address: IpAddr) -> Result<()> {
        // A datagram to itself; that a route is found to send it proves nothing, the subnet's is.
        let deliver = || {
            let socket = UdpSocket::bind((address, 0))?;
            socket.connect(socket.local_addr()?)?;
            socket.set_read_timeout(Some(Duration::from_millis(50)))?;
            socket.send(b"here?")?;
            socket.recv(&mut [0; 8])
        };
        self.run(|| {
            wait::until(&format!("{address} to be delivered to"), || {
                Ok(deliver().is_ok().then_some(()))
            })
        })?
    }

    /// Sets a sysctl below `net.`, e.g. `ipv4/tcp_congestion_control`.
    ///
    /// # Errors
    /// When the kernel has no such setting or refuses the value.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/net/{name}");
        self.run(|| fs::write(&path, value))?
            .with_context(|| format!("set {path} to {value} in {}", self.name))
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Kills what still runs inside, then removes the namespace. Says what failed: a guard must not
/// panic, it may be dropped by a panic.
fn remove(name: &str) {
    for pid in pids(name).unwrap_or_default() {
        let _already_gone = kill_process(pid, Signal::KILL);
    }
    if let Err(error) = run(Command::new("ip").args(["netns", "del", name])) {
        eprintln!("ftpfw-tests: namespace {name} stays behind: {error:#}");
    }
}

fn pids(name: &str) -> Result<Vec<Pid>> {
    let printed = run(Command::new("ip").args(["netns", "pids", name]))?;
    let numbers = printed.lines().filter_map(|line| line.trim().parse().ok());
    Ok(numbers.filter_map(Pid::from_raw).collect())
}

/// Removes the namespaces whose maker is dead.
fn remove_stale() {
    let Ok(entries) = fs::read_dir(DIRECTORY) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if maker(name).is_some_and(|pid| test_kill_process(pid).is_err()) {
            remove(name);
        }
    }
}

/// The pid in a name of ours.
fn maker(name: &str) -> Option<Pid> {
    let (pid, _label) = name.strip_prefix(PREFIX)?.split_once('-')?;
    Pid::from_raw(pid.parse().ok()?)
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_of_the_maker_is_read_from_our_names_only() {
        assert_eq!(maker("ftpfw-12-3-server"), Pid::from_raw(12));
        assert_eq!(maker("ftpfw-12"), None);
        assert_eq!(maker("other-12-server"), None);
    }

    #[test]
    fn a_namespace_lives_as_long_as_its_guard() -> Result<()> {
        let netns = Netns::new("guard")?;
        let path = netns.path();
        let outside = fs::read_link("/proc/thread-self/ns/net")?;
        let inside = netns.run(|| fs::read_link("/proc/thread-self/ns/net"))??;
        assert_ne!(outside, inside);
        let mut left = netns.spawn(Command::new("sleep").arg("60"))?;
        drop(netns);
        assert!(!path.exists(), "the file is gone");
        assert!(!left.wait()?.success(), "what ran inside was killed");
        Ok(())
    }

    #[test]
    fn a_namespace_of_a_dead_process_is_removed() -> Result<()> {
        let mut child = Command::new("true").spawn()?;
        let name = format!("{PREFIX}{}-stale", child.id());
        child.wait()?;
        run(Command::new("ip").args(["netns", "add", &name]))?;
        remove_stale();
        assert!(!Path::new(DIRECTORY).join(&name).exists());
        Ok(())
    }

    #[test]
    fn a_panic_inside_comes_out_and_the_namespace_goes() {
        let path = std::panic::catch_unwind(|| {
            let netns = Netns::new("panic").expect("needs root");
            let path = netns.path();
            let caught = std::panic::catch_unwind(|| netns.run(|| panic!("inside")));
            assert!(caught.is_err());
            path
        });
        assert!(!path.expect("no other panic").exists());
    }
}
