//! Revisioned keys, consistent snapshots, watch; bytes in, bytes out.
