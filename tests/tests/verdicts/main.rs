//! The verdict table: each packet through the eBPF program, by BPF_PROG_TEST_RUN, and through the
//! host build of the same code. Both must agree with the table and count one reason, once.
//!
//! VLAN tags are covered here alone: a kernel without the module 8021q can make no VLAN interface to
//! send real traffic through.

mod host;
mod table;
mod world;

use anyhow::{Context as _, Result, bail, ensure};
use aya::programs::{TestRun as _, TestRunOptions};
use ftpfw_common::abi::values::Mode;
use ftpfw_common::filter;
use ftpfw_common::reason::{Counter, Reason};
use ftpfw_user::kernel::{Counters, Kernel, LoadOptions, pins::AttachedMode, tuples::Owner};

use table::Case;
use world::World;

const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

#[test]
fn on_the_host() -> Result<()> {
    let world = World::new()?;
    let mut tables = host::HostTables::new(&world);
    let mut wrong = Vec::new();
    for Case {
        name,
        frame,
        reason,
    } in table::cases(&world)
    {
        let decided = filter::decide(&frame.as_slice(), &mut tables);
        if decided != reason {
            wrong.push(format!("{name}: {decided:?}, not {reason:?}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn in_the_kernel() -> Result<()> {
    let world = World::new()?;
    let mut kernel = load(&world)?;
    let cases = table::cases(&world);
    ensure!(cases.len() > 100, "the table has shrunk to {}", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let before = kernel.maps().counters()?;
        let action = run(&world, &mut kernel, &case.frame).with_context(|| case.name.clone())?;
        let after = kernel.maps().counters()?;
        if let Err(error) = check(&case, action, &before, &after) {
            wrong.push(format!("{}: {error}", case.name));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// No frame, however it is cut, makes kernel and host disagree.
#[test]
fn kernel_and_host_agree_on_every_cut_of_every_packet() -> Result<()> {
    let world = World::new()?;
    let mut kernel = load(&world)?;
    let mut tables = host::HostTables::new(&world);
    for Case { name, frame, .. } in table::cases(&world) {
        // The kernel takes no test frame that is shorter than its Ethernet header.
        for length in 14..=frame.len() {
            let cut = &frame[..length];
            let decided = filter::decide(&cut, &mut tables);
            let action = run(&world, &mut kernel, cut)?;
            let expected = if decided.is_pass() {
                XDP_PASS
            } else {
                XDP_DROP
            };
            ensure!(
                action == expected,
                "{name}, {length} bytes: {action} but {decided:?}"
            );
        }
    }
    Ok(())
}

fn load(world: &World) -> Result<Kernel> {
    let options = LoadOptions {
        ports: world.policy(),
        ..LoadOptions::default()
    };
    let kernel = Kernel::load(&options)?;
    let mut tuples = kernel.maps().tuples()?;
    const MINUTE: u64 = 60_000_000_000;
    for key in world.live_tuples() {
        tuples.arm(key, Owner::new(1, Mode::Passive), MINUTE)?;
    }
    for key in world.expired_tuples() {
        tuples.arm(key, Owner::new(1, Mode::Passive), 0)?;
    }
    Ok(kernel)
}

/// Runs the program in the world's namespace: that is where the kernel looks sockets up.
fn run(world: &World, kernel: &mut Kernel, frame: &[u8]) -> Result<u32> {
    let program = kernel.ingress(AttachedMode::Native)?;
    let options = TestRunOptions {
        data_in: Some(frame),
        ..TestRunOptions::new()
    };
    Ok(world.netns.run(|| program.test_run(options))??.return_value)
}

fn check(case: &Case, action: u32, before: &Counters, after: &Counters) -> Result<()> {
    let counted: Vec<_> = Reason::ALL
        .iter()
        .map(|reason| {
            let counter = Counter::Verdict(*reason);
            (*reason, after.get(counter) - before.get(counter))
        })
        .filter(|(_, count)| *count > 0)
        .collect();
    let expected = if case.reason.is_pass() {
        XDP_PASS
    } else {
        XDP_DROP
    };
    if counted != [(case.reason, 1)] || action != expected {
        bail!(
            "action {action} counted {counted:?}, not {expected} for {:?}",
            case.reason
        );
    }
    Ok(())
}
