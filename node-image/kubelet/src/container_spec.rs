//! From a container of a pod to what the runtime is asked to make. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Pod, PodSecurityContext, SeccompProfile, SecurityContext,
};
use kd_runtime::{ContainerSpec, Device, Image, Mount, Propagation, Resources, Seccomp, Security};

use crate::environment::expand;
use crate::lifecycle::{annotation, container_hash};
use crate::pod::{Member, PodExt, Role};

/// What a container is made of besides its own specification.
pub struct Parts {
    /// How many containers of this name the pod had before.
    pub attempt: u32,
    /// Its image.
    pub image: Image,
    /// Its variables.
    pub env: Vec<(String, String)>,
    /// Volumes and files.
    pub mounts: Vec<Mount>,
    /// Block volumes.
    pub devices: Vec<Device>,
    /// Its limits.
    pub resources: Resources,
    /// File of its termination message on the node.
    pub message_file: PathBuf,
    /// Where seccomp profiles are.
    pub seccomp_directory: PathBuf,
}

/// The runtime's specification of a container; the error is the message of
/// `CreateContainerConfigError`.
pub fn container_spec(
    pod: &Pod,
    member: &Member<'_>,
    parts: Parts,
) -> Result<ContainerSpec, String> {
    let container = &member.container;
    let variables: BTreeMap<&str, &str> =
        parts.env.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let expanded = |list: &Option<Vec<String>>| -> Vec<String> {
        let lookup = |name: &str| variables.get(name).map(|v| (*v).to_owned());
        list.iter().flatten().map(|text| expand(text, lookup)).collect()
    };
    let written = container.image.clone().unwrap_or_default();
    let message_policy = container.termination_message_policy.clone();
    let annotations = BTreeMap::from([
        (annotation::HASH.to_owned(), container_hash(container)),
        (annotation::IMAGE_NAME.to_owned(), image_name(&parts.image, &written)),
        (annotation::IMAGE_REFERENCE.to_owned(), image_reference(&parts.image)),
        (annotation::MESSAGE_FILE.to_owned(), parts.message_file.display().to_string()),
        (annotation::MESSAGE_POLICY.to_owned(), message_policy.unwrap_or_else(|| "File".into())),
        (annotation::GRACE.to_owned(), pod.grace().as_secs().to_string()),
    ]);
    Ok(ContainerSpec {
        name: member.name().to_owned(),
        attempt: parts.attempt,
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        tty: container.tty == Some(true),
        security: security(pod, member, &parts.image, &parts.seccomp_directory)?,
        stop_signal: stop_signal(member),
        image_id: parts.image.id,
        image: written,
        env: parts.env,
        mounts: parts.mounts,
        devices: parts.devices,
        resources: parts.resources,
        pid_target: member.target.unwrap_or_default().to_owned(),
        annotations,
    })
}

fn stop_signal(member: &Member<'_>) -> String {
    let lifecycle = member.container.lifecycle.as_ref();
    lifecycle.and_then(|l| l.stop_signal.clone()).unwrap_or_default()
}

/// The normalised tag that was asked for, if the image has it.
fn image_name(image: &Image, written: &str) -> String {
    let ends = |tag: &&String| {
        let named = if written.rsplit('/').next().is_some_and(|n| n.contains([':', '@'])) {
            written.to_owned()
        } else {
            format!("{written}:latest")
        };
        tag.as_str() == named || tag.ends_with(&format!("/{named}"))
    };
    let tag = image.repo_tags.iter().find(ends).or(image.repo_tags.first());
    tag.or(image.repo_digests.first()).cloned().unwrap_or_else(|| written.to_owned())
}

/// What `imageID` shows.
fn image_reference(image: &Image) -> String {
    image.repo_digests.first().cloned().unwrap_or_else(|| image.id.clone())
}

