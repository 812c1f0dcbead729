//! Loading the eBPF object: maps made or adopted, policy filled in, programs verified.

use std::{
    hash::{BuildHasher as _, RandomState},
    io,
};

use anyhow::Context as _;
use aya::{
    Ebpf, EbpfLoader,
    programs::{
        Program, ProgramError, RawTracePoint, RawTracePointRunOptions, SchedClassifier,
        TestRun as _, Xdp,
    },
};
use ftpfw_common::abi::{self, kernel::LAYOUT, keys::SessionKey, policy::Settings};

use super::{
    Maps, PinDir, Programs, Wire,
    adopt::{check_pinned, differs, pinned_settings, warn_of_sizes},
    btf,
    pins::AttachedMode,
    requirements, turned,
};
use crate::config::PortPolicy;

/// How to load.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Where maps are pinned, and adopted from when they are there already; `None`: not at all. The
    /// directory must exist.
    pub pin_dir: Option<PinDir>,
    /// Goes into `SETTINGS`, as far as the programs can follow it ([`Programs::fit`]).
    pub settings: Settings,
    /// Goes into `PORTS`.
    pub ports: PortPolicy,
    /// Entries of the maps that are made.
    pub sizes: MapSizes,
    /// Most verbose messages that the programs send: 0 none, 1 error … 5 trace (aya-log's numbers).
    pub log_level: u8,
}

/// How much the maps hold. Adopted maps keep the sizes that they were made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapSizes {
    /// Control connections.
    pub sessions: u32,
    /// Armed tuples, and as many claimed ones.
    pub tuples: u32,
    /// Flows of no local socket.
    pub flows: u32,
}

impl Default for MapSizes {
    fn default() -> Self {
        Self {
            sessions: 1 << 16,
            tuples: 1 << 16,
            flows: 1 << 16,
        }
    }
}

impl MapSizes {
    /// The maps that it decides about, and their sizes.
    pub(super) fn by_map(self) -> [(&'static str, u32); 6] {
        [
            (abi::maps::SESSIONS, self.sessions),
            (abi::maps::OPAQUE, self.sessions),
            (abi::maps::ENTITLED, self.sessions),
            (abi::maps::ARMED, self.tuples),
            (abi::maps::CLAIMED, self.tuples),
            (abi::maps::FLOWS, self.flows),
        ]
    }
}

impl Default for LoadOptions {
    /// Nothing pinned, the defaults of the command line, no messages.
    fn default() -> Self {
        Self {
            pin_dir: None,
            settings: Settings::DEFAULT,
            ports: PortPolicy::default(),
            sizes: MapSizes::default(),
            log_level: 0,
        }
    }
}

/// The programs in the kernel, attached to nothing unless [`super::attach`] does it.
///
/// Dropping it removes what is not pinned.
#[derive(Debug)]
pub struct Kernel {
    programs: Programs,
    object: Ebpf,
    maps: Maps,
    /// [`Settings::seed`] of the maps.
    seed: u64,
    /// The kernel is believed to have XDP frames of several buffers.
    frags: bool,
}

impl Kernel {
    /// Loads the object; policy is in the maps before this returns. Each program is loaded, and
    /// verified, when it is asked for first.
    ///
    /// # Errors
    ///
    /// When the pinned maps are of another [`abi::VERSION`], when the kernel refuses a map, or for
    /// want of privileges.
    pub fn load(options: &LoadOptions) -> anyhow::Result<Self> {
        requirements::lock_memory();
        let programs = Programs::for_this_kernel();
        let options = &LoadOptions {
            settings: programs.fit(options.settings),
            ..options.clone()
        };
        if let Some(pins) = &options.pin_dir {
            check_pinned(pins)?;
        }
        let seed = options.pin_dir.as_ref().and_then(pinned_settings);
        let seed = seed.map_or_else(new_seed, |settings| settings.seed);
        let adopted = options.pin_dir.as_ref().filter(|pins| pins.in_use());
        if let Some(pins) = adopted {
            tracing::info!("adopting the state pinned under {}", pins.path().display());
        }
        let mut object = parse(programs, options)?;
        let maps = Maps::take(&mut object)?;
        warn_of_sizes(&maps, options.sizes)?;
        if adopted.is_some() && differs(&maps, options)? {
            tracing::warn!("the agent before had another policy; from now on it is this one's");
        }
        let ports = maps.ports()?;
        ports.set_policy(&options.ports.table());
        if programs == Programs::Early {
            ports.idle().forget_all();
        }
        let kernel = Self {
            programs,
            object,
            maps,
            seed,
            frags: true,
        };
        kernel.set_settings(options.settings)?;
        Ok(kernel)
    }

    /// Which programs the kernel took.
    #[must_use]
    pub const fn programs(&self) -> Programs {
        self.programs
    }

    /// The maps.
    #[must_use]
    pub const fn maps(&self) -> &Maps {
        &self.maps
    }

    /// Replaces the policy in `SETTINGS`, all but the seed.
    ///
    /// # Errors
    ///
    /// Those of the map.
    pub fn set_settings(&self, settings: Settings) -> anyhow::Result<()> {
        let settings = Settings {
            seed: self.seed,
            ..self.programs.fit(settings)
        };
        Ok(self.maps.settings()?.set(0, Wire(settings), 0)?)
    }

