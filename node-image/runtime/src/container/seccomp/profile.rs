//! System call policies in the OCI/Docker JSON form.

use serde::Deserialize;

/// A policy.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// For calls without a rule.
    pub default_action: Action,
    /// The error of `default_action`.
    #[serde(default)]
    pub default_errno_ret: Option<u32>,
    /// Rules.
    #[serde(default, rename = "syscalls")]
    pub rules: Vec<Rule>,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Action {
    /// It is carried out.
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    /// It fails.
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    /// Its thread is killed.
    #[serde(rename = "SCMP_ACT_KILL", alias = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    /// Its process is killed.
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    /// It is carried out and logged.
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    /// A tracer is told.
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    /// Its process gets SIGSYS.
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
}

/// Some calls and what happens to them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Calls by name.
    #[serde(default)]
    pub names: Vec<String>,
    /// One call, as old profiles have it.
    #[serde(default)]
    pub name: Option<String>,
    /// What happens.
    pub action: Action,
    /// The error of `action`.
    #[serde(default)]
    pub errno_ret: Option<u32>,
    /// All must hold for the rule to apply.
    #[serde(default)]
    pub args: Option<Vec<Argument>>,
}

/// A condition on one argument.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Argument {
    /// Which, from 0.
    pub index: u8,
    /// Compared with; the mask of [`Operator::MaskedEqual`].
    pub value: u64,
    /// The value under a mask.
    #[serde(default)]
    pub value_two: u64,
    /// How to compare.
    #[serde(rename = "op")]
    pub operator: Operator,
}

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Operator {
    /// ==
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    /// !=
    #[serde(rename = "SCMP_CMP_NE")]
    NotEqual,
    /// <
    #[serde(rename = "SCMP_CMP_LT")]
    Less,
    /// <=
    #[serde(rename = "SCMP_CMP_LE")]
    LessOrEqual,
    /// >
    #[serde(rename = "SCMP_CMP_GT")]
    Greater,
    /// >=
    #[serde(rename = "SCMP_CMP_GE")]
    GreaterOrEqual,
    /// (argument & value) == valueTwo
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEqual,
}

impl Profile {
    /// A policy that refuses what has no rule.
    pub fn errno(number: u32, rules: Vec<Rule>) -> Self {
        Self { default_action: Action::Errno, default_errno_ret: Some(number), rules }
    }
}

impl Rule {
    /// Lets calls through.
    pub fn allow(names: Vec<String>, arguments: Vec<Argument>) -> Self {
        let args = (!arguments.is_empty()).then_some(arguments);
        Self { names, name: None, action: Action::Allow, errno_ret: None, args }
    }

    /// Fails calls with an error.
    pub fn refuse(names: Vec<String>, errno: u32) -> Self {
        Self { names, name: None, action: Action::Errno, errno_ret: Some(errno), args: None }
    }

    /// Its calls.
    pub fn calls(&self) -> impl Iterator<Item = &str> {
        self.names.iter().chain(&self.name).map(String::as_str)
    }

    /// True when it lets a call through whatever its arguments are.
    #[cfg(test)]
    pub fn allows(&self, name: &str) -> bool {
        self.action == Action::Allow && self.args.is_none() && self.calls().any(|call| call == name)
    }
}
