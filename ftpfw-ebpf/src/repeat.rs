//! Loops over what a packet holds.

use core::{arch::asm, ffi::c_void};

use aya_ebpf::helpers::generated::bpf_loop;
use ftpfw_common::abi::event::PAYLOAD_CHUNK;

use crate::kernel::EARLY;

/// One round: its number, from 0, and what the caller gave along. [`GO_ON`] or [`STOP`].
///
/// For an early kernel a function of its own (`inline(never)`): all that the verifier then takes from one round
/// to the next is the number, and 128 of them are 20,000 instructions to it and not a million.
pub type Round<T> = unsafe extern "C" fn(u32, *mut T) -> i64;

pub const GO_ON: i64 = 0;
pub const STOP: i64 = 1;

/// Chunks of the largest packet that an early kernel knows: larger ones (BIG TCP) are of 5.19. Were there one,
/// its checksum would be wrong, and the agent would see a gap.
const MOST: u32 = (1 << 16) / PAYLOAD_CHUNK as u32;

/// So many rounds, unless one stops.
///
/// The verifier walks one; on an early kernel each of [`MOST`], so that there it is for chunks only, never
/// for bytes.
///
/// # Safety
/// `round` may be called with `with`.
#[inline(always)]
pub unsafe fn repeat<T>(times: u32, round: Round<T>, with: *mut T) {
    if EARLY {
        for index in 0..MOST {
            // SAFETY: the caller's.
            if index >= unseen(times) || unsafe { round(index, with) } != GO_ON {
                break;
            }
        }
    } else {
        // SAFETY: the callback has the signature that bpf_loop wants; the rest is the caller's.
        unsafe { bpf_loop(times, round as *mut c_void, with.cast(), 0) };
    }
}

/// The same number, of which the compiler knows nothing: out of two bounds it would make one, and the verifier
/// of 5.10 does not see that a loop ends at a number that it does not know.
#[inline(always)]
fn unseen(mut number: u32) -> u32 {
    // SAFETY: a register is copied to itself.
    unsafe {
        asm!(
            "{number} = {number}",
            number = inout(reg) number,
            options(nomem, nostack, preserves_flags),
        );
    }
    number
}
