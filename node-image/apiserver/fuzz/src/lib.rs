//! What the targets feed.

pub mod entries;
#[path = "../../tests/api/server.rs"]
pub mod server;

/// Feeds an entry by its name.
pub fn feed(name: &str, bytes: &[u8]) {
    let entry = entries::ENTRIES.iter().find(|(known, _)| *known == name);
    let (_, take) = entry.expect("a target has an entry of its name");
    take(bytes);
}
