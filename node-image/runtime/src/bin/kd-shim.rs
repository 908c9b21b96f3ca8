//! The shim alone, as the tests start it; in a node it is part of `kd`.

fn main() {
    std::process::exit(kd_runtime::shim_main(std::env::args_os().skip(1)));
}
