//! The kernel, by doing: maps are made and programs verified, pinned nowhere and attached to nothing.

use super::Check;
use crate::{
    config::Config,
    kernel::{
        Kernel, LoadOptions, PinDir, Programs, others, requirements, sockets::Inquiry, trial,
    },
};

const ABOUT: &str = "kernel";

/// Everything about the kernel that runs.
pub(super) fn check(config: &Config) -> Vec<Check> {
    let mut checks = vec![btf(), tracepoints(), sock_diag(), bpffs(config)];
    match requirements::privileges() {
        Ok(()) => {
            checks.push(Check::ok(
                ABOUT,
                "privileges",
                "programs may be loaded and attached",
            ));
            checks.extend(programs(config));
            checks.push(tcx());
        }
        Err(error) => {
            let message = format!(
                "{error:#}. Not looked at: maps, programs, tcx, others' programs at tcx, \
                 names of other users' processes"
            );
            checks.push(Check::problem(ABOUT, "privileges", message));
        }
    }
    checks
}

fn btf() -> Check {
    match requirements::btf() {
        Ok(()) => Check::ok(ABOUT, "btf", "the kernel tells its types"),
        Err(error) => Check::problem(ABOUT, "btf", format!("{error:#}")),
    }
}

fn tracepoints() -> Check {
    const CHECK: &str = "tracepoints";
    match trial::missing_tracepoints() {
        Ok(missing) if missing.is_empty() => Check::ok(ABOUT, CHECK, "all are there"),
        Ok(missing) => Check::warning(
            ABOUT,
            CHECK,
            format!("the kernel lacks {}", missing.join(", ")),
        )
        .remedy(
            "without them passive FTPS needs `--ftps range`, and the first SYN claims a tuple: \
             take a kernel with CONFIG_BPF_EVENTS=y and CONFIG_TRACEPOINTS=y",
        ),
        Err(error) => Check::warning(ABOUT, CHECK, format!("cannot be looked for: {error:#}")),
    }
}

fn sock_diag() -> Check {
    const CHECK: &str = "sock-diag";
    match Inquiry::new().and_then(|inquiry| inquiry.is_answered()) {
        Ok(()) => Check::ok(ABOUT, CHECK, "the kernel tells of TCP's sockets"),
        Err(error) => Check::warning(ABOUT, CHECK, error.to_string()).remedy(
            "without it nobody knows how many bytes were transferred so far, and what ended unseen is \
             not collected: `modprobe tcp_diag` (CONFIG_INET_DIAG)",
        ),
    }
}

fn bpffs(config: &Config) -> Check {
    const CHECK: &str = "bpffs";
    let path = config.pin_dir.display();
    if requirements::is_on_bpffs(&config.pin_dir) {
        Check::ok(ABOUT, CHECK, format!("{path} is on one"))
    } else if requirements::is_mounted_by_run(&config.pin_dir) {
        Check::ok(ABOUT, CHECK, "none is mounted yet; `ftpfw run` mounts it")
    } else {
        Check::problem(ABOUT, CHECK, format!("{path} is not on one"))
            .remedy("mount one, `mount -t bpf bpf DIR`, or choose another pin_dir")
    }
}

/// Maps of the sizes that are configured, and every program.
fn programs(config: &Config) -> Vec<Check> {
    let options = LoadOptions {
        pin_dir: None,
        settings: config.settings,
        ports: config.ports.clone(),
        sizes: config.limits.sizes,
        log_level: 0,
    };
    let mut kernel = match Kernel::load(&options) {
        Ok(kernel) => kernel,
        Err(error) => {
            return vec![Check::problem(ABOUT, "maps", format!("{error:#}")).remedy(
                "ftpfw needs CONFIG_BPF_SYSCALL=y and memory for its maps (docs/limits.md)",
            )];
        }
    };
    let maps = "ring buffer, tables and counters can be made";
    let mut checks = vec![Check::ok(ABOUT, "maps", maps)];
    checks.push(opener(kernel.programs(), config));
    let (refused, number) = trial::refused(&mut kernel);
    if refused.is_empty() {
        let message = format!("the kernel accepts all {number}");
        checks.push(Check::ok(ABOUT, "programs", message));
    }
    checks.extend(refused.into_iter().map(|refusal| {
        Check::problem(ABOUT, "programs", refusal)
            .remedy("`ftpfw -vv check` shows the end of the verifier's log")
    }));
    checks
}

/// Who opens, and whether that is who was asked to.
fn opener(programs: Programs, config: &Config) -> Check {
    const CHECK: &str = "opener";
    let asked = match config.settings.inline_opener {
        0 => "the agent opens, as it was asked to",
        _ => "the programs open",
    };
    match config.clone().fit(programs) {
        Ok(None) => Check::ok(ABOUT, CHECK, asked),
        Ok(Some(other)) => Check::warning(ABOUT, CHECK, other),
        Err(error) => Check::problem(ABOUT, CHECK, format!("{error:#}")),
    }
}

fn tcx() -> Check {
    match others::has_tcx() {
        Ok(true) => Check::ok(ABOUT, "tcx", "the follower attaches by links"),
        Ok(false) => Check::ok(
            ABOUT,
            "tcx",
            "the kernel has none (6.6 has): the follower attaches by filters of the clsact qdisc",
        ),
        Err(error) => Check::warning(ABOUT, "tcx", format!("{error:#}")),
    }
}

/// Where ftpfw of this configuration keeps its pins.
pub(super) fn pins(config: &Config) -> PinDir {
    PinDir::new(config.pin_dir.clone())
}
