//! The size of the node image.

use crate::machine::{Measured, Workbench};
use crate::table::Row;

const BYTES_MAX: f64 = 40e6;

pub fn measure(bench: &Workbench) -> Measured<Vec<Row>> {
    let image = bench.run(&mut bench.kd(&["--quiet", "node-image", "build"]))?;
    let bytes = bench.docker(&["image", "inspect", "-f", "{{.Size}}", &image])?;
    let bytes: f64 = bytes.parse().map_err(|error| format!("size {bytes:?}: {error}"))?;
    Ok(vec![Row {
        figure: "node image",
        measured: format!("{:.1} MB", bytes / 1e6),
        beside: String::new(),
        bar: "at most 40 MB",
        holds: bytes <= BYTES_MAX,
    }])
}
