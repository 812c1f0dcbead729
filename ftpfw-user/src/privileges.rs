//! Giving up the privileges that the agent does not need (docs/configuration.md has what each is for).

use caps::{CapSet, Capability, CapsHashSet, errors::CapsError};
use nix::sys::prctl;
use tracing::debug;

/// What the agent needs as long as it runs, found by leaving each out.
pub const NEEDED: [Capability; 5] = [
    // Programs and maps.
    Capability::CAP_BPF,
    // XDP and TC, also of interfaces that come later.
    Capability::CAP_NET_ADMIN,
    // Programs that read kernel memory: those of the tracepoints.
    Capability::CAP_PERFMON,
    // Which sockets a daemon of another user holds: to look into its /proc/PID/fd, and to open that.
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_DAC_READ_SEARCH,
];

/// Gives up all capabilities but [`NEEDED`], for good, and the way to get any by another program.
/// They are each thread's own: to be called while there is one thread.
///
/// # Errors
///
/// When the kernel refuses, which leaves more than is needed.
pub fn drop_unneeded() -> Result<(), CapsError> {
    let permitted = caps::read(None, CapSet::Permitted)?;
    let kept = kept(&permitted);
    for capability in caps::all().difference(&kept) {
        // Without CAP_SETPCAP (a service manager has done it already) the bound stays as it is.
        if let Err(error) = caps::drop(None, CapSet::Bounding, *capability) {
            debug!("{capability} stays in the bounding set: {error}");
        }
    }
    // Old kernels have no ambient set; then there is nothing in it.
    if let Err(error) = caps::clear(None, CapSet::Ambient) {
        debug!("the ambient set stays: {error}");
    }
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    caps::clear(None, CapSet::Inheritable)?;
    if let Err(error) = prctl::set_no_new_privs() {
        debug!("new privileges stay possible: {error}");
    }
    Ok(())
}

/// `CAP_SYS_ADMIN` stands in for two of them, where somebody gives only that.
fn kept(permitted: &CapsHashSet) -> CapsHashSet {
    let needed: CapsHashSet = NEEDED.into();
    let mut kept: CapsHashSet = needed.intersection(permitted).copied().collect();
    let complete = [Capability::CAP_BPF, Capability::CAP_PERFMON]
        .iter()
        .all(|capability| kept.contains(capability));
    if !complete && permitted.contains(&Capability::CAP_SYS_ADMIN) {
        kept.insert(Capability::CAP_SYS_ADMIN);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_keeps_what_is_needed_and_a_container_what_stands_in_for_it() {
        let needed: CapsHashSet = NEEDED.into();
        assert_eq!(kept(&caps::all()), needed);
        let given = [
            Capability::CAP_SYS_ADMIN,
            Capability::CAP_NET_ADMIN,
            Capability::CAP_CHOWN,
        ];
        let kept = kept(&given.into());
        let expected = [Capability::CAP_SYS_ADMIN, Capability::CAP_NET_ADMIN];
        assert_eq!(kept, expected.into());
    }
}
