//! The three programs that run the filter, fed by BPF_PROG_TEST_RUN.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::{Context as _, Result, bail, ensure};
use aya::programs::{ProgramError, TestRun as _, TestRunOptions};
use ftpfw_common::{
    abi::{
        keys::PairKey,
        policy::Settings,
        values::{self, Mode},
    },
    reason::{Counter, Reason},
};
use ftpfw_tests::packets::{ACKNOWLEDGED, ETHERNET, IPV4, IPV6};
use ftpfw_user::kernel::{
    Kernel, LoadOptions, Wire, clock,
    maps::{CounterMap, FlowMap, ListenerMap},
    pins::AttachedMode,
    tuples::{Owner, TupleMap, Tuples},
};

use crate::{setup::Setup, world::World};

/// What a test run takes into one buffer, bytes: a page, less the kernel's own head- and tailroom.
pub const ONE_BUFFER: usize = 3400;
/// Runs that surely do not use up a tuple: it remembers 64 SYNs.
const RUNS: u32 = 32;
/// How long what lives shall live, ns: longer than any test takes.
const LONG: u64 = 3600 * 1_000_000_000;

/// A program that filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// XDP in the driver, for frames of any number of buffers.
    Ingress,
    /// XDP in the network stack, and before Linux 5.18: one buffer.
    IngressLinear,
    /// `--mode tc`: the filter, then the follower.
    Guard,
}

impl Program {
    pub const ALL: [Self; 3] = [Self::Ingress, Self::IngressLinear, Self::Guard];

    /// What it returns for a frame that it lets through, and for one that it drops: `XDP_PASS`,
    /// `XDP_DROP`, `TC_ACT_UNSPEC`, `TC_ACT_SHOT`.
    pub const fn action(self, passes: bool) -> u32 {
        match (self, passes) {
            (Self::Ingress | Self::IngressLinear, true) => 2,
            (Self::Ingress | Self::IngressLinear, false) => 1,
            (Self::Guard, true) => -1_i32 as u32,
            (Self::Guard, false) => 2,
        }
    }
}

/// One program, loaded by itself: what a packet leaves behind in the maps meets its own packets only.
pub struct Bench {
    pub program: Program,
    kernel: Kernel,
    /// A test run shows it the whole frame.
    sees_all: bool,
    counters: CounterMap,
    flows: FlowMap,
    tuples: Tuples,
    armed: TupleMap,
    listeners: ListenerMap,
    runs: u32,
}

impl Bench {
    /// Has the kernel verify it, and fills in the policy. A world is younger: of its sockets some end after a
    /// minute, and on an emulated processor the verifier takes a good part of one.
    pub fn load(program: Program, setup: Setup) -> Result<Self> {
        Self::load_with(program, setup, setup.settings())
    }

    /// With other settings than the set-up's.
    pub fn load_with(program: Program, setup: Setup, settings: Settings) -> Result<Self> {
        let options = LoadOptions {
            ports: setup.policy(),
            settings,
            ..LoadOptions::default()
        };
        let mut kernel = Kernel::load(&options)?;
        Ok(Self {
            program,
            sees_all: sees_all(program, &mut kernel)?,
            counters: kernel.maps().counter_map()?,
            flows: kernel.maps().flows()?,
            tuples: kernel.maps().tuples()?,
            armed: kernel.maps().armed()?,
            listeners: kernel.maps().listeners()?,
            runs: 0,
            kernel,
        })
    }

