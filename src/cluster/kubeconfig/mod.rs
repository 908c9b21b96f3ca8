//! Kubeconfig files, changed as kubectl changes them.

mod document;
mod files;
#[cfg(all(test, unix))]
mod files_tests;

pub use document::{Document, Entries};
pub use files::Files;
