//! The one error of the command line: what failed, why, what to do next, and the exit code.

use std::fmt;

/// The exit codes of `kd`. Scripts may rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Something without a code of its own.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// There is no Docker engine to talk to.
    NoEngine = 3,
    /// The Docker engine's socket may not be used by this user.
    EnginePermission = 4,
    /// The cluster is there already.
    ClusterExists = 5,
    /// A cluster, node, pod or context is not there.
    NotFound = 6,
    /// A name that cannot be used.
    BadName = 7,
    /// A port of this machine is taken.
    PortBusy = 8,
    /// An image is not there.
    ImageMissing = 9,
    /// A kubeconfig cannot be read or written.
    Kubeconfig = 10,
    /// Something did not happen in time.
    Timeout = 11,
    /// A node did not start.
    NodeFailed = 12,
    /// The Docker engine refused a request.
    Engine = 13,
    /// The cluster's API server refused a request or cannot be reached.
    Api = 14,
    /// The pod behind a port-forward is gone.
    PodGone = 15,
    /// Stopped by the user.
    Interrupted = 130,
}

/// What failed, with its cause and what to do next.
#[derive(Debug)]
pub struct Error {
    code: ExitCode,
    message: String,
    hints: Vec<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of everything that a command does.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with an exit code of its own.
    pub fn new(code: ExitCode, message: impl Into<String>) -> Error {
        Error { code, message: message.into(), hints: Vec::new(), source: None }
    }

    /// An error without an exit code of its own.
    pub fn failure(message: impl Into<String>) -> Error {
        Error::new(ExitCode::Failure, message)
    }

    /// Adds what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hints.push(hint.into());
        self
    }

    /// Adds the cause.
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        self.source = Some(source.into());
        self
    }

    /// One error of several, for work that goes on after a failure. `None` when there is none.
    pub fn all(errors: Vec<Error>) -> Option<Error> {
        let mut errors = errors.into_iter();
        let mut first = errors.next()?;
        for other in errors {
            first.message = format!("{}\n{}", first.full_message(), other.full_message());
            first.source = None;
            for hint in other.hints {
                if !first.hints.contains(&hint) {
                    first.hints.push(hint);
                }
            }
        }
        Some(first)
    }

    /// The process' exit code.
    pub fn code(&self) -> ExitCode {
        self.code
    }

    /// What to do next.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The message and every cause below it, each said once.
    pub fn full_message(&self) -> String {
        let mut text = self.message.clone();
        let mut source = self.source.as_deref().map(|source| source as &dyn std::error::Error);
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !cause_text.is_empty() && !text.contains(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            source = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.full_message())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        let cause = std::io::Error::other("disk full");
        let error = Error::failure("write a: disk full").because(cause);
        assert_eq!(error.full_message(), "write a: disk full");
        let error = Error::failure("write a").because(std::io::Error::other("disk full"));
        assert_eq!(error.full_message(), "write a: disk full");
    }

    #[test]
    fn several_errors_become_one() {
        let errors = vec![
            Error::new(ExitCode::Engine, "remove a").hint("look"),
            Error::failure("remove b").hint("look").hint("again"),
        ];
        let error = Error::all(errors).unwrap();
        assert_eq!(error.full_message(), "remove a\nremove b");
        assert_eq!(error.hints(), ["look", "again"]);
        assert_eq!(error.code(), ExitCode::Engine);
        assert!(Error::all(Vec::new()).is_none());
    }
}
