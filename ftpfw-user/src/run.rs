//! `ftpfw run`.

use std::io;

use anyhow::{Context as _, bail};
use aya_log::EbpfLogger;
use tokio::io::{Interest, unix::AsyncFd};
use tracing::{debug, info, warn};

use crate::{
    agent::{Agent, StopSignals, api::Socket, interfaces::Interfaces},
    cli::RunArgs,
    config::Config,
    kernel::{
        Kernel, LoadOptions, PinDir,
        attach::{self, Attached, Rollback},
        detach,
        lock::PinLock,
        nic,
        pins::AttachedMode,
        requirements,
    },
    listeners,
};

/// Most verbose level of the programs' messages, in aya-log's numbers.
const MESSAGES_NONE: u8 = 0;
const MESSAGES_DEBUG: u8 = 4;

/// Protects the interfaces until a signal ends it.
///
/// # Errors
///
/// When anything is missing or refused; nothing that this run made is left in the kernel then.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    let mut config = Config::resolve(args)?;
    requirements::prepare(&config.pin_dir)?;
    let mut stop = StopSignals::catch()?;
    let pins = PinDir::new(config.pin_dir.clone());
    let _lock = lock(&pins)?;
    let mut rollback = Rollback::begin(&pins);
    let socket = Socket::bind(&config.socket)?;
    attach::refuse_unfit(&pins, &config.interfaces).await?;
    // Under adopted state they have been unreachable all the time.
    if !pins.in_use() {
        warn_of_listeners(&config);
    }
    config.settings.partial_checksums =
        u32::from(nic::partial_checksums(&config.interfaces).await?);
    let mut kernel = load(&config, &pins)?;
    let attached = attach::attach(
        &mut kernel,
        &pins,
        &config.interfaces,
        config.settings,
        &mut rollback,
    )?;
    let agent = Agent::new(&kernel, &pins, config.settings, socket)?;
    let interfaces = Interfaces::new(kernel, pins.clone(), &config.interfaces)?;
    rollback.keep();
    announce(&config, &attached).await?;
    // Should the agent fail, the filter stays: nothing fails open, and the next run adopts it.
    agent
        .serve(interfaces, &mut stop)
        .await
        .context("the agent failed; the filter stays attached")?;
    leave(&config, &pins)
}

fn lock(pins: &PinDir) -> anyhow::Result<PinLock> {
    pins.create()?;
    match PinLock::take(pins)? {
        Ok(lock) => Ok(lock),
        Err(holder) => bail!(
            "another ftpfw ({holder}) runs on {}: stop it, or choose another --pin-dir",
            pins.path().display(),
        ),
    }
}

fn warn_of_listeners(config: &Config) {
    for socket in listeners::cut_off(&config.ports.table()) {
        let process = match socket.process {
            Some((name, pid)) => format!("{name} (pid {pid})"),
            None => "an unknown process".to_owned(),
        };
        let port = socket.address.port();
        warn!(
            "{process} on {}/{} will be unreachable from outside; \
             `--open-port {port}/{}` keeps it open",
            socket.address, socket.transport, socket.transport,
        );
    }
}

fn load(config: &Config, pins: &PinDir) -> anyhow::Result<Kernel> {
    let debugging = tracing::enabled!(tracing::Level::DEBUG);
    let mut kernel = Kernel::load(&LoadOptions {
        pin_dir: Some(pins.clone()),
        settings: config.settings,
        ports: config.ports.clone(),
        log_level: if debugging {
            MESSAGES_DEBUG
        } else {
            MESSAGES_NONE
        },
    })?;
    if debugging {
        forward_messages(&mut kernel);
    }
    Ok(kernel)
}

/// The programs' own messages go where ours go. Without them nothing is missing but them.
fn forward_messages(kernel: &mut Kernel) {
    let logger = EbpfLogger::init(kernel.object())
        .map_err(anyhow::Error::from)
        .and_then(|logger| {
            // SAFETY: the logger owns the descriptor of its ring buffer, always the same, and closes it
            // when it is dropped: with the AsyncFd.
            let watched = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) };
            Ok(watched.map_err(io::Error::from)?)
        });
    match logger {
        Ok(mut logger) => drop(tokio::spawn(async move {
            while let Ok(mut guard) = logger.readable_mut().await {
                guard.get_inner_mut().flush();
                guard.clear_ready();
            }
        })),
        Err(error) => debug!("no messages from the programs: {error:#}"),
    }
}

async fn announce(config: &Config, attached: &[Attached]) -> anyhow::Result<()> {
    for Attached { interface, mode } in attached {
        info!("{}: attached in {} mode", interface.name, mode.name());
        if *mode == AttachedMode::Native
            && let Some(cost) = nic::cost_of_native(interface).await?
        {
            warn!("{}: {cost}", interface.name);
        }
    }
    if config.settings.dry_run != 0 {
        warn!("dry run: nothing is dropped");
    }
    info!("ready");
    Ok(())
}

fn leave(config: &Config, pins: &PinDir) -> anyhow::Result<()> {
    if config.keep_attached {
        info!("stopped; the filter stays attached, `ftpfw detach` removes it");
        return Ok(());
    }
    detach::everything(pins).context("cannot detach everything")?;
    info!("detached");
    Ok(())
}
