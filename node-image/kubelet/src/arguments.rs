//! The kubelet's own flags, under upstream's names, over the configuration: `max-pods=200`
//! (<https://kubernetes.io/docs/reference/command-line-tools-reference/kubelet/>).

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kd_api::quantity::Quantity as Exact;

use crate::config::Config;
use crate::quantity::{amount, from_amount};

type Apply = fn(&mut Config, &str) -> Result<(), String>;

/// By name, sorted.
const FLAGS: &[(&str, Apply)] = &[
    ("allowed-unsafe-sysctls", |config, value| {
        config.unsafe_sysctls = list(value).map(str::to_owned).collect();
        Ok(())
    }),
    ("container-log-max-files", |config, value| {
        let files: usize = number(value)?;
        if files < 2 {
            return Err("there must be at least 2 files".into());
        }
        config.log_rotation.files_max = files;
        Ok(())
    }),
    ("container-log-max-size", |config, value| {
        config.log_rotation.size_bytes_max = bytes(value)?;
        Ok(())
    }),
    ("eviction-hard", eviction_hard),
    ("image-gc-high-threshold", |config, value| {
        config.image_gc.high_percent = percent(value)?;
        Ok(())
    }),
    ("image-gc-low-threshold", |config, value| {
        config.image_gc.low_percent = percent(value)?;
        Ok(())
    }),
    ("image-maximum-gc-age", |config, value| {
        config.image_gc.age_max = Some(duration(value)?).filter(|age| !age.is_zero());
        Ok(())
    }),
    ("kube-reserved", reserve),
    ("max-parallel-image-pulls", |config, value| match number(value)? {
        0 => Err("there must be at least 1 pull".into()),
        pulls => {
            config.pulls_max = pulls;
            Ok(())
        }
    }),
    ("max-pods", |config, value| {
        config.pods_max = number(value)?;
        Ok(())
    }),
    ("minimum-image-ttl-duration", |config, value| {
        config.image_gc.age_min = duration(value)?;
        Ok(())
    }),
    ("node-labels", |config, value| {
        for label in list(value) {
            let (name, value) = label.split_once('=').unwrap_or((label, ""));
            config.node_labels.insert(name.to_owned(), value.to_owned());
        }
        Ok(())
    }),
    ("pod-max-pids", |config, value| {
        config.pod_pids_max = Some(number(value)?).filter(|most: &i64| *most > 0);
        Ok(())
    }),
    ("register-with-taints", |config, value| {
        config.node_taints.extend(list(value).map(str::to_owned));
        Ok(())
    }),
    ("serialize-image-pulls", |config, value| {
        match value {
            "true" => config.pulls_max = 1,
            "false" => {}
            _ => return Err(format!("{value:?} is not true or false")),
        }
        Ok(())
    }),
    ("shutdown-grace-period", |config, value| {
        config.shutdown_grace = shutdown_grace(value)?;
        Ok(())
    }),
    ("shutdown-grace-period-critical-pods", |config, value| {
        config.shutdown_grace_critical = shutdown_grace(value)?;
        Ok(())
    }),
    ("system-reserved", reserve),
];

/// Docker gives a node's container half a minute to end, of which some goes to the node itself.
const SHUTDOWN_GRACE_MAX: Duration = Duration::from_secs(20);

impl Config {
    /// Takes in one flag, `name=value`, with or without dashes before it.
    pub fn apply_flag(&mut self, flag: &str) -> Result<(), String> {
        let plain = flag.trim_start_matches('-');
        let (name, value) =
            plain.split_once('=').ok_or_else(|| format!("{flag:?} is not NAME=VALUE"))?;
        let Some((_, apply)) = FLAGS.iter().find(|(known, _)| *known == name) else {
            let names: Vec<&str> = FLAGS.iter().map(|(name, _)| *name).collect();
            return Err(format!("there is no flag {name:?}; there are {}", names.join(", ")));
        };
        apply(self, value).map_err(|error| format!("{name}={value}: {error}"))
    }
}

fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn number<T: std::str::FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{value:?} is no such number"))
}

fn percent(value: &str) -> Result<u8, String> {
    match number(value)? {
        percent @ 0..=100 => Ok(percent),
        _ => Err(format!("{value:?} is no percentage")),
    }
}

/// As Go writes it: `1h30m`, `2m`, `90s`.
fn duration(value: &str) -> Result<Duration, String> {
    let read: Option<jiff::SignedDuration> = value.parse().ok();
    let read = read.and_then(|duration| Duration::try_from(duration).ok());
    read.ok_or_else(|| format!("{value:?} is no duration"))
}

fn bytes(value: &str) -> Result<u64, String> {
    let exact: Exact = value.parse().map_err(|_| format!("{value:?} is no quantity"))?;
    u64::try_from(exact.value()).map_err(|_| format!("{value:?} is negative"))
}

/// `15s`; in upstream's KubeletConfiguration these are fields and no flags.
fn shutdown_grace(value: &str) -> Result<Duration, String> {
    let grace = duration(value)?;
    match grace > SHUTDOWN_GRACE_MAX {
        true => {
            Err(format!("at most {}s: Docker does not wait longer", SHUTDOWN_GRACE_MAX.as_secs()))
        }
        false => Ok(grace),
    }
}

/// `cpu=100m,memory=1Gi`, added to what is reserved already.
fn reserve(config: &mut Config, value: &str) -> Result<(), String> {
    for item in list(value) {
        let (name, written) =
            item.split_once('=').ok_or_else(|| format!("{item:?} is not RESOURCE=QUANTITY"))?;
        if !matches!(name, "cpu" | "memory" | "ephemeral-storage" | "pid") {
            return Err(format!("cannot reserve {name:?}"));
        }
        bytes(written)?;
        let before = config.reserved.get(name).map_or(0, |known| amount(name, known));
        let sum = before + amount(name, &Quantity(written.to_owned()));
        config.reserved.insert(name.to_owned(), from_amount(name, sum));
    }
    Ok(())
}

