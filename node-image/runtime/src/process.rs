//! What a container runs: the pod's command, environment, directory and user over the image's.

use std::collections::BTreeMap;

use oci_spec::image::ImageConfiguration;

use crate::interface::{ContainerSpec, Error, Result, SandboxSpec};
use crate::record::Process;

/// Where programs are looked for when neither pod nor image says.
pub const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Resolves what a container runs.
pub fn resolve(
    spec: &ContainerSpec,
    sandbox: &SandboxSpec,
    image: &ImageConfiguration,
) -> Result<Process> {
    let config = image.config().clone().unwrap_or_default();
    let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let arguments = arguments(spec, list(config.entrypoint()), list(config.cmd()));
    if arguments.is_empty() || arguments[0].is_empty() {
        return Err(Error::Invalid("no command specified".into()));
    }
    if arguments.iter().any(|argument| argument.contains('\0')) {
        return Err(Error::Invalid("the command contains a NUL byte".into()));
    }
    let image_user = config.user().clone().unwrap_or_default();
    check_non_root(spec, &image_user)?;
    let image_signal = config.stop_signal().clone().unwrap_or_default();
    let signal = if spec.stop_signal.is_empty() { &image_signal } else { &spec.stop_signal };
    let working_dir = match config.working_dir() {
        _ if !spec.working_dir.is_empty() => spec.working_dir.clone(),
        Some(directory) if !directory.is_empty() => directory.clone(),
        _ => "/".into(),
    };
    if !working_dir.starts_with('/') {
        return Err(Error::Invalid(format!("working directory {working_dir:?} is not absolute")));
    }
    Ok(Process {
        arguments,
        environment: environment(spec, sandbox, &list(config.env())),
        working_dir,
        image_user,
        stop_signal: parse_signal(signal)?,
    })
}

/// `command` replaces the entrypoint and drops the image's cmd; `args` replaces the cmd only.
fn arguments(spec: &ContainerSpec, entrypoint: Vec<String>, cmd: Vec<String>) -> Vec<String> {
    let (mut program, arguments) = match (spec.command.is_empty(), spec.args.is_empty()) {
        (true, true) => (entrypoint, cmd),
        (true, false) => (entrypoint, spec.args.clone()),
        (false, _) => (spec.command.clone(), spec.args.clone()),
    };
    program.extend(arguments);
    program
}

fn environment(spec: &ContainerSpec, sandbox: &SandboxSpec, image: &[String]) -> Vec<String> {
    let mut order = Vec::new();
    let mut values = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return;
        }
        if values.insert(name.to_owned(), value.to_owned()).is_none() {
            order.push(name.to_owned());
        }
    };
    set("PATH", PATH_DEFAULT);
    if spec.tty {
        set("TERM", "xterm");
    }
    if !sandbox.hostname.is_empty() {
        set("HOSTNAME", &sandbox.hostname);
    }
    for entry in image {
        if let Some((name, value)) = entry.split_once('=') {
            set(name, value);
        }
    }
    for (name, value) in &spec.env {
        set(name, value);
    }
    order.iter().map(|name| format!("{name}={}", values[name])).collect()
}

/// The rule of `runAsNonRoot`, with upstream's sentences.
fn check_non_root(spec: &ContainerSpec, image_user: &str) -> Result<()> {
    let security = &spec.security;
    if !security.run_as_non_root {
        return Ok(());
    }
    let refuse = |message: String| Err(Error::Invalid(message));
    match security.run_as_user {
        Some(0) => refuse("container's runAsUser breaks non-root policy".into()),
        Some(_) => Ok(()),
        None => match image_user.split(':').next().unwrap_or_default() {
            "" => refuse("container has runAsNonRoot and image will run as root".into()),
            user => match user.parse::<i64>() {
                Ok(0) => refuse("container has runAsNonRoot and image will run as root".into()),
                Ok(_) => Ok(()),
                Err(_) => refuse(format!(
                    "container has runAsNonRoot and image has non-numeric user ({user}), cannot \
                     verify user is non-root"
                )),
            },
        },
    }
}

