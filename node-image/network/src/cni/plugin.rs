//! One run of a plugin: its configuration on standard input, everything else in the environment.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Longer than any address server takes.
const PLUGIN_MAX: Duration = Duration::from_secs(120);
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

/// What plugins are run with.
pub(super) struct Command<'a> {
    /// `CNI_COMMAND`.
    pub name: &'static str,
    /// Where the plugins are.
    pub plugins: &'a Path,
    /// The other variables of the specification.
    pub environment: Vec<(&'static str, String)>,
}

impl Command<'_> {
    /// Runs a plugin and returns what it answers, if anything.
    pub(super) async fn run(&self, plugin: &str, input: &Value) -> io::Result<Option<Value>> {
        let answered = timeout(PLUGIN_MAX, self.execute(plugin, input)).await;
        let answered = answered.unwrap_or_else(|_| Err("it does not end".into()));
        answered.map_err(|why| {
            let verb = self.name.to_lowercase();
            io::Error::other(format!("plugin type={plugin:?} failed ({verb}): {why}"))
        })
    }

    async fn execute(&self, plugin: &str, input: &Value) -> Result<Option<Value>, String> {
        let text = |error: io::Error| error.to_string();
        let program = self.plugins.join(plugin);
        if !program.is_file() {
            let path = self.plugins.display();
            return Err(format!("failed to find plugin {plugin:?} in path [{path}]"));
        }
        let mut child = tokio::process::Command::new(program)
            .env("CNI_COMMAND", self.name)
            .env("CNI_PATH", self.plugins)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(text)?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("it has no standard streams".into());
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let input = input.to_string();
        let write = async {
            // One that fails at once may not read.
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
        };
        let mut stdout = stdout.take(OUTPUT_BYTES_MAX);
        let mut stderr = stderr.take(OUTPUT_BYTES_MAX);
        let (_, read, told) =
            tokio::join!(write, stdout.read_to_end(&mut out), stderr.read_to_end(&mut err));
        read.and(told).map_err(text)?;
        let status = child.wait().await.map_err(text)?;
        outcome(status.success(), &out, &err)
    }
}

fn outcome(succeeded: bool, out: &[u8], err: &[u8]) -> Result<Option<Value>, String> {
    let answer: Option<Value> = serde_json::from_slice(out).ok();
    if succeeded {
        return match answer {
            None if !out.trim_ascii().is_empty() => Err("its answer is not JSON".into()),
            answer => Ok(answer),
        };
    }
    let told = answer.as_ref().and_then(|answer| answer["msg"].as_str());
    let details = answer.as_ref().and_then(|answer| answer["details"].as_str()).unwrap_or_default();
    Err(match (told, details) {
        (Some(told), "") => told.to_owned(),
        (Some(told), details) => format!("{told}; {details}"),
        (None, _) => {
            let said = String::from_utf8_lossy(err);
            format!("netplugin failed: {:?}", said.trim())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_plugins_answer() {
        let check = |succeeded: bool, out: &str, expect: Result<bool, &str>| {
            let found = outcome(succeeded, out.as_bytes(), b"oh\n").map(|answer| answer.is_some());
            assert_eq!(found, expect.map_err(str::to_owned), "{out}");
        };
        check(true, "", Ok(false));
        check(true, r#"{"ips": []}"#, Ok(true));
        check(true, "x", Err("its answer is not JSON"));
        check(false, r#"{"code": 7, "msg": "no"}"#, Err("no"));
        check(false, r#"{"code": 7, "msg": "no", "details": "room"}"#, Err("no; room"));
        check(false, "", Err(r#"netplugin failed: "oh""#));
    }
}