/// `memory.available<100Mi,nodefs.available<10%`; a signal that is left out is off, as upstream.
fn eviction_hard(config: &mut Config, value: &str) -> Result<(), String> {
    let mut limits = BTreeMap::new();
    for item in list(value) {
        let (signal, limit) =
            item.split_once('<').ok_or_else(|| format!("{item:?} is not SIGNAL<LIMIT"))?;
        limits.insert(signal, limit);
    }
    let mut take = |signal: &str| limits.remove(signal);
    let percent = |limit: Option<&str>| match limit.map(|limit| limit.strip_suffix('%')) {
        None => Ok(0),
        Some(Some(number)) => match number.parse::<u8>() {
            Ok(percent) if percent <= 100 => Ok(percent),
            _ => Err(format!("{number:?} is no percentage")),
        },
        Some(None) => Err("only memory.available takes a quantity; the others take N%".to_owned()),
    };
    let pressure = &mut config.pressure;
    pressure.memory_available_bytes_min = take("memory.available").map_or(Ok(0), bytes)?;
    pressure.disk_available_percent_min = percent(take("nodefs.available"))?;
    pressure.inodes_free_percent_min = percent(take("nodefs.inodesFree"))?;
    pressure.images_available_percent_min = percent(take("imagefs.available"))?;
    pressure.pids_available_percent_min = percent(take("pid.available"))?;
    match limits.keys().next() {
        None => Ok(()),
        Some(unknown) => Err(format!("there is no signal {unknown:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_collection() {
        let mut config = Config::default();
        for flag in [
            "image-gc-high-threshold=90",
            "image-gc-low-threshold=70",
            "minimum-image-ttl-duration=1h1m30s",
            "image-maximum-gc-age=500ms",
        ] {
            config.apply_flag(flag).unwrap();
        }
        let found = &config.image_gc;
        assert_eq!((found.high_percent, found.low_percent), (90, 70));
        assert_eq!(found.age_min, Duration::from_secs(3690));
        assert_eq!(found.age_max, Some(Duration::from_millis(500)));
        assert_eq!(config.pulls_max, 4);
        config.apply_flag("serialize-image-pulls=true").unwrap();
        assert_eq!(config.pulls_max, 1);
        config.apply_flag("max-parallel-image-pulls=7").unwrap();
        assert_eq!(config.pulls_max, 7);
        config.apply_flag("image-maximum-gc-age=0s").unwrap();
        assert_eq!(config.image_gc.age_max, None);
        for wrong in [
            "image-gc-high-threshold=101",
            "minimum-image-ttl-duration=2",
            "minimum-image-ttl-duration=",
        ] {
            assert!(config.apply_flag(wrong).is_err(), "{wrong}");
        }
    }

    fn applied(flags: &[&str]) -> Result<Config, String> {
        let mut config = Config::default();
        flags.iter().try_for_each(|flag| config.apply_flag(flag))?;
        Ok(config)
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(FLAGS.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn flags() {
        let made = applied(&[
            "max-pods=200",
            "--pod-max-pids=50",
            "system-reserved=cpu=100m,memory=64Mi",
            "kube-reserved=cpu=400m",
            "eviction-hard=memory.available<1Gi,nodefs.available<15%",
            "container-log-max-size=1Mi",
            "register-with-taints=a=b:NoSchedule",
            "node-labels=disk=ssd,fast",
            "shutdown-grace-period=15s",
            "shutdown-grace-period-critical-pods=1500ms",
        ])
        .unwrap();
        assert_eq!((made.pods_max, made.pod_pids_max), (200, Some(50)));
        assert_eq!(
            (made.reserved["cpu"].0.as_str(), made.reserved["memory"].0.as_str()),
            ("500m", "64Mi")
        );
        assert_eq!(made.pressure.memory_available_bytes_min, 1 << 30);
        assert_eq!(made.pressure.disk_available_percent_min, 15);
        assert_eq!(made.pressure.images_available_percent_min, 0);
        assert_eq!(made.log_rotation.size_bytes_max, 1 << 20);
        let graces = (made.shutdown_grace, made.shutdown_grace_critical);
        assert_eq!(graces, (Duration::from_secs(15), Duration::from_millis(1500)));
        assert_eq!(made.node_taints, ["a=b:NoSchedule"]);
        assert_eq!(
            (made.node_labels["disk"].as_str(), made.node_labels["fast"].as_str()),
            ("ssd", "")
        );
    }

    #[test]
    fn what_is_refused() {
        let check = |flag: &str, expect: &str| {
            let error = applied(&[flag]).err().unwrap_or_default();
            assert!(error.contains(expect), "{flag}: {error}");
        };
        check("max-pods", "is not NAME=VALUE");
        check("fly=1", "there is no flag \"fly\"");
        check("max-pods=many", "is no such number");
        check("container-log-max-files=1", "at least 2");
        check("system-reserved=cpu", "is not RESOURCE=QUANTITY");
        check("system-reserved=gold=1", "cannot reserve");
        check("system-reserved=cpu=x", "is no quantity");
        check("shutdown-grace-period=soon", "is no duration");
        check("shutdown-grace-period=-1s", "is no duration");
        check("shutdown-grace-period=1m", "at most 20s");
        check("eviction-hard=memory.available>1", "is not SIGNAL<LIMIT");
        check("eviction-hard=moon<1%", "there is no signal");
        check("eviction-hard=nodefs.available<200%", "is no percentage");
        check("eviction-hard=nodefs.available<1Gi", "take N%");
    }
}