fn security(
    pod: &Pod,
    member: &Member<'_>,
    image: &Image,
    seccomp_directory: &Path,
) -> Result<Security, String> {
    let (no_pod, no_own) = (PodSecurityContext::default(), SecurityContext::default());
    let shared = pod.spec().security_context.as_ref().unwrap_or(&no_pod);
    let own = member.container.security_context.as_ref().unwrap_or(&no_own);
    let capabilities = own.capabilities.clone().unwrap_or_default();
    let profile = own.seccomp_profile.as_ref().or(shared.seccomp_profile.as_ref());
    let privileged = own.privileged == Some(true);
    let mut groups = shared.supplemental_groups.clone().unwrap_or_default();
    groups.extend(shared.fs_group);
    let made = Security {
        run_as_user: own.run_as_user.or(shared.run_as_user),
        run_as_group: own.run_as_group.or(shared.run_as_group),
        run_as_non_root: own.run_as_non_root.or(shared.run_as_non_root) == Some(true),
        supplemental_groups: groups,
        supplemental_groups_strict: shared.supplemental_groups_policy.as_deref() == Some("Strict"),
        privileged,
        add_capabilities: capabilities.add.unwrap_or_default(),
        drop_capabilities: capabilities.drop.unwrap_or_default(),
        no_new_privileges: own.allow_privilege_escalation == Some(false),
        read_only_root: own.read_only_root_filesystem == Some(true),
        seccomp: if privileged {
            Seccomp::Unconfined
        } else {
            seccomp(profile, seccomp_directory)?
        },
        app_armor: app_armor(
            own.app_armor_profile.as_ref().or(shared.app_armor_profile.as_ref()),
            privileged,
        ),
        unmasked_proc: own.proc_mount.as_deref() == Some("Unmasked"),
    };
    checked_user(pod, member, &made, image)?;
    Ok(made)
}

/// The profile that Docker loads into the kernel it runs on: what the runtime's default is here.
const APP_ARMOR_DEFAULT: &str = "docker-default";

/// The name of an AppArmor profile. A privileged container's default is to have none.
fn app_armor(profile: Option<&AppArmorProfile>, privileged: bool) -> String {
    let Some(profile) = profile else { return String::new() };
    match profile.type_.as_str() {
        "Localhost" => profile.localhost_profile.clone().unwrap_or_default(),
        "RuntimeDefault" if !privileged => APP_ARMOR_DEFAULT.to_owned(),
        _ => String::new(),
    }
}

fn seccomp(profile: Option<&SeccompProfile>, directory: &Path) -> Result<Seccomp, String> {
    let Some(profile) = profile else { return Ok(Seccomp::Unconfined) };
    match (profile.type_.as_str(), profile.localhost_profile.as_deref()) {
        ("RuntimeDefault", _) => Ok(Seccomp::RuntimeDefault),
        ("Localhost", Some(name)) if !name.is_empty() => {
            Ok(Seccomp::Localhost(directory.join(name)))
        }
        ("Localhost", _) => {
            Err("localhostProfile must be set if seccompProfile type is Localhost.".into())
        }
        _ => Ok(Seccomp::Unconfined),
    }
}

/// `runAsNonRoot`, in upstream's words.
fn checked_user(
    pod: &Pod,
    member: &Member<'_>,
    made: &Security,
    image: &Image,
) -> Result<(), String> {
    if !made.run_as_non_root {
        return Ok(());
    }
    let place = format!("(pod: \"{}\", container: {})", pod.described(), member.name());
    match made.run_as_user {
        Some(0) => Err(format!("container's runAsUser breaks non-root policy {place}")),
        Some(_) => Ok(()),
        None => match image.user.split(':').next().unwrap_or_default() {
            "" | "0" => {
                Err(format!("container has runAsNonRoot and image will run as root {place}"))
            }
            user if user.parse::<u32>().is_err() => Err(format!(
                "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify \
                 user is non-root {place}"
            )),
            _ => Ok(()),
        },
    }
}

/// Files of the pod that are mounted into its containers.
pub struct PodFiles {
    /// /etc/hosts
    pub hosts: PathBuf,
    /// /etc/hostname
    pub hostname: PathBuf,
    /// /etc/resolv.conf
    pub resolv_conf: PathBuf,
}

/// The mounts of files that every container has, unless it mounts something there itself.
pub fn file_mounts(member: &Member<'_>, files: &PodFiles, message_file: &Path) -> Vec<Mount> {
    let container = &member.container;
    let taken = |target: &str| {
        container
            .volume_mounts
            .iter()
            .flatten()
            .any(|m| m.mount_path.trim_end_matches('/') == target)
    };
    let message_path =
        container.termination_message_path.as_deref().unwrap_or("/dev/termination-log");
    let read_only = container.security_context.as_ref().and_then(|s| s.read_only_root_filesystem);
    let table = [
        ("/etc/hosts", files.hosts.as_path(), false),
        ("/etc/hostname", files.hostname.as_path(), read_only == Some(true)),
        ("/etc/resolv.conf", files.resolv_conf.as_path(), read_only == Some(true)),
        (message_path, message_file, false),
    ];
    let wanted = table.into_iter().filter(|(target, ..)| !target.is_empty() && !taken(target));
    wanted
        .map(|(target, source, read_only)| Mount {
            source: source.to_owned(),
            target: PathBuf::from(target),
            read_only,
            ..Mount::default()
        })
        .collect()
}

