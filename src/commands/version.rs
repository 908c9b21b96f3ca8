//! `kd version`.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::Context;
use crate::error::Result;
use crate::output;

/// What `kd --version` prints.
pub const SHORT: &str = env!("CARGO_PKG_VERSION");
/// The version of Kubernetes whose API kd's clusters have.
const KUBERNETES: &str = "v1.36.0";

/// Arguments of `kd version`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The form of the output.
    #[arg(long, short, value_enum)]
    output: Option<VersionFormat>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum VersionFormat {
    Json,
    Yaml,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: &'static str,
    kubernetes: &'static str,
    platform: String,
}

/// Prints the version.
pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    let version = Version {
        version: SHORT,
        kubernetes: KUBERNETES,
        platform: format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    };
    let text = match arguments.output {
        Some(VersionFormat::Json) => output::json(&version)?,
        Some(VersionFormat::Yaml) => output::yaml(&version)?,
        None => format!(
            "kd {} (Kubernetes {}, {})\n",
            version.version, version.kubernetes, version.platform
        ),
    };
    context.ui.data(&text);
    Ok(())
}
