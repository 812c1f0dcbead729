//! Would the programs work here? They are loaded and verified, attached to nothing and pinned nowhere.

use std::time::Instant;

use ftpfw_common::abi::programs;

use super::{Kernel, pins::AttachedMode, tracepoint};

/// All but the filter for the driver, which older kernels take in another form.
const PROGRAMS: [&str; 11] = [
    programs::INGRESS_LINEAR,
    programs::GUARD,
    programs::COMMANDS,
    programs::REPLIES,
    programs::FORKS,
    programs::EXECS,
    programs::EXITS,
    programs::SOCKETS,
    programs::SOCKETS_AGAIN,
    programs::FORGET,
    programs::TURNED,
];

/// What the kernel refuses of the programs, a sentence each; and how many it was asked about.
#[must_use]
pub fn refused(kernel: &mut Kernel) -> (Vec<String>, usize) {
    let ingress = timed(programs::INGRESS, || {
        kernel.ingress(AttachedMode::Native).map(drop)
    });
    let mut results = vec![ingress];
    results.extend(
        PROGRAMS
            .iter()
            .map(|name| timed(name, || kernel.verify(name))),
    );
    let number = results.len();
    let refused = results.into_iter().filter_map(|result| {
        let error = format!("{:#}", result.err()?);
        // The verifier's log is for who asks for it.
        tracing::debug!("{error}");
        Some(error.lines().next()?.to_owned())
    });
    (refused.collect(), number)
}

/// What the verifier takes is what a start takes.
fn timed<T>(name: &str, load: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = load();
    tracing::debug!("{name}: {} ms in the verifier", begin.elapsed().as_millis());
    result
}

/// Raw tracepoints that the kernel lacks.
///
/// # Errors
///
/// When the kernel has no BTF.
pub fn missing_tracepoints() -> anyhow::Result<Vec<&'static str>> {
    tracepoint::missing()
}