/// The API's mount propagation.
pub fn propagation(written: Option<&str>) -> Propagation {
    match written {
        Some("HostToContainer") => Propagation::HostToContainer,
        Some("Bidirectional") => Propagation::Bidirectional,
        _ => Propagation::Private,
    }
}

/// Whether the pod may have this container at all.
pub fn checked(member: &Member<'_>) -> Result<(), String> {
    if member.role == Role::Ephemeral && member.target.is_some_and(str::is_empty) {
        return Err("targetContainerName is empty".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn made(spec: Value, user: &str) -> Result<ContainerSpec, String> {
        let pod: Pod = serde_json::from_value(
            json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec}),
        )
        .unwrap();
        let image = Image {
            id: "sha256:1".into(),
            repo_tags: vec!["docker.io/library/nginx:1.25".into()],
            user: user.into(),
            ..Image::default()
        };
        let parts = Parts {
            attempt: 0,
            image,
            env: vec![("A".into(), "1".into())],
            mounts: Vec::new(),
            devices: Vec::new(),
            resources: Resources::default(),
            message_file: "/m".into(),
            seccomp_directory: "/seccomp".into(),
        };
        container_spec(&pod, &pod.members()[0], parts)
    }

    #[test]
    fn users() {
        let check = |context: Value, user: &str, expect: Option<&str>| {
            let spec = json!({"containers": [{"name": "c", "securityContext": context}]});
            let error = made(spec, user).err();
            let place = "(pod: \"p_n(u)\", container: c)";
            assert_eq!(error, expect.map(|text| format!("{text} {place}")));
        };
        check(json!({}), "", None);
        let strict = || json!({"runAsNonRoot": true});
        check(strict(), "101", None);
        check(strict(), "", Some("container has runAsNonRoot and image will run as root"));
        check(strict(), "0:0", Some("container has runAsNonRoot and image will run as root"));
        check(
            strict(),
            "nginx",
            Some(
                "container has runAsNonRoot and image has non-numeric user (nginx), cannot verify \
                 user is non-root",
            ),
        );
        check(
            json!({"runAsNonRoot": true, "runAsUser": 0}),
            "101",
            Some("container's runAsUser breaks non-root policy"),
        );
    }

    #[test]
    fn app_armor_profiles() {
        let check = |pod: Value, own: Value, expect: &str| {
            let spec = json!({"securityContext": {"appArmorProfile": pod},
                "containers": [{"name": "c", "securityContext": own}]});
            assert_eq!(made(spec, "").unwrap().security.app_armor, expect);
        };
        let profile = |kind: &str, name: &str| json!({"type": kind, "localhostProfile": name});
        check(Value::Null, json!({}), "");
        check(json!({"type": "RuntimeDefault"}), json!({}), "docker-default");
        check(json!({"type": "RuntimeDefault"}), json!({"privileged": true}), "");
        check(profile("Localhost", "a"), json!({}), "a");
        check(
            profile("Localhost", "a"),
            json!({"appArmorProfile": profile("Localhost", "b")}),
            "b",
        );
        check(profile("Localhost", "a"), json!({"appArmorProfile": {"type": "Unconfined"}}), "");
    }

    #[test]
    fn the_container_wins_over_the_pod() {
        let spec = json!({
            "securityContext": {"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3,
                "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "c", "image": "nginx:1.25", "args": ["$(A)", "$(B)"],
                "securityContext": {"runAsUser": 9, "capabilities": {"add": ["NET_ADMIN"]}}}]});
        let made = made(spec, "").unwrap();
        assert_eq!(made.args, ["1", "$(B)"]);
        assert_eq!((made.security.run_as_user, made.security.run_as_group), (Some(9), Some(2)));
        assert_eq!(made.security.supplemental_groups, [3]);
        assert_eq!(made.security.seccomp, Seccomp::RuntimeDefault);
        assert_eq!(made.annotations[annotation::IMAGE_NAME], "docker.io/library/nginx:1.25");
        assert_eq!(made.annotations[annotation::IMAGE_REFERENCE], "sha256:1");
    }
}
