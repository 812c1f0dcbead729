//! `ftpfw run`.

use std::io;

use anyhow::{Context as _, bail};
use aya_log::EbpfLogger;
use ftpfw_common::abi::policy::Settings;
use tokio::{
    io::{Interest, unix::AsyncFd},
    runtime::Builder,
};
use tracing::{debug, info, warn};

use crate::{
    agent::{
        Agent, StopSignals,
        api::{MetricsSocket, Socket},
        interfaces::Interfaces,
        reload::Reloader,
        transfer_log::TransferLog,
    },
    cli::RunArgs,
    config::{Config, find_all},
    kernel::{
        Kernel, LoadOptions, PinDir, Programs,
        attach::{self, Attached, Rollback},
        detach,
        lock::PinLock,
        nic,
        pins::AttachedMode,
        requirements,
    },
    listeners, privileges, service,
};

/// Most verbose level of the programs' messages, in aya-log's numbers.
const MESSAGES_NONE: u8 = 0;
const MESSAGES_DEBUG: u8 = 4;

/// Checks what can be checked, makes what is missing, and gives up the privileges that [`run`] does not
/// need. To be called while there is one thread.
///
/// # Errors
///
/// When anything is missing or refused.
pub fn prepare(args: &RunArgs) -> anyhow::Result<()> {
    let config = Config::resolve(args)?;
    let interfaces = find_all(&config.interfaces)?;
    requirements::prepare(&config.pin_dir)?;
    let pins = PinDir::new(config.pin_dir);
    // Only who has them all is told the names of others' programs.
    let alone = Builder::new_current_thread().enable_all().build()?;
    alone.block_on(attach::refuse_unfit(&pins, &interfaces))?;
    drop(alone);
    privileges::drop_unneeded().context("cannot give up privileges")
}

/// Protects the interfaces until a signal ends it.
///
/// # Errors
///
/// When anything is missing or refused; nothing that this run made is left in the kernel then.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    let mut config = Config::resolve(&args)?;
    let interfaces = find_all(&config.interfaces)?;
    if let Some(other) = config.fit(Programs::for_this_kernel())? {
        warn!("{other}");
    }
    let mut stop = StopSignals::catch()?;
    let mut reloader = Reloader::catch(args, config.clone())?;
    let pins = PinDir::new(config.pin_dir.clone());
    let _lock = lock(&pins)?;
    let mut rollback = Rollback::begin(&pins);
    let socket = Socket::bind(&config.socket)?;
    let transfers = TransferLog::open(config.transfer_log.as_deref())?;
    let metrics = MetricsSocket::bind(config.metrics).await?;
    attach::refuse_unfit(&pins, &interfaces).await?;
    // Under adopted state they have been unreachable all the time.
    if !pins.in_use() {
        warn_of_listeners(&config);
    }
    let settings = Settings {
        partial_checksums: u32::from(nic::partial_checksums(&interfaces).await?),
        ..config.settings
    };
    let kernel = load(&config, settings, &pins)?;
    let mut protected = Interfaces::new(kernel, pins.clone(), &config.interfaces)?;
    let kernel = protected.kernel();
    let (attached, others) = attach::attach(kernel, &pins, &interfaces, settings, &mut rollback)?;
    let agent = Agent::new(
        kernel,
        &pins,
        settings,
        (config.limits.log_lines, transfers),
        (socket, metrics),
    );
    let agent = agent.inspect_err(|_| attach::undo(kernel, &pins, &interfaces, &mut rollback))?;
    rollback.keep();
    protected.let_go(&others);
    announce(&config, &attached).await;
    // Should the agent fail, the filter stays: nothing fails open, and the next run adopts it.
    agent
        .serve(protected, &mut reloader, &mut stop)
        .await
        .context("the agent failed; the filter stays attached")?;
    service::stopping();
    leave(reloader.running(), &pins)
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
        warn!("{socket}");
    }
}

fn load(config: &Config, settings: Settings, pins: &PinDir) -> anyhow::Result<Kernel> {
    let debugging = tracing::enabled!(tracing::Level::DEBUG);
    let mut kernel = Kernel::load(&LoadOptions {
        pin_dir: Some(pins.clone()),
        settings,
        ports: config.ports.clone(),
        sizes: config.limits.sizes,
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

async fn announce(config: &Config, attached: &[Attached]) {
    for Attached { interface, mode } in attached {
        info!("{}: attached in {} mode", interface.name, mode.name());
        if *mode != AttachedMode::Native {
            continue;
        }
        match nic::cost_of_native(interface).await {
            Ok(None) => {}
            Ok(Some(cost)) => warn!("{}: {cost}", interface.name),
            Err(error) => debug!("{}: {error:#}", interface.name),
        }
    }
    if config.settings.dry_run != 0 {
        warn!("dry run: nothing is dropped");
    }
    service::ready(&config.summary());
    info!("ready");
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
