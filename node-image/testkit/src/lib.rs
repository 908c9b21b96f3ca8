//! In-process cluster, virtual clock and fake runtime for tests.
