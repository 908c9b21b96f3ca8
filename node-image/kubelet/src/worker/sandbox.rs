//! Making a pod's sandbox and putting it on the network.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::node::v1::RuntimeClass;
use kd_network::PodLink;
use kd_runtime::{PodMeta, SandboxSpec, SandboxStatus};
use kube::Api;

use crate::bandwidth::bandwidth;
use crate::error::{Error, Result, api_message};
use crate::host_ports::{has_host_ports, host_ports, publish};
use crate::hosts_file::kernel_hostname;
use crate::kubelet::Kubelet;
use crate::lifecycle::annotation;
use crate::node::RUNTIME_HANDLERS;
use crate::pod::PodExt;
use crate::qos::{pod_cgroup, pod_limits};
use crate::user_namespaces::{has_user_namespace, kernel_has_user_namespaces};

/// Makes a sandbox; on error nothing is left behind.
pub(super) async fn make(
    kubelet: &Kubelet,
    pod: &Pod,
    attempt: u32,
) -> Result<(SandboxStatus, Vec<IpAddr>)> {
    checked_handler(kubelet, pod).await?;
    if pod.on_host_network() {
        let spec = spec(kubelet, pod, attempt, &[])?;
        return Ok((kubelet.runtime().create_sandbox(spec).await?, Vec::new()));
    }
    let addresses = kubelet.addresses().allocate(pod.uid()).await?;
    let made = make_connected(kubelet, pod, attempt, addresses).await;
    if made.is_err() {
        kubelet.addresses().release(pod.uid());
    }
    made
}

/// A pod's RuntimeClass names a handler; the runtime has few.
async fn checked_handler(kubelet: &Kubelet, pod: &Pod) -> Result<()> {
    let class = pod.spec().runtime_class_name.as_deref().filter(|name| !name.is_empty());
    let Some(class) = class else { return Ok(()) };
    let api: Api<RuntimeClass> = Api::all(kubelet.client().clone());
    let found = api.get(class).await.map_err(|error| {
        Error::Pod(format!("failed to get sandbox runtime: {}", api_message(&error)))
    })?;
    match RUNTIME_HANDLERS.contains(&found.handler.as_str()) {
        true => Ok(()),
        false => Err(Error::Pod(format!("no runtime for {:?} is configured", found.handler))),
    }
}

async fn make_connected(
    kubelet: &Kubelet,
    pod: &Pod,
    attempt: u32,
    addresses: Vec<IpAddr>,
) -> Result<(SandboxStatus, Vec<IpAddr>)> {
    let bandwidth = bandwidth(pod.annotations()).map_err(Error::Pod)?;
    let spec = spec(kubelet, pod, attempt, &addresses)?;
    let sandbox = kubelet.runtime().create_sandbox(spec).await?;
    let attached = match &sandbox.netns {
        Some(netns) => {
            let link = PodLink {
                netns: netns.clone(),
                uid: pod.uid().to_owned(),
                namespace: pod.namespace().to_owned(),
                name: pod.name().to_owned(),
                sandbox: sandbox.id.clone(),
                addresses,
                host_ports: host_ports(pod),
                bandwidth,
            };
            connect(kubelet, pod, &link).await
        }
        None => Err(Error::Pod("the sandbox has no network namespace".into())),
    };
    match attached {
        Ok(addresses) => Ok((sandbox, addresses)),
        Err(error) => {
            if let Err(error) = kubelet.runtime().remove_sandbox(&sandbox.id).await {
                tracing::warn!(pod = pod.described(), %error, "cannot remove a half-made sandbox");
            }
            Err(error)
        }
    }
}

async fn connect(kubelet: &Kubelet, pod: &Pod, link: &PodLink) -> Result<Vec<IpAddr>> {
    let addresses = kubelet.network().attach(link).await?;
    if kubelet.addresses().are_by_network() {
        kubelet.addresses().adopt(pod.uid(), addresses.clone());
    } else if has_host_ports(pod) {
        publish(kubelet).await?;
    }
    Ok(addresses)
}

/// Stops older sandboxes: one that is not ready any more still holds mounts and processes.
pub(super) async fn stop_older(kubelet: &Arc<Kubelet>, pod: &Pod, ids: &[String]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    if !pod.on_host_network() {
        kubelet.network().detach(pod.uid()).await?;
        kubelet.addresses().release(pod.uid());
    }
    for id in ids {
        kubelet.runtime().stop_sandbox(id).await?;
    }
    Ok(())
}

fn spec(kubelet: &Kubelet, pod: &Pod, attempt: u32, addresses: &[IpAddr]) -> Result<SandboxSpec> {
    let config = kubelet.config();
    let asked = pod.spec();
    let user_namespace = match has_user_namespace(pod) {
        true if !kernel_has_user_namespaces() => {
            let text = "hostUsers: false takes user namespaces and Linux 6.3 or later";
            return Err(Error::Pod(text.into()));
        }
        true => Some(kubelet.id_ranges().allocate(pod.uid())?),
        false => None,
    };
    let sysctls = asked.security_context.as_ref().and_then(|s| s.sysctls.as_ref());
    let mut annotations: BTreeMap<String, String> = pod.annotations().clone();
    if !addresses.is_empty() {
        let written: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        annotations.insert(annotation::ADDRESS.to_owned(), written.join(","));
    }
    annotations.insert(annotation::GRACE.to_owned(), pod.grace().as_secs().to_string());
    Ok(SandboxSpec {
        pod: PodMeta {
            name: pod.name().to_owned(),
            namespace: pod.namespace().to_owned(),
            uid: pod.uid().to_owned(),
            attempt,
        },
        hostname: kernel_hostname(pod, &config.cluster_domain).map_err(Error::Pod)?,
        log_directory: config.pod_logs(pod.namespace(), pod.name(), pod.uid()),
        cgroup_parent: pod_cgroup(&config.cgroup_root, pod),
        resources: pod_limits(pod, config.pod_pids_max),
        host_network: pod.on_host_network(),
        host_pid: asked.host_pid == Some(true),
        host_ipc: asked.host_ipc == Some(true),
        user_namespace,
        share_process_namespace: asked.share_process_namespace == Some(true),
        sysctls: sysctls.into_iter().flatten().map(|s| (s.name.clone(), s.value.clone())).collect(),
        annotations,
    })
}
