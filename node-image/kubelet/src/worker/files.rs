//! The files of a pod that its containers see under /etc.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

use crate::config::Config;
use crate::container_spec::PodFiles;
use crate::error::{Error, Result};
use crate::hosts_file::{hostname_and_domain, hosts, kernel_hostname, node_hosts};
use crate::pod::PodExt;
use crate::resolv_conf::{ResolvConf, for_pod};

/// Writes the files of a pod, in place: running containers have them mounted.
pub(super) fn write(config: &Config, pod: &Pod, addresses: &[IpAddr]) -> Result<PodFiles> {
    let directory = config.pod_directory(pod.uid());
    fs::create_dir_all(&directory)
        .map_err(Error::system(format!("make the directory of pod {}", pod.described())))?;
    let files = PodFiles {
        hosts: directory.join("etc-hosts"),
        hostname: directory.join("etc-hostname"),
        resolv_conf: directory.join("etc-resolv.conf"),
    };
    let (name, domain) = hostname_and_domain(pod, &config.cluster_domain);
    let aliases = pod.spec().host_aliases.as_deref().unwrap_or_default();
    let (hosts_text, kernel_name) = match pod.on_host_network() {
        true => (node_hosts(&read(&config.hosts_file), aliases), node_name()),
        false => (
            hosts(addresses, &name, &domain, aliases),
            kernel_hostname(pod, &config.cluster_domain).map_err(Error::Pod)?,
        ),
    };
    let node_resolver = ResolvConf::parse(&read(&config.resolv_conf));
    let resolver = for_pod(pod, &node_resolver, &config.cluster_dns, &config.cluster_domain);
    let table = [
        (&files.hosts, hosts_text),
        (&files.hostname, format!("{kernel_name}\n")),
        (&files.resolv_conf, resolver.render()),
    ];
    for (path, text) in table {
        write_if_changed(path, &text)
            .map_err(Error::system(format!("write {}", path.display())))?;
    }
    Ok(files)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn node_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The inode stays, so that mounts of the file see the change. A container may have changed it
/// since: /etc/hosts is then written again with the next container.
fn write_if_changed(path: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|known| known == text) {
        return Ok(());
    }
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

/// An empty file that the container may write its termination message to.
pub(super) fn message_file(
    config: &Config,
    pod: &Pod,
    container: &str,
    attempt: u32,
) -> Result<std::path::PathBuf> {
    let directory = config.pod_directory(pod.uid()).join("containers").join(container);
    let path = directory.join(format!("{attempt}.message"));
    let made = fs::create_dir_all(&directory)
        .and_then(|()| fs::File::create(&path))
        .and_then(|_| fs::set_permissions(&path, fs::Permissions::from_mode(0o666)));
    made.map_err(Error::system(format!("make {}", path.display())))?;
    Ok(path)
}
