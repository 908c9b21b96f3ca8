//! Boot order, certificates and process supervision: the crate that wires all others.
