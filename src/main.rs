//! The kd command.
fn main() {}
