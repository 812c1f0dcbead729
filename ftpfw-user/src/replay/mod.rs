//! `ftpfw replay`: the filter and the engine over a capture, without a kernel and without privileges.
//!
//! What is judged is judged by the code that runs in the kernel: [`ftpfw_common::packet`],
//! [`ftpfw_common::filter`], [`ftpfw_common::control`]. What the kernel knows besides (its maps, its
//! sockets) is kept here, as the capture shows it.

mod arming;
mod capture;
mod follow;
mod link;
pub mod model;
mod play;
mod session;
mod sockets;
mod survey;
mod table;
mod world;

use std::{collections::BTreeSet, net::IpAddr, path::Path};

use anyhow::bail;
use ftpfw_common::{
    Address,
    reason::{Negotiation, Reason, Refusal},
};

use crate::{cli::ReplayArgs, config::PortPolicy, query};
use capture::Capture;
use model::{Counts, Report};
use play::Player;
use survey::Survey;

/// Replays a capture and prints what came of it.
///
/// # Errors
///
/// One sentence, with the file and what is wrong with it; [`crate::config::UsageError`] where it is
/// the ports.
pub fn replay(args: &ReplayArgs) -> anyhow::Result<()> {
    let policy = PortPolicy {
        control: args.control_ports.clone(),
        implicit_tls: PortPolicy::implicit_tls(
            &args.implicit_tls_ports,
            None,
            &args.control_ports,
        )?,
        ..PortPolicy::default()
    };
    policy.check()?;
    let report = report(&args.file, &args.servers, &policy)?;
    query::show(&report, args.json, table::report)
}

/// What a capture comes to. Without `servers`, whoever speaks from a control port is one.
///
/// # Errors
///
/// When the file cannot be read to its end, or no server is found in it.
pub fn report(file: &Path, servers: &[IpAddr], policy: &PortPolicy) -> anyhow::Result<Report> {
    let capture = Capture::new(file)?;
    let ports = policy.table();
    let mut survey = Survey::default();
    let mut packets = 0_u64;
    capture.frames(|frame| {
        packets += 1;
        survey.look(&frame, &ports);
    })?;
    let servers: BTreeSet<Address> = match servers {
        [] => survey.servers.clone(),
        given => given.iter().map(|address| (*address).into()).collect(),
    };
    if packets == 0 {
        bail!("{} holds no packets", file.display());
    }
    if servers.is_empty() {
        bail!(
            "no FTP server speaks in {}: nothing comes from a control port ({}); name the server with \
             --server or its port with --control-port",
            file.display(),
            list(policy.control.iter().chain(&policy.implicit_tls)),
        );
    }
    let mut player = Player::new(survey, servers.clone(), &ports);
    capture.frames(|frame| player.play(&frame))?;
    Ok(summary(file, servers, player))
}

fn list(ports: impl Iterator<Item = impl ToString>) -> String {
    let ports: Vec<_> = ports.map(|port| port.to_string()).collect();
    ports.join(", ")
}

fn summary(file: &Path, servers: BTreeSet<Address>, player: Player) -> Report {
    let verdicts = |passed: bool| -> Counts {
        Reason::ALL
            .iter()
            .filter(|reason| reason.is_pass() == passed)
            .map(|reason| {
                let number = player.verdicts.get(reason).copied();
                (reason.name(), number.unwrap_or_default())
            })
            .collect()
    };
    let (pass, drop) = (verdicts(true), verdicts(false));
    let duration_us = player.duration_us();
    let sessions: Vec<_> = player
        .follower
        .sessions
        .into_iter()
        .map(|session| session.row)
        .collect();
    let mut negotiations: Counts = Negotiation::ALL.iter().map(|it| (it.name(), 0)).collect();
    let mut refused: Counts = Refusal::ALL.iter().map(|it| (it.name(), 0)).collect();
    for row in sessions.iter().flat_map(|it| &it.negotiations) {
        *negotiations.entry(row.by).or_default() += 1;
    }
    for row in sessions.iter().flat_map(|it| &it.refusals) {
        *refused.entry(row.reason).or_default() += 1;
    }
    Report {
        file: file.display().to_string(),
        servers: servers.into_iter().map(IpAddr::from).collect(),
        packets: player.packets,
        unjudged: player.unjudged,
        cut_short: player.cut_short,
        duration_us,
        sessions,
        connections: player.connections,
        pass,
        drop,
        negotiations,
        refused,
    }
}
