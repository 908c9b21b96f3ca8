//! `kd image prune`.

use crate::commands::Context;
use crate::error::Result;
use crate::image::unused;

/// Removes layers that nothing uses, and tells how much room that made.
pub async fn run(context: &Context) -> Result<()> {
    let engine = context.engine().await?;
    let step = context.ui.step("Removing layers that nothing uses");
    let freed = unused::prune(&engine).await?;
    step.done(&format!("{:.1} MB are free again.", freed as f64 / 1e6));
    Ok(())
}