    /// The filter, as XDP in the driver or (`AttachedMode::Generic`) in the network stack.
    ///
    /// Frames of several buffers are for drivers only. For a program that takes them, the network stack
    /// of kernels up to 6.18 at least copies packets and forgets the length of their Ethernet header
    /// (`skb_pp_cow_data` in `net/core/skbuff.c` leaves `mac_len` 0): TC programs behind it see none.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the program, with the end of the verifier's log; so with the others.
    pub fn ingress(&mut self, mode: AttachedMode) -> anyhow::Result<&mut Xdp> {
        const FRAGS: &str = abi::programs::INGRESS;
        const LINEAR: &str = abi::programs::INGRESS_LINEAR;
        if mode != AttachedMode::Native {
            return self.program(LINEAR);
        }
        if self.frags
            && let Err(error) = self.loaded(FRAGS)
        {
            // Before 5.18. If it is for another reason, the second one fails too.
            tracing::debug!("{error:#}");
            self.frags = false;
            self.loaded(LINEAR).map_err(|_| error)?;
        }
        self.program(if self.frags { FRAGS } else { LINEAR })
    }

    /// The filter at TC ingress, with the follower of client bytes.
    ///
    /// # Errors
    ///
    /// As [`Self::ingress`].
    pub fn guard(&mut self) -> anyhow::Result<&mut SchedClassifier> {
        self.program(abi::programs::GUARD)
    }

    /// The follower of client bytes.
    ///
    /// # Errors
    ///
    /// As [`Self::ingress`].
    pub fn commands(&mut self) -> anyhow::Result<&mut SchedClassifier> {
        self.program(abi::programs::COMMANDS)
    }

    /// The follower of server bytes.
    ///
    /// # Errors
    ///
    /// As [`Self::ingress`].
    pub fn replies(&mut self) -> anyhow::Result<&mut SchedClassifier> {
        self.program(abi::programs::REPLIES)
    }

    /// The program of a tracepoint: one of [`abi::programs`].
    ///
    /// # Errors
    ///
    /// As [`Self::ingress`].
    pub fn tracepoint(&mut self, name: &str) -> anyhow::Result<&mut RawTracePoint> {
        self.program(name)
    }

    /// Removes a session of which nothing is left but its entry, as the end of its socket would. Whether
    /// it was there, and had ended.
    ///
    /// # Errors
    ///
    /// As [`Self::ingress`], and when the kernel does not run it: before Linux 5.10.
    pub fn forget(&mut self, key: &SessionKey) -> anyhow::Result<bool> {
        let run = RawTracePointRunOptions {
            args: turned::arguments(key),
            cpu: None,
        };
        let program = self.tracepoint(abi::programs::FORGET)?;
        Ok(program.test_run(run)?.return_value != 0)
    }

    /// Has the kernel verify a program; nothing is attached.
    ///
    /// # Errors
    ///
    /// As [`Self::ingress`].
    pub fn verify(&mut self, name: &str) -> anyhow::Result<()> {
        self.loaded(name).map(drop)
    }

    /// The object, for what else is in it (the programs' messages).
    pub(crate) const fn object(&mut self) -> &mut Ebpf {
        &mut self.object
    }

    fn program<'a, P>(&'a mut self, name: &str) -> anyhow::Result<&'a mut P>
    where
        &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
    {
        self.loaded(name)?
            .try_into()
            .with_context(|| format!("program {name} of the eBPF object is of another type"))
    }

    fn loaded(&mut self, name: &str) -> anyhow::Result<&mut Program> {
        let program = self
            .object
            .program_mut(name)
            .with_context(|| format!("the eBPF object has no program {name}"))?;
        if program.fd().is_err() {
            load_program(program).map_err(|error| explain(name, error))?;
        }
        Ok(program)
    }
}

fn parse(programs: Programs, options: &LoadOptions) -> anyhow::Result<Ebpf> {
    let mut loader = EbpfLoader::new();
    loader.override_global(aya_log::LEVEL, &options.log_level, false);
    let layout = Wire(btf::kernel_layout()?);
    loader.override_global(LAYOUT, &layout, true);
    for (name, size) in options.sizes.by_map() {
        loader.map_max_entries(name, size);
    }
    if let Some(pins) = &options.pin_dir {
        for name in super::maps::PINNED {
            loader.map_pin_path(name, pins.map(name));
        }
    }
    let loaded = loader.load(programs.object());
    loaded.context("cannot load the eBPF object")
}

/// Nobody outside knows it, so nobody can choose addresses that share their places in `CLIENTS`: the
/// standard library takes it from the system's random numbers.
fn new_seed() -> u64 {
    RandomState::new().hash_one(())
}

/// Again when the verifier was interrupted by a signal (`do_check` in `kernel/bpf/verifier.c`), a SIGHUP say.
fn load_program(program: &mut Program) -> Result<(), ProgramError> {
    const ATTEMPTS: usize = 5;
    let mut load = || match program {
        Program::Xdp(program) => program.load(),
        Program::SchedClassifier(program) => program.load(),
        Program::RawTracePoint(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    for _ in 1..ATTEMPTS {
        match load() {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.kind() == io::ErrorKind::WouldBlock => {}
            loaded => return loaded,
        }
    }
    load()
}

/// The verifier's log is thousands of lines; the verdict stands at its end.
fn explain(name: &str, error: ProgramError) -> anyhow::Error {
    const LAST_LINES: usize = 12;
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            let log = verifier_log.to_string();
            let lines: Vec<_> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n  ");
            anyhow::anyhow!("the kernel refused the program {name}: {io_error}\n  {tail}")
        }
        error => anyhow::Error::new(error).context(format!("cannot load the program {name}")),
    }
}