/// A signal's number from `SIGTERM`, `TERM` or `15`; SIGTERM when empty.
pub fn parse_signal(text: &str) -> Result<i32> {
    let invalid = || Error::Invalid(format!("unknown stop signal {text:?}"));
    let upper = text.trim().to_ascii_uppercase();
    if upper.is_empty() {
        return Ok(libc::SIGTERM);
    }
    if let Ok(number) = upper.parse::<i32>() {
        return if (1..=64).contains(&number) { Ok(number) } else { Err(invalid()) };
    }
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(number) = real_time_signal(name) {
        return Ok(number);
    }
    format!("SIG{name}")
        .parse::<nix::sys::signal::Signal>()
        .map(|s| s as i32)
        .map_err(|_| invalid())
}

/// `RTMIN`, `RTMIN+n`, `RTMAX`, `RTMAX-n`, numbered as programs see them: 34 to 64.
fn real_time_signal(name: &str) -> Option<i32> {
    let number = |text: &str, base: i32, sign: i32| match text {
        "" => Some(base),
        offset => offset.get(1..)?.parse::<i32>().ok().map(|offset| base + sign * offset),
    };
    let signal = match name.strip_prefix("RTMIN") {
        Some(rest) => number(rest, 34, 1),
        None => number(name.strip_prefix("RTMAX")?, 64, -1),
    };
    signal.filter(|signal| (34..=64).contains(signal))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(json: &str) -> ImageConfiguration {
        let text = format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}},"config":{json}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn command_and_args_over_entrypoint_and_cmd() {
        let image = image(r#"{"Entrypoint":["e"],"Cmd":["c1","c2"]}"#);
        let check = |command: &[&str], args: &[&str], expect: &[&str]| {
            let own = |list: &[&str]| list.iter().map(|s| s.to_string()).collect::<Vec<_>>();
            let spec =
                ContainerSpec { command: own(command), args: own(args), ..Default::default() };
            let process = resolve(&spec, &SandboxSpec::default(), &image).unwrap();
            assert_eq!(process.arguments, own(expect));
        };
        check(&[], &[], &["e", "c1", "c2"]);
        check(&[], &["a"], &["e", "a"]);
        check(&["x"], &[], &["x"]);
        check(&["x"], &["a"], &["x", "a"]);
    }

    #[test]
    fn environment_order_and_precedence() {
        let image = image(r#"{"Cmd":["c"],"Env":["PATH=/bin","A=image","B=2"],"WorkingDir":"/w"}"#);
        let spec = ContainerSpec {
            env: vec![("A".into(), "pod".into()), ("A".into(), "last".into())],
            ..Default::default()
        };
        let sandbox = SandboxSpec { hostname: "web".into(), ..Default::default() };
        let process = resolve(&spec, &sandbox, &image).unwrap();
        assert_eq!(process.environment, ["PATH=/bin", "HOSTNAME=web", "A=last", "B=2"]);
        assert_eq!(process.working_dir, "/w");
    }

    #[test]
    fn signals() {
        let check = |text: &str, expect: Option<i32>| {
            assert_eq!(parse_signal(text).ok(), expect, "{text}");
        };
        check("", Some(15));
        check("SIGQUIT", Some(3));
        check("quit", Some(3));
        check("9", Some(9));
        check("SIGRTMIN+3", Some(37));
        check("SIGRTMAX-1", Some(63));
        check("SIGWRONG", None);
        check("0", None);
        check("65", None);
    }

    #[test]
    fn non_root() {
        let check = |user: &str, run_as: Option<i64>, expect: Option<&str>| {
            let image = image(&format!(r#"{{"Cmd":["c"],"User":"{user}"}}"#));
            let mut spec = ContainerSpec::default();
            spec.security.run_as_non_root = true;
            spec.security.run_as_user = run_as;
            let result = resolve(&spec, &SandboxSpec::default(), &image);
            assert_eq!(result.err().map(|error| error.to_string()).as_deref(), expect, "{user}");
        };
        check("", None, Some("container has runAsNonRoot and image will run as root"));
        check("0:0", None, Some("container has runAsNonRoot and image will run as root"));
        check("1000", None, None);
        check("", Some(5), None);
        check("1000", Some(0), Some("container's runAsUser breaks non-root policy"));
        check(
            "nginx",
            None,
            Some(
                "container has runAsNonRoot and image has non-numeric user (nginx), cannot verify \
                 user is non-root",
            ),
        );
    }
}
