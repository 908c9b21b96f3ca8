//! Work on deeply nested expressions: it runs on a stack that is large enough.

use std::panic;
use std::thread;

/// Nesting that fits whatever stack the caller has.
const SHALLOW_MAX: usize = 32;
/// What the deepest allowed expression needs many times over, in bytes; only what is touched is used.
const STACK_SIZE: usize = 64 << 20;

/// The complaint when there is no thread to be had.
pub(crate) const NO_THREAD: &str = "no thread for a deeply nested expression";

/// Does the work, on a thread of its own if the nesting is deep. `None` if there is no thread to be had.
pub(crate) fn run<T: Send>(depth: usize, work: impl FnOnce() -> T + Send) -> Option<T> {
    if depth <= SHALLOW_MAX {
        return Some(work());
    }
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("cel".into()).stack_size(STACK_SIZE);
        let worker = builder.spawn_scoped(scope, work).ok()?;
        match worker.join() {
            Ok(result) => Some(result),
            Err(cause) => panic::resume_unwind(cause),
        }
    })
}
