//! What the agent may do, once it runs as root.

use std::fs;
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::lab::Lab;
use ftpfw_tests::probe::expect_dropped;
use ftpfw_tests::{nobody, programs, wait};

use crate::{File, eth0};

/// Numbers of the capabilities that stay (`linux/capability.h`): DAC_READ_SEARCH, NET_ADMIN, SYS_PTRACE,
/// PERFMON, BPF.
const NEEDED: [u32; 5] = [2, 12, 19, 38, 39];

/// A line of `status`, in hexadecimal.
fn mask(status: &str, name: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let value = line.with_context(|| format!("no {name} in\n{status}"))?;
    Ok(u64::from_str_radix(
        value.trim_start_matches(':').trim(),
        16,
    )?)
}

#[test]
fn every_thread_has_what_it_needs_and_no_more() -> Result<()> {
    let lab = Lab::new()?;
    let file = File::new(&eth0())?;
    let mut firewall = file.start(&lab, &[])?;
    let needed: u64 = NEEDED.iter().map(|number| 1_u64 << number).sum();
    let own = fs::read_to_string("/proc/self/status")?;
    ensure!(
        mask(&own, "CapEff")? & !needed != 0,
        "these tests have nothing to give up"
    );
    let may_bound = mask(&own, "CapEff")? >> 8 & 1 == 1;
    let mut threads = 0;
    for task in fs::read_dir(format!("/proc/{}/task", firewall.pid()))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        for name in ["CapEff", "CapPrm"] {
            let found = mask(&status, name)?;
            ensure!(
                found == needed,
                "{name} {found:x}, not {needed:x}\n{status}"
            );
        }
        for name in ["CapInh", "CapAmb"] {
            ensure!(mask(&status, name)? == 0, "{status}");
        }
        ensure!(!may_bound || mask(&status, "CapBnd")? == needed, "{status}");
        ensure!(mask(&status, "NoNewPrivs")? == 1, "{status}");
        threads += 1;
    }
    ensure!(threads > 1, "the runtime has {threads} threads");
    // And with that it can still attach: everything is made anew by a change of mode.
    for mode in ["generic", "tc", "native"] {
        let text = format!("interfaces = [\"eth0:{mode}\"]\n");
        let (event, said) = file.reload(&mut firewall, &text)?;
        ensure!(event == "reloaded", "{said}");
        expect_dropped(
            &firewall,
            &lab.client,
            lab.server.v4.into(),
            40_000,
            "not-armed",
        )?;
    }
    Ok(())
}

/// Which sockets a process of another user holds can only be seen with two of them.
#[test]
fn processes_of_other_users_are_seen() -> Result<()> {
    const PORT: u16 = 3306;
    let lab = Lab::new()?;
    let listen = format!(
        "import socket; s = socket.create_server(('{}', {PORT})); s.accept(); s.accept()",
        lab.server.v4
    );
    let mut listener = nobody::command(&programs::find("python3")?);
    listener.args(["-c", &listen]);
    let mut service = lab.server.netns.spawn(&mut listener)?;
    let address = SocketAddr::new(lab.server.v4.into(), PORT);
    lab.server.netns.run(|| {
        wait::until("the service to listen", || {
            Ok(TcpStream::connect(address).ok().map(drop))
        })
    })??;
    let started = File::new(&eth0())?.start(&lab, &[]);
    service.kill()?;
    service.wait()?;
    let log = started?.log();
    let named = format!("(pid {}) on {address}/tcp", service.id());
    ensure!(log.contains(&named), "no {named}:\n{log}");
    Ok(())
}
