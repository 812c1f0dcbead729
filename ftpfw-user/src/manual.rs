//! `ftpfw allow` and `ftpfw revoke`: a tuple by hand, agent or not.

use std::{
    io::{self, Write as _},
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context as _, bail, ensure};
use ftpfw_common::abi::{
    self,
    keys::TupleKey,
    policy::port as bits,
    values::{Mode, Tuple},
};
use serde::Serialize;

use crate::{
    agent::api::{Deed, Notice},
    cli::{AllowArgs, Ends, Place, RevokeArgs},
    kernel::{
        Maps, Wire,
        tuples::{Arming, Owner, is_missing, mode_name},
    },
    listeners,
    query::{self, client::Agent, units::duration},
};

/// What was done.
#[derive(Debug, Serialize)]
struct Done {
    client: IpAddr,
    server: IpAddr,
    port: u16,
    /// `armed`, `renewed` (it was armed already) or `revoked`.
    done: &'static str,
    /// What it was before it was revoked, else `manual`.
    mode: &'static str,
    /// Whose it was before it was revoked.
    session: Option<u64>,
    /// Until it expires.
    expires_in_ms: Option<u64>,
}

/// `ftpfw allow`.
///
/// # Errors
///
/// When there is nothing to allow on that port, no room, nothing attached, or no privilege;
/// [`crate::config::UsageError`] for ends that no connection has.
pub async fn allow(args: &AllowArgs) -> anyhow::Result<()> {
    let key = args.ends.tuple()?;
    let maps = open(&args.query.place)?;
    let mut tuples = maps.tuples()?;
    refuse_open(
        tuples.ports().get(key.server_port).policy(),
        key.server_port,
    )?;
    let owner = Owner {
        forwarded: !listeners::is_local(key.server.into(), key.server_port),
        ..Owner::new(0, Mode::Manual)
    };
    let lifetime = u64::try_from(args.lifetime.as_nanos())?;
    let done = match tuples.arm(key, owner, lifetime)? {
        Arming::New => "armed",
        Arming::Renewed => "renewed",
        Arming::Full => bail!("the map of tuples is full: revoke some, or wait until some expire"),
    };
    let notice = notice(&args.ends, Deed::Allowed, 0, Mode::Manual as u8);
    tell(&args.query.place, &notice).await;
    let lifetime_ms = lifetime / 1_000_000;
    let done = Done {
        done,
        mode: Mode::Manual.name(),
        session: None,
        expires_in_ms: Some(lifetime_ms),
        ..nothing(&args.ends)
    };
    query::show(&done, args.query.json, |_| {
        let (client, to) = (args.ends.client, socket(&args.ends));
        let within = duration(lifetime_ms);
        format!("allowed: {client} may connect to {to} once, within {within}")
    })
}

/// `ftpfw revoke`.
///
/// # Errors
///
/// When there is no such tuple, nothing attached, or no privilege; [`crate::config::UsageError`] for
/// ends that no connection has.
pub async fn revoke(args: &RevokeArgs) -> anyhow::Result<()> {
    let key = args.ends.tuple()?;
    let maps = open(&args.query.place)?;
    let tuple = match maps.armed()?.get(&Wire(key), 0) {
        Ok(Wire(tuple)) => Some(tuple),
        Err(error) if is_missing(&error) => None,
        Err(error) => return Err(error.into()),
    };
    // It may be claimed between the look and the removal.
    let tuple = match tuple {
        Some(tuple) if maps.tuples()?.withdraw(&key)? => tuple,
        _ => bail!("{}", not_there(&maps, &args.ends, &key)?),
    };
    let notice = notice(&args.ends, Deed::Revoked, tuple.session, tuple.mode);
    tell(&args.query.place, &notice).await;
    let done = Done {
        done: "revoked",
        mode: mode_name(&tuple),
        session: (tuple.session != 0).then_some(tuple.session),
        ..nothing(&args.ends)
    };
    query::show(&done, args.query.json, |_| revoked(&args.ends, &tuple))
}

fn revoked(ends: &Ends, tuple: &Tuple) -> String {
    let whose = match tuple.session {
        0 => String::new(),
        session => format!("; session {session} had negotiated it"),
    };
    let (client, to) = (ends.client, socket(ends));
    format!("revoked: {client} may not connect to {to} any more{whose}")
}

/// Why there is nothing to revoke.
fn not_there(maps: &Maps, ends: &Ends, key: &TupleKey) -> anyhow::Result<String> {
    let (client, to) = (ends.client, socket(ends));
    for entry in maps.claimed_entries()? {
        let (Wire(claimed), _) = entry?;
        if TupleKey::passive(claimed.client, claimed.server, claimed.server_port) == *key {
            return Ok(format!(
                "nothing to revoke: {client} is connected to {to} already, and what is established \
                 is not cut"
            ));
        }
    }
    Ok(format!(
        "nothing to revoke: no tuple is armed for {client} to {to}"
    ))
}

/// Maps that may be changed: of this ftpfw's layouts.
fn open(place: &Place) -> anyhow::Result<Maps> {
    let (maps, pins) = query::open(place)?;
    let version = maps.settings()?.get(&0, 0)?.0.abi_version;
    ensure!(
        version == abi::VERSION,
        "the maps under {} are of version {version}, and this ftpfw's are of version {}: use the \
         ftpfw that made them",
        pins.path().display(),
        abi::VERSION
    );
    Ok(maps)
}

fn refuse_open(policy: u32, port: u16) -> anyhow::Result<()> {
    if policy & bits::PROTECTED_TCP == 0 {
        bail!("port {port} is not protected: everybody may connect, and there is nothing to allow");
    }
    if policy & bits::OPEN_TCP != 0 {
        bail!("port {port} is open: everybody may connect, and there is nothing to allow");
    }
    Ok(())
}

const fn notice(ends: &Ends, deed: Deed, session: u64, mode: u8) -> Notice {
    Notice {
        deed,
        client: ends.client,
        server: ends.server,
        port: ends.port,
        session,
        mode,
    }
}

/// For the journal. The deed is done, whether the agent hears of it or not.
async fn tell(place: &Place, notice: &Notice) {
    let told = async {
        let Some(mut agent) = Agent::connect(&place.socket).await? else {
            return Ok(());
        };
        agent.post(&notice.path()).await
    };
    if let Err(error) = told.await.context("done, but not in the journal") {
        let _unread = writeln!(io::stderr(), "ftpfw: {error:#}");
    }
}

const fn nothing(ends: &Ends) -> Done {
    Done {
        client: ends.client,
        server: ends.server,
        port: ends.port,
        done: "",
        mode: "",
        session: None,
        expires_in_ms: None,
    }
}

const fn socket(ends: &Ends) -> SocketAddr {
    SocketAddr::new(ends.server, ends.port)
}
