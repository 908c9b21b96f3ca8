//! System call filters. A filter of the kernel here has two outcomes, so a policy with more becomes
//! several: the first lets through every call that has a rule, each further one applies one outcome.
//! The kernel takes the strictest answer, and the newest filter's among equals.

mod calls;
mod default_profile;
mod profile;

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::capabilities::Set;
use super::report::{Failed, Step};
use crate::interface::Seccomp;
use crate::sys::check;
use profile::{Action, Argument, Operator, Profile, Rule};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The filters of a container, in the order to install them.
pub fn filters(wanted: &Seccomp, capabilities: Set) -> Result<Vec<BpfProgram>, Failed> {
    let profile = match wanted {
        Seccomp::Unconfined => return Ok(Vec::new()),
        Seccomp::RuntimeDefault => default_profile::profile(capabilities),
        Seccomp::Localhost(path) => {
            let operation = || format!("read seccomp profile {}", path.display());
            let text = std::fs::read(path).step(operation)?;
            serde_json::from_slice(&text)
                .map_err(|error| Failed::invalid(format!("{}: {error}", operation())))?
        }
    };
    compile(&profile).map_err(|error| Failed::invalid(format!("seccomp profile: {error}")))
}

fn compile(profile: &Profile) -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let default = action(profile.default_action, profile.default_errno_ret);
    let mut excepted = Rules::new();
    let mut outcomes: Vec<(SeccompAction, Rules)> = Vec::new();
    for rule in &profile.rules {
        let outcome = action(rule.action, rule.errno_ret);
        if outcome == default {
            continue;
        }
        add(&mut excepted, rule)?;
        if outcome == SeccompAction::Allow {
            continue;
        }
        match outcomes.iter_mut().find(|(known, _)| *known == outcome) {
            Some((_, rules)) => add(rules, rule)?,
            None => {
                let mut rules = Rules::new();
                add(&mut rules, rule)?;
                outcomes.push((outcome, rules));
            }
        }
    }
    let mut programs = Vec::new();
    if default != SeccompAction::Allow {
        programs.push(program(excepted, default.clone(), SeccompAction::Allow)?);
    }
    for (outcome, rules) in outcomes {
        programs.push(program(rules, SeccompAction::Allow, outcome)?);
    }
    if matches!(default, SeccompAction::Errno(_)) {
        let unknown = calls::UNKNOWN.map(|number| (number, Vec::new())).collect();
        let missing = SeccompAction::Errno(libc::ENOSYS as u32);
        programs.push(program(unknown, SeccompAction::Allow, missing)?);
    }
    Ok(programs)
}

fn program(
    rules: Rules,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let machine = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, otherwise, matched, machine)?.try_into()
}

/// Calls that this machine does not have are left out, as other runtimes do.
fn add(rules: &mut Rules, rule: &Rule) -> Result<(), seccompiler::BackendError> {
    for number in rule.calls().filter_map(calls::number) {
        let arguments = rule.args.as_deref().unwrap_or_default();
        if arguments.is_empty() {
            rules.insert(number, Vec::new());
            continue;
        }
        // An empty chain means "always"; conditions would narrow it.
        if rules.get(&number).is_some_and(Vec::is_empty) {
            continue;
        }
        let conditions = arguments.iter().map(condition).collect::<Result<Vec<_>, _>>()?;
        rules.entry(number).or_default().push(SeccompRule::new(conditions)?);
    }
    Ok(())
}

fn condition(argument: &Argument) -> Result<SeccompCondition, seccompiler::BackendError> {
    let (operator, value) = match argument.operator {
        Operator::Equal => (SeccompCmpOp::Eq, argument.value),
        Operator::NotEqual => (SeccompCmpOp::Ne, argument.value),
        Operator::Less => (SeccompCmpOp::Lt, argument.value),
        Operator::LessOrEqual => (SeccompCmpOp::Le, argument.value),
        Operator::Greater => (SeccompCmpOp::Gt, argument.value),
        Operator::GreaterOrEqual => (SeccompCmpOp::Ge, argument.value),
        Operator::MaskedEqual => (SeccompCmpOp::MaskedEq(argument.value), argument.value_two),
    };
    SeccompCondition::new(argument.index, SeccompCmpArgLen::Qword, operator, value)
}

fn action(action: Action, errno: Option<u32>) -> SeccompAction {
    match action {
        Action::Allow => SeccompAction::Allow,
        Action::Errno => SeccompAction::Errno(errno.unwrap_or(libc::EPERM as u32)),
        Action::KillThread => SeccompAction::KillThread,
        Action::KillProcess => SeccompAction::KillProcess,
        Action::Log => SeccompAction::Log,
        Action::Trace => SeccompAction::Trace(errno.unwrap_or(libc::EPERM as u32)),
        Action::Trap => SeccompAction::Trap,
    }
}

/// Installs one filter on this process. Unlike seccompiler's own call it does not set
/// no_new_privs: that is the pod's to say.
pub fn install(program: &BpfProgram) -> io::Result<()> {
    const SET_MODE_FILTER: libc::c_uint = 1;
    let header = libc::sock_fprog {
        len: program.len() as libc::c_ushort,
        filter: program.as_ptr() as *mut libc::sock_filter,
    };
    // SAFETY: the program has the kernel's layout and outlives the call, which only reads it.
    check(unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, 0, &raw const header) })
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_profile_compiles() {
        for capabilities in [0, u64::MAX] {
            let programs = compile(&default_profile::profile(capabilities)).unwrap();
            assert!(programs.len() >= 2);
            assert!(programs.iter().all(|program| program.len() < 4096));
        }
    }

    #[test]
    fn profiles_in_json() {
        let check = |json: &str, expect: Option<usize>| {
            let profile: Option<Profile> = serde_json::from_str(json).ok();
            let count = profile.and_then(|profile| compile(&profile).ok()).map(|p| p.len());
            assert_eq!(count, expect, "{json}");
        };
        check(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#, Some(0));
        check(
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
                {"names":["mkdir","chmod"],"action":"SCMP_ACT_ERRNO"},
                {"names":["sync"],"action":"SCMP_ACT_KILL_PROCESS","args":[]}]}"#,
            Some(2),
        );
        check(
            r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"syscalls":[
                {"names":["read","nosuchcall"],"action":"SCMP_ACT_ALLOW"},
                {"name":"personality","action":"SCMP_ACT_ALLOW",
                 "args":[{"index":0,"value":8,"valueTwo":0,"op":"SCMP_CMP_EQ"}]}]}"#,
            Some(2),
        );
        check(r#"{"defaultAction":"SCMP_ACT_DANCE"}"#, None);
        check(r#"{}"#, None);
    }
}
