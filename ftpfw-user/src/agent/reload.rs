//! SIGHUP: the configuration is read again, and holds from then on, or nothing of it.
//!
//! No session and no tuple is lost by it. What can fail (the file, new interfaces) comes first and is
//! taken back; the maps that the policy is in come last.

use std::{collections::HashSet, future::pending, time::Duration};

use ftpfw_common::abi::policy::{Settings, port};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Mutex,
    time::sleep,
};
use tracing::{error, info, warn};

use super::{
    Shared,
    event::{Event, Happening},
    interfaces::Interfaces,
    lock,
};
use crate::{
    cli::RunArgs,
    config::Config,
    kernel::{Wire, clock},
    listeners, service,
};

/// How often is looked whether the sessions of ports that are no control ports any more have ended.
const PERIOD: Duration = Duration::from_secs(1);

/// What holds, and how to find out what is to hold.
#[derive(Debug)]
pub struct Reloader {
    hangup: Signal,
    args: RunArgs,
    running: Config,
    /// Bits of control ports that are to be none any more, and have sessions: these are followed to
    /// their end, as tuples and claims hang on them.
    ending: Vec<(u16, u32)>,
}

impl Reloader {
    /// Catches SIGHUP from now on. To be called inside the runtime.
    ///
    /// # Errors
    ///
    /// When the runtime cannot.
    pub fn catch(args: RunArgs, running: Config) -> anyhow::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            args,
            running,
            ending: Vec::new(),
        })
    }

    /// The configuration that holds.
    #[must_use]
    pub const fn running(&self) -> &Config {
        &self.running
    }

    /// Reloads for ever, whenever it is asked for.
    pub(super) async fn serve(&mut self, shared: &Shared, interfaces: &Mutex<Interfaces>) {
        loop {
            let some_end = !self.ending.is_empty();
            let period = async {
                match some_end {
                    true => sleep(PERIOD).await,
                    false => pending().await,
                }
            };
            tokio::select! {
                _ = self.hangup.recv() => self.hung_up(shared, interfaces).await,
                () = period => {
                    if let Err(error) = self.end(shared) {
                        error!("cannot see which sessions have ended: {error:#}");
                    }
                }
            }
        }
    }

    async fn hung_up(&mut self, shared: &Shared, interfaces: &Mutex<Interfaces>) {
        shared.journal.reopen();
        if self.args.config.is_none() {
            warn!("SIGHUP: there is no configuration file (--config), so nothing to read again");
            return;
        }
        service::reloading();
        let what = match self.reload(shared, interfaces).await {
            Ok(changes) => Happening::Reloaded { changes },
            Err(error) => Happening::ReloadFailed {
                error: format!("{error:#}"),
            },
        };
        shared.journal.tell(clock::now(), Event::of_agent(what));
        service::ready(&self.running.summary());
    }

    /// What has changed.
    async fn reload(
        &mut self,
        shared: &Shared,
        interfaces: &Mutex<Interfaces>,
    ) -> anyhow::Result<String> {
        let mut new = Config::resolve(&self.args)?;
        let mut interfaces = interfaces.lock().await;
        new.fit(interfaces.kernel.programs())?;
        let kept = new.keep_fixed(&self.running);
        let changes = self.running.differences(&new);
        interfaces.add(&new.interfaces, &shared.journal).await?;
        if new.ports != self.running.ports {
            self.warn_of_listeners(&new);
        }
        self.hold(shared, &new)?;
        // Not taken back for that: whoever is protected without need is no danger.
        if let Err(error) = interfaces.keep_only(&new.interfaces, &shared.journal) {
            error!("an interface that is no longer named may still be protected: {error:#}");
        }
        self.running = new;
        if kept.is_empty() {
            return Ok(changes.to_string());
        }
        Ok(format!("{changes}; not before the next start: {kept}"))
    }

    /// Writes a policy into the maps.
    fn hold(&mut self, shared: &Shared, new: &Config) -> anyhow::Result<()> {
        self.note_ending(shared, new)?;
        let table = self.table(new);
        lock(&shared.follower).before_policy(&table);
        let mut map = shared.maps.settings()?;
        let Wire(found) = map.get(&0, 0)?;
        let settings = Settings {
            claim_on_syn: found.claim_on_syn,
            partial_checksums: found.partial_checksums,
            seed: found.seed,
            ..new.settings
        };
        map.set(0, Wire(settings), 0)?;
        *lock(&shared.settings) = settings;
        shared.journal.log_limit().set(new.limits.log_lines);
        let ports = shared.maps.ports()?;
        ports.change_policy(&table);
        lock(&shared.follower).after_policy(&ports.control(), settings.tuple_lifetime)?;
        Ok(())
    }

    /// The policy of every port: that of the configuration, and control ports that are ending.
    fn table(&self, config: &Config) -> Vec<u32> {
        let mut table = config.ports.table();
        for (port, bits) in &self.ending {
            table[usize::from(*port)] |= bits;
        }
        table
    }

    /// Control ports that are none in `new`, and have sessions.
    fn note_ending(&mut self, shared: &Shared, new: &Config) -> anyhow::Result<()> {
        const BITS: u32 = port::CONTROL | port::IMPLICIT_TLS;
        let (wanted, ports) = (new.ports.table(), shared.maps.ports()?);
        let with_sessions = with_sessions(shared)?;
        self.ending = ports
            .control()
            .into_iter()
            .filter(|port| wanted[usize::from(*port)] & port::CONTROL == 0)
            .filter(|port| with_sessions.contains(port))
            .map(|port| (port, ports.get(port).policy() & BITS))
            .collect();
        for (port, _) in &self.ending {
            info!("port {port} has sessions, and is a control port until they end");
        }
        Ok(())
    }

    /// Ends what has ended.
    fn end(&mut self, shared: &Shared) -> anyhow::Result<()> {
        let with_sessions = with_sessions(shared)?;
        let before = self.ending.len();
        self.ending.retain(|(port, _)| with_sessions.contains(port));
        if self.ending.len() < before {
            let ports = shared.maps.ports()?;
            ports.change_policy(&self.table(&self.running));
            let lifetime = self.running.settings.tuple_lifetime;
            lock(&shared.follower).after_policy(&ports.control(), lifetime)?;
        }
        Ok(())
    }

    /// Those that were reachable until now.
    fn warn_of_listeners(&self, new: &Config) {
        let already = listeners::cut_off(&self.running.ports.table());
        for socket in listeners::cut_off(&new.ports.table()) {
            if !already.contains(&socket) {
                warn!("{socket}");
            }
        }
    }
}

fn with_sessions(shared: &Shared) -> anyhow::Result<HashSet<u16>> {
    let sessions = shared.maps.sessions()?;
    Ok(sessions.iter().map(|(key, _)| key.server_port).collect())
}
