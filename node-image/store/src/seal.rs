//! How values stand in the log.

use bytes::Bytes;

/// Encrypts values on their way to the log. Memory, snapshots and watches are in clear.
pub trait Seal: Send + Sync {
    /// What the log holds for a value.
    ///
    /// # Errors
    /// A sentence; nothing is written then.
    fn seal(&self, key: &str, value: &Bytes) -> Result<Bytes, String>;

    /// The value of what the log holds, and whether it is to be sealed anew (by a newer key).
    ///
    /// # Errors
    /// A sentence; the log is not opened then.
    fn open(&self, key: &str, stored: Bytes) -> Result<(Bytes, bool), String>;
}
