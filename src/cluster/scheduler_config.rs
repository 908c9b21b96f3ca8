//! The scheduler's configuration file: read and checked before anything is made.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kd_contract::scheduler::{ExtenderTls, SchedulerConfiguration};
use serde_json::Value;

use crate::error::{Error, ExitCode, Result};

/// Reads a KubeSchedulerConfiguration, in YAML or JSON.
pub fn read(path: &Path) -> Result<SchedulerConfiguration> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|source| {
        Error::new(ExitCode::Usage, format!("read the scheduler's configuration {shown}"))
            .because(source)
    })?;
    let mut read = parse(&text).map_err(|problems| {
        let message =
            format!("the scheduler's configuration {shown} is invalid: {}", join(&problems));
        Error::new(ExitCode::Usage, message).hint(
            "its fields: https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/",
        )
    })?;
    for tls in read.extenders.iter_mut().filter_map(|extender| extender.tls_config.as_mut()) {
        inline(tls)?;
    }
    Ok(read)
}

/// Puts the files that a configuration names into it: the scheduler runs where they are not.
fn inline(tls: &mut ExtenderTls) -> Result<()> {
    let both = [
        (&mut tls.cert_file, &mut tls.cert_data),
        (&mut tls.key_file, &mut tls.key_data),
        (&mut tls.ca_file, &mut tls.ca_data),
    ];
    for (file, data) in both.into_iter().filter(|(file, _)| !file.is_empty()) {
        let content = std::fs::read(&*file).map_err(|source| {
            Error::new(ExitCode::Usage, format!("read {file}, which an extender needs"))
                .because(source)
        })?;
        *data = BASE64_STANDARD.encode(content);
        file.clear();
    }
    Ok(())
}

fn parse(text: &str) -> std::result::Result<SchedulerConfiguration, Vec<String>> {
    let file: Value = serde_yaml::from_str(text).map_err(|error| vec![error.to_string()])?;
    SchedulerConfiguration::read(file)
}

/// Several sentences as upstream joins them.
fn join(problems: &[String]) -> String {
    match problems {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_go_along() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.crt");
        std::fs::write(&file, "PEM").unwrap();
        let ca_file = file.display().to_string();
        let mut tls = ExtenderTls { ca_file, ..ExtenderTls::default() };
        inline(&mut tls).unwrap();
        assert_eq!((tls.ca_data.as_str(), tls.ca_file.as_str()), ("UEVN", ""));
        tls.key_file = folder.path().join("none").display().to_string();
        assert!(inline(&mut tls).is_err());
    }

    #[test]
    fn files() {
        let head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
        let check = |more: &str, expect: Option<&str>| {
            let problems = parse(&format!("{head}{more}")).err();
            assert_eq!(problems.map(|problems| join(&problems)).as_deref(), expect, "{more}");
        };
        check("", None);
        check(
            "profiles:\n- schedulerName: a\n  plugins: {score: {disabled: [{name: '*'}]}}\n",
            None,
        );
        check(
            "parallelism: 0\npodInitialBackoffSeconds: 0\n",
            Some(
                "[parallelism: Invalid value: 0: should be an integer value greater than zero, \
                 podInitialBackoffSeconds: Invalid value: 0: must be greater than 0]",
            ),
        );
    }
}
