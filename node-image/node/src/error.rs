//! Why a node program ended.

/// Exit codes of the node programs, after sysexits.h where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// It ended as asked.
    Success = 0,
    /// It failed; starting it again may help.
    Failure = 1,
    /// It was called wrongly.
    Usage = 64,
    /// What it was configured with cannot work; starting it again will not help.
    Configuration = 78,
}

/// A failure of a node program.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot work.
    #[error("{0}")]
    Configuration(String),
    /// Something was refused while doing `operation`.
    #[error("{operation}: {source}")]
    Failed {
        /// What was being done.
        operation: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Names the operation of a failure.
    pub(crate) fn of<E>(operation: impl Into<String>) -> impl FnOnce(E) -> Error
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let operation = operation.into();
        move |source| Error::Failed { operation, source: source.into() }
    }

    /// The exit code that says whether a restart makes sense.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Configuration(_) => ExitCode::Configuration,
            Error::Failed { .. } => ExitCode::Failure,
        }
    }
}

/// The result of node programs.
pub(crate) type Result<T> = std::result::Result<T, Error>;
