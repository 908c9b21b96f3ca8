//! How a call ended: the codes and texts of gRPC, as its Go implementation prints them.

/// The codes that somebody here asks for; their numbers are gRPC's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Code {
    /// Given up by the caller.
    Canceled = 1,
    /// Anything else.
    Unknown = 2,
    /// It took too long.
    DeadlineExceeded = 4,
    /// Something is used up for now.
    ResourceExhausted = 8,
    /// The same is under way already.
    Aborted = 10,
    /// No such method.
    Unimplemented = 12,
    /// The server has failed.
    Internal = 13,
    /// The server cannot be reached.
    Unavailable = 14,
}

/// The names of all codes by their numbers.
const NAMES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The code's number.
    pub code: u32,
    /// The server's sentence.
    pub message: String,
}

impl Status {
    /// A status of a known code.
    pub fn new(code: Code, message: impl Into<String>) -> Status {
        Status { code: code as u32, message: message.into() }
    }

    /// Whether the code is this one.
    pub fn is(&self, code: Code) -> bool {
        self.code == code as u32
    }

    /// Whether the call has ended without doing anything. After the others it may still be carried
    /// out, and only the same call again or its opposite tells.
    pub fn is_final(&self) -> bool {
        const OPEN: [Code; 5] = [
            Code::Canceled,
            Code::DeadlineExceeded,
            Code::Unavailable,
            Code::ResourceExhausted,
            Code::Aborted,
        ];
        !OPEN.iter().any(|code| self.is(*code))
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = usize::try_from(self.code).ok().and_then(|at| NAMES.get(at));
        match known {
            Some(name) => write!(f, "rpc error: code = {name} desc = {}", self.message),
            None => write!(f, "rpc error: code = Code({}) desc = {}", self.code, self.message),
        }
    }
}

impl std::error::Error for Status {}

impl From<super::Malformed> for Status {
    fn from(error: super::Malformed) -> Status {
        Status::new(Code::Internal, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let check = |code: u32, text: &str| {
            assert_eq!(Status { code, message: "m".into() }.to_string(), text);
        };
        check(13, "rpc error: code = Internal desc = m");
        check(16, "rpc error: code = Unauthenticated desc = m");
        check(99, "rpc error: code = Code(99) desc = m");
        assert_eq!(Code::Unavailable as usize, 14);
        assert_eq!(NAMES[Code::Unavailable as usize], "Unavailable");
    }

    #[test]
    fn what_is_final() {
        assert!(Status::new(Code::Internal, "").is_final());
        assert!(!Status::new(Code::DeadlineExceeded, "").is_final());
    }
}
