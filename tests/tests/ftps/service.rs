//! The daemon by its control group: what runs in the service that it has for itself is its own, by
//! whatever way it got there; what shares a group with it is not.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::cgroup::Cgroup;
use ftpfw_tests::control::Control;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::probe::{Answer, probe};
use ftpfw_tests::programs;
use ftpfw_tests::server::{Daemon, FtpServer, Options};
use ftpfw_tests::tls::Security;

use crate::others::expect_silence;

const PORT: u16 = 45_000;

/// Listens on an address and port when it is told to.
const PROGRAM: &str = "\
import socket, sys
sys.stdin.readline()
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print('listening', flush=True)
sys.stdin.readline()
";

/// A process of another program than the daemon's, and no child of it.
struct Helper(Child);

impl Helper {
    fn start(lab: &Lab, address: SocketAddr) -> Result<Self> {
        let mut command = Command::new(programs::find("python3")?);
        command.args(["-c", PROGRAM, &address.ip().to_string()]);
        command.arg(address.port().to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(Self(lab.server.netns.spawn(&mut command)?))
    }

    fn listen(&mut self) -> Result<()> {
        let (stdin, stdout) = (self.0.stdin.as_mut(), self.0.stdout.as_mut());
        stdin.context("its standard input")?.write_all(b"\n")?;
        let mut line = String::new();
        BufReader::new(stdout.context("its standard output")?).read_line(&mut line)?;
        ensure!(line == "listening\n", "the helper said {line:?}");
        Ok(())
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

struct Scene {
    // Dropped in this order: a group is removed when it is empty.
    server: FtpServer,
    lab: Lab,
    group: Cgroup,
}

impl Scene {
    /// A daemon in a group.
    fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let options = Options::new(Daemon::Vsftpd, Family::V4).with_tls(Security::EXPLICIT.tls);
        let server = FtpServer::start(&lab.server, &options)?;
        let group = Cgroup::new()?;
        group.add(server.pid())?;
        Ok(Self { server, lab, group })
    }

    fn helper(&self) -> Result<Helper> {
        Helper::start(&self.lab, (self.server.address, PORT).into())
    }

    fn log_in(&self) -> Result<Control<'_>> {
        let at = (self.server.address, self.server.port);
        Control::login_over(&self.lab.client.netns, at, Security::EXPLICIT)
    }
}

#[test]
fn what_joins_the_service_belongs_to_the_daemon() -> Result<()> {
    let scene = Scene::new()?;
    let (lab, address) = (&scene.lab, scene.server.address);
    let firewall = Firewall::start(&lab.server, &["--ftps", "listener"])?;
    let _control = scene.log_in()?;

    let mut outside = scene.helper()?;
    outside.listen()?;
    expect_silence(&firewall, &lab.client, address, PORT).context("from outside the service")?;
    drop(outside);

    let mut inside = scene.helper()?;
    scene.group.add(inside.0.id())?;
    inside.listen()?;
    expect_silence(&firewall, &lab.stranger, address, PORT).context("a stranger")?;
    let answer = probe(&lab.client, address, PORT)?;
    ensure!(answer == Answer::Open, "the client: {answer:?}");
    Ok(())
}

/// As in a login session, or in the service of a super-server: others were there before.
#[test]
fn a_group_shared_with_another_program_is_no_service() -> Result<()> {
    let scene = Scene::new()?;
    let (lab, address) = (&scene.lab, scene.server.address);
    let mut other = scene.helper()?;
    scene.group.add(other.0.id())?;
    let firewall = Firewall::start(&lab.server, &["--ftps", "listener"])?;
    let _control = scene.log_in()?;
    other.listen()?;
    expect_silence(&firewall, &lab.client, address, PORT)
}