    /// Flows and tuples as the world has them at first. To be called before anything is run.
    pub fn reset(&mut self, world: &World) -> Result<()> {
        let known: Vec<_> = self.flows.keys().collect::<Result<_, _>>()?;
        for key in known {
            self.flows.remove(&key)?;
        }
        let now = clock::now();
        // By the programs' clock too, which is a few ms late.
        let past = now - 1_000_000_000;
        let mut ports = self.kernel.maps().flow_ports()?;
        for flow in world.flows() {
            ports.set(u32::from(flow.key.local_port), u32::MAX, 0)?;
            let value = values::Flow {
                until: if flow.expired { past } else { now + LONG },
                state: flow.state,
                expected: 0,
            };
            self.flows.insert(Wire(flow.key), Wire(value), 0)?;
        }
        self.entitle(world)?;
        for tuple in world.tuples() {
            let owner = Owner {
                forwarded: tuple.forwarded,
                ..Owner::new(1, Mode::Passive)
            };
            self.tuples.arm(tuple.key, owner, LONG)?;
            if tuple.expired {
                let mut value = self.armed.get(&Wire(tuple.key), 0)?;
                value.0.until = past;
                self.armed.insert(Wire(tuple.key), value, 0)?;
            }
        }
        Ok(())
    }

    /// As an agent does every second.
    pub fn find_idle(&self) -> Result<()> {
        self.kernel.maps().idle_finder()?.look()
    }

    /// Opaque sessions, and listeners for them: once.
    fn entitle(&mut self, world: &World) -> Result<()> {
        let (mut entitled, mut opaque) =
            (self.kernel.maps().entitled()?, self.kernel.maps().opaque()?);
        for (key, value) in world.entitled() {
            let pair = PairKey {
                client: key.client,
                server: key.server,
            };
            entitled.insert(Wire(key), Wire(value), 0)?;
            opaque.insert(Wire(pair), 1, 0)?;
        }
        for (key, value) in world.listeners() {
            if self.listeners.get(&Wire(key), 0).is_err() {
                ensure!(self.tuples.ports().count_listener(key.port as u16));
                self.listeners.insert(Wire(key), Wire(value), 0)?;
            }
        }
        Ok(())
    }

    /// Whether it takes frames of several buffers, or is no XDP program.
    pub const fn sees_all(&self) -> bool {
        self.sees_all
    }

    /// The program's action; `None` where the kernel has no such test run, see [`Self::refuses`]. The
    /// calling thread must be in the world's namespace: sockets are looked up there.
    pub fn run(&mut self, frame: &[u8]) -> Result<Option<u32>> {
        // A test run would show such a program the first buffer alone. Nothing else does: drivers do not
        // attach it where frames may have more, and the network stack joins them.
        if !self.sees_all && frame.len() > ONE_BUFFER {
            return Ok(None);
        }
        self.runs += 1;
        if self.runs.is_multiple_of(RUNS) {
            self.forget_admitted()?;
        }
        let options = TestRunOptions {
            data_in: Some(frame),
            ..TestRunOptions::new()
        };
        let result = match self.program {
            Program::Ingress => self.kernel.ingress(AttachedMode::Native)?.test_run(options),
            Program::IngressLinear => {
                let program = self.kernel.ingress(AttachedMode::Generic)?;
                program.test_run(options)
            }
            Program::Guard => self.kernel.guard()?.test_run(options),
        };
        match result {
            Ok(result) => Ok(Some(result.return_value)),
            Err(error) if self.refuses(frame, &error) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{:?}", self.program)),
        }
    }

    /// Of each tuple and listener only some SYNs are remembered as flows, and a table has more.
    fn forget_admitted(&mut self) -> Result<()> {
        for (key, mut tuple) in self.armed.iter().collect::<Result<Vec<_>, _>>()? {
            if tuple.0.admitted > 0 {
                tuple.0.admitted = 0;
                self.armed.insert(key, tuple, 0)?;
            }
        }
        for (key, mut listener) in self.listeners.iter().collect::<Result<Vec<_>, _>>()? {
            if listener.0.admitted > 0 {
                listener.0.admitted = 0;
                self.listeners.insert(key, listener, 0)?;
            }
        }
        Ok(())
    }

    /// Whether the kernel has no such test run of a TC program: with a frame of several buffers (Linux
    /// 6.18), or with an untagged IP frame that ends inside its IP header.
    fn refuses(&self, frame: &[u8], error: &ProgramError) -> bool {
        const EINVAL: i32 = 22;
        let ends_in_its_ip_header = match frame[12..14] {
            [0x08, 0x00] => frame.len() < ETHERNET + IPV4,
            [0x86, 0xdd] => frame.len() < ETHERNET + IPV6,
            _ => false,
        };
        let known = match self.program {
            Program::Ingress | Program::IngressLinear => false,
            Program::Guard => frame.len() > ONE_BUFFER || ends_in_its_ip_header,
        };
        let ProgramError::SyscallError(error) = error else {
            return false;
        };
        known && error.io_error.raw_os_error() == Some(EINVAL)
    }

