//! In-process cluster, virtual clock and fake runtime for tests.

mod fake_api;

pub use fake_api::FakeApi;
