//! How kd is linked. At a fixed address: a position-independent program is relocated in memory whenever it
//! starts, which every shim of a pod would pay for, with megabytes of its own and milliseconds. And, where a
//! panic ends the program at once, without tables of how to unwind it: an eighth of the node image.

use std::path::PathBuf;

/// Leaves the tables out; the rest is laid out as always.
const WITHOUT_UNWIND_TABLES: &str =
    "SECTIONS { /DISCARD/ : { *(.eh_frame) } } INSERT AFTER .text;\n";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let is_static =
        variable("CARGO_CFG_TARGET_FEATURE").split(',').any(|name| name == "crt-static");
    if variable("CARGO_CFG_TARGET_OS") != "linux"
        || variable("CARGO_CFG_TARGET_ENV") != "gnu"
        || !is_static
    {
        return;
    }
    println!("cargo::rustc-link-arg-bins=-no-pie");
    println!("cargo::rustc-link-arg-bins=-static");
    // A user's own choice of linker may be one that takes no scripts.
    let own_linker = !variable("RUSTC_LINKER").is_empty()
        || variable("CARGO_ENCODED_RUSTFLAGS").contains("-fuse-ld");
    // The profiles that unwind are those of tests.
    if variable("PROFILE") == "release" && !own_linker {
        let script = PathBuf::from(variable("OUT_DIR")).join("without-unwind-tables.ld");
        match std::fs::write(&script, WITHOUT_UNWIND_TABLES) {
            Ok(()) => {
                println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
                println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
            }
            Err(error) => println!("cargo::warning={}: {error}", script.display()),
        }
    }
}
