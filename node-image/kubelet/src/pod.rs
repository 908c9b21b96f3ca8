//! Reading a Pod: its identity, its containers in order, and the defaults a client may have left out.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec, PodStatus};

/// What part a container plays in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Runs to its end before the next one.
    Init,
    /// An init container with `restartPolicy: Always`: runs beside the main ones.
    Sidecar,
    /// One of `spec.containers`.
    Main,
    /// Added to a running pod for debugging.
    Ephemeral,
}

/// A container of a pod with its role.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// Its role.
    pub role: Role,
    /// Its specification.
    pub container: std::borrow::Cow<'a, Container>,
    /// `targetContainerName` of an ephemeral container.
    pub target: Option<&'a str>,
}

impl Member<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.container.name
    }

    /// The path of its field, for events.
    pub fn field_path(&self) -> String {
        let list = match self.role {
            Role::Init | Role::Sidecar => "initContainers",
            Role::Main => "containers",
            Role::Ephemeral => "ephemeralContainers",
        };
        format!("spec.{list}{{{}}}", self.container.name)
    }
}

/// What the code asks of a pod, with the API's defaults for what is absent.
pub trait PodExt {
    /// `metadata.uid`.
    fn uid(&self) -> &str;
    /// `metadata.name`.
    fn name(&self) -> &str;
    /// `metadata.namespace`.
    fn namespace(&self) -> &str;
    /// `name_namespace(uid)`, as kubelet messages name pods.
    fn described(&self) -> String;
    /// The specification; an empty one when absent.
    fn spec(&self) -> &PodSpec;
    /// The status; an empty one when absent.
    fn status(&self) -> &PodStatus;
    /// All containers: init, main, ephemeral.
    fn members(&self) -> Vec<Member<'_>>;
    /// One container by name.
    fn member(&self, name: &str) -> Option<Member<'_>>;
    /// `metadata.annotations`.
    fn annotations(&self) -> &BTreeMap<String, String>;
    /// `metadata.deletionTimestamp`.
    fn deleted_at(&self) -> Option<Timestamp>;
    /// `metadata.deletionGracePeriodSeconds`, else the specification's.
    fn grace(&self) -> Duration;
    /// Uses the node's network namespace.
    fn on_host_network(&self) -> bool;
    /// `restartPolicy`.
    fn restart_policy(&self) -> &str;
    /// Succeeded or Failed by what the API server knows.
    fn is_terminal(&self) -> bool;
}

static EMPTY_SPEC: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
static EMPTY_STATUS: std::sync::LazyLock<PodStatus> = std::sync::LazyLock::new(PodStatus::default);
static EMPTY_MAP: BTreeMap<String, String> = BTreeMap::new();

impl PodExt for Pod {
    fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    fn described(&self) -> String {
        format!("{}_{}({})", self.name(), self.namespace(), self.uid())
    }

    fn spec(&self) -> &PodSpec {
        self.spec.as_ref().unwrap_or(&EMPTY_SPEC)
    }

    fn status(&self) -> &PodStatus {
        self.status.as_ref().unwrap_or(&EMPTY_STATUS)
    }

    fn members(&self) -> Vec<Member<'_>> {
        let spec = PodExt::spec(self);
        let init = spec.init_containers.iter().flatten().map(|c| (init_role(c), c));
        let main = spec.containers.iter().map(|c| (Role::Main, c));
        let fixed = init.chain(main).map(|(role, container)| Member {
            role,
            container: std::borrow::Cow::Borrowed(container),
            target: None,
        });
        let ephemeral = spec.ephemeral_containers.iter().flatten().map(|e| Member {
            role: Role::Ephemeral,
            container: std::borrow::Cow::Owned(as_container(e)),
            target: e.target_container_name.as_deref().filter(|name| !name.is_empty()),
        });
        fixed.chain(ephemeral).collect()
    }

    fn member(&self, name: &str) -> Option<Member<'_>> {
        self.members().into_iter().find(|m| m.name() == name)
    }

    fn annotations(&self) -> &BTreeMap<String, String> {
        self.metadata.annotations.as_ref().unwrap_or(&EMPTY_MAP)
    }

    fn deleted_at(&self) -> Option<Timestamp> {
        self.metadata.deletion_timestamp.as_ref().map(|t| t.0)
    }

    fn grace(&self) -> Duration {
        let spec = PodExt::spec(self);
        let seconds = self
            .metadata
            .deletion_grace_period_seconds
            .filter(|_| self.metadata.deletion_timestamp.is_some())
            .or(spec.termination_grace_period_seconds)
            .unwrap_or(30);
        Duration::from_secs(seconds.max(1).unsigned_abs())
    }

    fn on_host_network(&self) -> bool {
        PodExt::spec(self).host_network == Some(true)
    }

    fn restart_policy(&self) -> &str {
        PodExt::spec(self).restart_policy.as_deref().unwrap_or("Always")
    }

    fn is_terminal(&self) -> bool {
        matches!(PodExt::status(self).phase.as_deref(), Some("Succeeded" | "Failed"))
    }
}

fn init_role(container: &Container) -> Role {
    match container.restart_policy.as_deref() {
        Some("Always") => Role::Sidecar,
        _ => Role::Init,
    }
}

/// An ephemeral container has a container's fields and one more.
fn as_container(ephemeral: &EphemeralContainer) -> Container {
    let e = ephemeral.clone();
    Container {
        args: e.args,
        command: e.command,
        env: e.env,
        env_from: e.env_from,
        image: e.image,
        image_pull_policy: e.image_pull_policy,
        lifecycle: e.lifecycle,
        liveness_probe: e.liveness_probe,
        name: e.name,
        ports: e.ports,
        readiness_probe: e.readiness_probe,
        resize_policy: e.resize_policy,
        resources: e.resources,
        restart_policy: e.restart_policy,
        restart_policy_rules: e.restart_policy_rules,
        security_context: e.security_context,
        startup_probe: e.startup_probe,
        stdin: e.stdin,
        stdin_once: e.stdin_once,
        termination_message_path: e.termination_message_path,
        termination_message_policy: e.termination_message_policy,
        tty: e.tty,
        volume_devices: e.volume_devices,
        volume_mounts: e.volume_mounts,
        working_dir: e.working_dir,
    }
}