    /// How often each verdict was given, whether carried out or not.
    pub fn counts(&self) -> Result<Counts> {
        let mut counts = Counts::default();
        for (at, reason) in Reason::ALL.iter().enumerate() {
            counts.carried_out[at] = self.counters.get(Counter::Verdict(*reason))?;
            counts.spared[at] = self.counters.get(Counter::WouldDrop(*reason))?;
        }
        Ok(counts)
    }

    /// Runs a frame and checks action and counters. `false`: the kernel has no such test run.
    pub fn check(&mut self, frame: &[u8], expected: &[Reason], dry_run: bool) -> Result<bool> {
        let before = self.counts()?;
        let Some(action) = self.run(frame)? else {
            return Ok(false);
        };
        let counted = self.counts()?.since(&before);
        let passes = dry_run || expected.iter().all(|reason| reason.is_pass());
        let wanted = self.program.action(passes);
        let mut counts = Counts::default();
        for reason in expected {
            counts.add(*reason, dry_run);
        }
        if counted != counts || action != wanted {
            bail!(
                "{:?}: action {action} counted {:?}, not {wanted} for {expected:?}",
                self.program,
                counted.named()
            );
        }
        if expected == [Reason::Tuple] {
            self.answer()?;
        }
        Ok(true)
    }

    /// As [`HostTables::answer`](crate::host::HostTables::answer).
    fn answer(&mut self) -> Result<()> {
        let flows: Vec<_> = self.flows.iter().collect::<Result<_, _>>()?;
        for (key, mut flow) in flows {
            if flow.0.state == values::Flow::HANDSHAKE {
                flow.0.expected = ACKNOWLEDGED;
                self.flows.insert(key, flow, 0)?;
            }
        }
        Ok(())
    }
}

/// Before Linux 5.18 the program for drivers is the linear one, too.
/// Has the program verified, too.
fn sees_all(program: Program, kernel: &mut Kernel) -> Result<bool> {
    static SAID: AtomicBool = AtomicBool::new(false);
    Ok(match program {
        Program::Ingress => {
            let info = kernel.ingress(AttachedMode::Native)?.info()?;
            let sees_all = info.name_as_str() == Some("ingress");
            if !sees_all && !SAID.swap(true, Relaxed) {
                writeln!(io::stderr(), "SKIPPED: frames of several buffers in XDP")?;
            }
            sees_all
        }
        Program::IngressLinear => {
            kernel.ingress(AttachedMode::Generic)?;
            false
        }
        Program::Guard => {
            kernel.guard()?;
            true
        }
    })
}

/// Verdicts by the number of their reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    carried_out: [u64; Reason::ALL.len()],
    /// Dropped, but for `--dry-run`.
    spared: [u64; Reason::ALL.len()],
}

impl Counts {
    pub fn add(&mut self, reason: Reason, dry_run: bool) {
        let counts = match dry_run && !reason.is_pass() {
            true => &mut self.spared,
            false => &mut self.carried_out,
        };
        counts[reason as usize] += 1;
    }

    pub fn since(mut self, before: &Self) -> Self {
        let counts = self.carried_out.iter_mut().chain(&mut self.spared);
        let before = before.carried_out.iter().chain(&before.spared);
        counts.zip(before).for_each(|(now, then)| *now -= then);
        self
    }

    /// Those that are not zero.
    pub fn named(&self) -> Vec<(Reason, u64, u64)> {
        let numbers = self.carried_out.iter().zip(&self.spared);
        let all = Reason::ALL.iter().zip(numbers);
        all.map(|(reason, (done, spared))| (*reason, *done, *spared))
            .filter(|(_, done, spared)| done + spared > 0)
            .collect()
    }
}
