//! Machines with something else to do.

use std::hint;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

/// Does `work` while every core is busy with something else.
pub fn with_busy_cores<T>(work: impl FnOnce() -> T) -> T {
    /// Ends the load even when `work` panics.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Relaxed);
        }
    }

    let stop = AtomicBool::new(false);
    let cores = thread::available_parallelism().map_or(2, NonZero::get);
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        for _ in 0..cores {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    hint::spin_loop();
                }
            });
        }
        work()
    })
}
