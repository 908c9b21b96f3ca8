//! Which columns a kind has, and how an object fills them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::column::{
    AGE, CONTAINERS, CREATED, Column, IMAGES, NAME, SELECTOR, boolean, named, number, text, wide,
};
use super::{cluster, event, extension, network, pod, storage, workload};

/// How a kind is shown.
pub(super) struct Printer {
    group: &'static str,
    kind: &'static str,
    pub(super) columns: &'static [Column],
    pub(super) cells: fn(&Value, Timestamp) -> Vec<Value>,
    /// The row's conditions, or null.
    pub(super) conditions: fn(&Value) -> Value,
}

/// The printer of a kind: its own, or name and creation time.
pub(super) fn printer(group: &str, kind: &str) -> &'static Printer {
    PRINTERS.iter().find(|row| row.group == group && row.kind == kind).unwrap_or(&DEFAULT)
}

const fn row(
    group: &'static str,
    kind: &'static str,
    columns: &'static [Column],
    cells: fn(&Value, Timestamp) -> Vec<Value>,
) -> Printer {
    Printer { group, kind, columns, cells, conditions: no_conditions }
}

fn no_conditions(_: &Value) -> Value {
    Value::Null
}

static DEFAULT: Printer = row("", "", &[NAME, CREATED], created);

fn created(object: &Value, _: Timestamp) -> Vec<Value> {
    vec![object["metadata"]["name"].clone(), object["metadata"]["creationTimestamp"].clone()]
}

const READY_COUNT: Column = text("Ready", "Number of the pod with ready state");
const DESIRED: Column = number("Desired", "How many pods are wanted.");
const CURRENT: Column = number("Current", "How many pods there are.");
const READY: Column = number("Ready", "How many pods are ready.");
const STATUS_PHASE: Column = text("Status", "The phase of the object.");
const STORAGE_CLASS: Column = text("StorageClass", "StorageClass of the volume");
const ATTRIBUTES_CLASS: Column =
    text("VolumeAttributesClass", "VolumeAttributesClass of the volume");
const VOLUME_MODE: Column =
    wide(text("VolumeMode", "Whether the volume is a file system or a block device."));
const WEBHOOKS: Column = number(
    "Webhooks",
    "Webhooks indicates the number of webhooks registered in this configuration",
);
const PARAM_KIND: Column =
    text("ParamKind", "The kind of resources used to parameterize this policy");
const EVENT_COLUMNS: &[Column] = &[
    text("Last Seen", "When the event was last seen."),
    text("Type", "Normal or Warning."),
    text("Reason", "Why, in a word."),
    text("Object", "What the event is about."),
    wide(text("Subobject", "The part of the object.")),
    wide(text("Source", "Who reported the event.")),
    text("Message", "What happened."),
    wide(text("First Seen", "When the event was first seen.")),
    wide(text("Count", "How often it was seen.")),
    wide(named(text("Name", "The event's name."))),
];
const BINDING_COLUMNS: &[Column] = &[
    NAME,
    text("Role", "The role that is granted."),
    AGE,
    wide(text("Users", "Users in the roleBinding")),
    wide(text("Groups", "Groups in the roleBinding")),
    wide(text("ServiceAccounts", "ServiceAccounts in the roleBinding")),
];
const REPLICA_COLUMNS: &[Column] =
    &[NAME, DESIRED, CURRENT, READY, AGE, CONTAINERS, IMAGES, SELECTOR];

static PRINTERS: &[Printer] = &[
    row(
        "",
        "ComponentStatus",
        &[
            NAME,
            text("Status", "Status of the component conditions"),
            text("Message", "Message of the component conditions"),
            text("Error", "Error of the component conditions"),
        ],
        cluster::component_status,
    ),
    row(
        "",
        "ConfigMap",
        &[NAME, text("Data", "How many keys there are."), AGE],
        cluster::config_map,
    ),
    row(
        "",
        "Endpoints",
        &[NAME, text("Endpoints", "Addresses and ports."), AGE],
        network::endpoints,
    ),
    row("", "Event", EVENT_COLUMNS, event::event),
    row(
        "",
        "Namespace",
        &[NAME, text("Status", "The status of the namespace"), AGE],
        cluster::namespace,
    ),
    row(
        "",
        "Node",
        &[
            NAME,
            text("Status", "The status of the node"),
            text("Roles", "The roles of the node"),
            AGE,
            text("Version", "Kubelet Version reported by the node."),
            wide(text("Internal-IP", "The node's address inside the cluster.")),
            wide(text("External-IP", "The node's address outside the cluster.")),
            wide(text(
                "OS-Image",
                "OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 7 (wheezy)).",
            )),
            wide(text(
                "Kernel-Version",
                "Kernel Version reported by the node from 'uname -r' (e.g. 3.16.0-0.bpo.4-amd64).",
            )),
            wide(text(
                "Container-Runtime",
                "ContainerRuntime Version reported by the node through runtime remote API (e.g. containerd://1.4.2).",
            )),
        ],
        cluster::node,
    ),
    row(
        "",
        "PersistentVolume",
        &[
            NAME,
            text("Capacity", "The volume's size."),
            text("Access Modes", "How the volume can be mounted."),
            text("Reclaim Policy", "What happens when the claim goes."),
            STATUS_PHASE,
            text("Claim", "The claim that uses the volume."),
            STORAGE_CLASS,
            ATTRIBUTES_CLASS,
            text("Reason", "Why the volume is in its state."),
            AGE,
            VOLUME_MODE,
        ],
        storage::persistent_volume,
    ),
    row(
        "",
        "PersistentVolumeClaim",
        &[
            NAME,
            STATUS_PHASE,
            text("Volume", "The volume that is bound."),
            text("Capacity", "The volume's size."),
            text("Access Modes", "How the volume can be mounted."),
            STORAGE_CLASS,
            ATTRIBUTES_CLASS,
            AGE,
            VOLUME_MODE,
        ],
        storage::persistent_volume_claim,
    ),
    Printer {
        conditions: pod::conditions,
        ..row(
            "",
            "Pod",
            &[
                NAME,
                text("Ready", "The aggregate readiness state of this pod for accepting traffic."),
                text("Status", "The aggregate status of the containers in this pod."),
                text(
                    "Restarts",
                    "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
                ),
                AGE,
                wide(text("IP", "The pod's address.")),
                wide(text("Node", "The node the pod is bound to.")),
                wide(text("Nominated Node", "The node that is being freed for the pod.")),
                wide(text("Readiness Gates", "How many of the pod's readiness gates hold.")),
            ],
            pod::pod,
        )
    },
    row(
        "",
        "PodTemplate",
        &[
            NAME,
            text("Containers", "Names of each container in the template."),
            text("Images", "Images referenced by each container in the template."),
            text("Pod Labels", "The labels for the pod template."),
        ],
        workload::pod_template,
    ),
    row("", "ReplicationController", REPLICA_COLUMNS, workload::replication_controller),
    row(
        "",
        "ResourceQuota",
        &[
            NAME,
            text(
                "Request",
                "Request represents a minimum amount of cpu/memory that a container may consume.",
            ),
            text(
                "Limit",
                "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.",
            ),
            AGE,
        ],
        cluster::resource_quota,
    ),
    row(
        "",
        "Secret",
        &[
            NAME,
            text("Type", "What the secret is for."),
            text("Data", "How many keys there are."),
            AGE,
        ],
        cluster::secret,
    ),
    row(
        "",
        "Service",
        &[
            NAME,
            text("Type", "How the service is reached."),
            text("Cluster-IP", "Its address inside the cluster."),
            text("External-IP", "Its addresses outside the cluster."),
            text("Port(s)", "Its ports."),
            AGE,
            SELECTOR,
        ],
        network::service,
    ),
    row(
        "",
        "ServiceAccount",
        &[NAME, text("Secrets", "How many secrets it lists."), AGE],
        cluster::service_account,
    ),
    row(
        "admissionregistration.k8s.io",
        "MutatingAdmissionPolicy",
        &[
            NAME,
            number(
                "Mutations",
                "Mutations indicates the number of mutations rules defined in this configuration",
            ),
            PARAM_KIND,
            AGE,
        ],
        extension::mutating_policy,
    ),
    row(
        "admissionregistration.k8s.io",
        "MutatingAdmissionPolicyBinding",
        POLICY_BINDING_COLUMNS,
        extension::policy_binding,
    ),
    row(
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
        &[NAME, WEBHOOKS, AGE],
        extension::webhook_configuration,
    ),
    row(
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicy",
        &[
            NAME,
            number(
                "Validations",
                "Validations indicates the number of validation rules defined in this configuration",
            ),
            PARAM_KIND,
            AGE,
        ],
        extension::validating_policy,
    ),
    row(
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicyBinding",
        POLICY_BINDING_COLUMNS,
        extension::policy_binding,
    ),
    row(
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
        &[NAME, WEBHOOKS, AGE],
        extension::webhook_configuration,
    ),
    row(
        "apiregistration.k8s.io",
        "APIService",
        &[
            NAME,
            text("Service", "The reference to the service that hosts this API endpoint."),
            text("Available", "Whether this service is available."),
            AGE,
        ],
        extension::api_service,
    ),
    row(
        "apps",
        "ControllerRevision",
        &[
            NAME,
            text("Controller", "Controller of the object"),
            text("Revision", "Counts up with every change."),
            AGE,
        ],
        workload::controller_revision,
    ),
    row(
        "apps",
        "DaemonSet",
        &[
            NAME,
            DESIRED,
            CURRENT,
            READY,
            number("Up-to-date", "How many nodes run the newest pod."),
            number("Available", "How many pods are available."),
            text("Node Selector", "Which nodes run a pod."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        workload::daemon_set,
    ),
    row(
        "apps",
        "Deployment",
        &[
            NAME,
            READY_COUNT,
            text("Up-to-date", "How many pods have the newest template."),
            text("Available", "How many pods are available."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        workload::deployment,
    ),
    row("apps", "ReplicaSet", REPLICA_COLUMNS, workload::replica_set),
    row(
        "apps",
        "StatefulSet",
        &[NAME, READY_COUNT, AGE, CONTAINERS, IMAGES],
        workload::stateful_set,
    ),
    row(
        "autoscaling",
        "HorizontalPodAutoscaler",
        &[
            NAME,
            text("Reference", "What is scaled."),
            text("Targets", "The metrics that are aimed at."),
            text("MinPods", "The fewest pods."),
            text("MaxPods", "The most pods."),
            text("Replicas", "How many pods there are."),
            AGE,
        ],
        workload::horizontal_pod_autoscaler,
    ),
    row(
        "autoscaling",
        "Scale",
        &[NAME, DESIRED, number("Available", "How many pods there are."), AGE],
        workload::scale,
    ),
    row(
        "batch",
        "CronJob",
        &[
            NAME,
            text("Schedule", "When a job starts, in cron form."),
            text("Timezone", "The time zone of the schedule."),
            boolean("Suspend", "Whether no job starts."),
            number("Active", "How many jobs run."),
            text("Last Schedule", "When a job last started."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        workload::cron_job,
    ),
    row(
        "batch",
        "Job",
        &[
            NAME,
            text("Status", "Status of the job."),
            text("Completions", "How many pods succeeded."),
            text("Duration", "Time required to complete the job."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        workload::job,
    ),
    row(
        "certificates.k8s.io",
        "CertificateSigningRequest",
        &[
            NAME,
            AGE,
            text("SignerName", "Who shall sign."),
            text("Requestor", "Who asks."),
            text("RequestedDuration", "How long the certificate shall last."),
            text("Condition", "What was decided."),
        ],
        cluster::certificate_signing_request,
    ),
    row(
        "coordination.k8s.io",
        "Lease",
        &[NAME, text("Holder", "Who holds the lease."), AGE],
        cluster::lease,
    ),
    row(
        "discovery.k8s.io",
        "EndpointSlice",
        &[
            NAME,
            text("AddressType", "What sort of addresses."),
            text("Ports", "The ports."),
            text("Endpoints", "The addresses."),
            AGE,
        ],
        network::endpoint_slice,
    ),
    row("events.k8s.io", "Event", EVENT_COLUMNS, event::event),
    row(
        "flowcontrol.apiserver.k8s.io",
        "FlowSchema",
        &[
            NAME,
            text("PriorityLevel", "The priority level requests go to."),
            text("MatchingPrecedence", "Lower is tried first."),
            text("DistinguisherMethod", "How flows are told apart."),
            AGE,
            text("MissingPL", "references a broken or non-existent PriorityLevelConfiguration"),
        ],
        extension::flow_schema,
    ),
    row(
        "flowcontrol.apiserver.k8s.io",
        "PriorityLevelConfiguration",
        &[
            NAME,
            text("Type", "Whether requests are limited."),
            text("NominalConcurrencyShares", "The share of the server's concurrency."),
            text("Queues", "How many queues there are."),
            text("HandSize", "How many queues a flow may use."),
            text("QueueLengthLimit", "How many requests wait in a queue."),
            AGE,
        ],
        extension::priority_level,
    ),
    row(
        "networking.k8s.io",
        "IPAddress",
        &[NAME, text("ParentRef", "The object that uses the address.")],
        network::ip_address,
    ),
    row(
        "networking.k8s.io",
        "Ingress",
        &[
            NAME,
            text(
                "Class",
                "The name of the IngressClass resource that should be used for additional configuration",
            ),
            text(
                "Hosts",
                "Hosts that incoming requests are matched against before the ingress rule",
            ),
            text("Address", "Address is a list containing ingress points for the load-balancer"),
            text("Ports", "Ports of TLS configurations that open"),
            AGE,
        ],
        network::ingress,
    ),
    row(
        "networking.k8s.io",
        "IngressClass",
        &[
            NAME,
            text("Controller", "Controller that is responsible for handling this class"),
            text("Parameters", "A reference to a resource with additional parameters"),
            AGE,
        ],
        network::ingress_class,
    ),
    row(
        "networking.k8s.io",
        "NetworkPolicy",
        &[NAME, text("Pod-Selector", "Which pods it is about."), AGE],
        network::network_policy,
    ),
    row(
        "networking.k8s.io",
        "ServiceCIDR",
        &[NAME, text("CIDRs", "The address ranges."), AGE],
        network::service_cidr,
    ),
    row(
        "node.k8s.io",
        "RuntimeClass",
        &[NAME, text("Handler", "The runtime's configuration."), AGE],
        cluster::runtime_class,
    ),
    row(
        "policy",
        "PodDisruptionBudget",
        &[
            NAME,
            text("Min Available", "The minimum number of pods that must be available."),
            text("Max Unavailable", "The maximum number of pods that may be unavailable."),
            number(
                "Allowed Disruptions",
                "Calculated number of pods that may be disrupted at this time.",
            ),
            AGE,
        ],
        workload::pod_disruption_budget,
    ),
    row("rbac.authorization.k8s.io", "ClusterRoleBinding", BINDING_COLUMNS, cluster::role_binding),
    row("rbac.authorization.k8s.io", "RoleBinding", BINDING_COLUMNS, cluster::role_binding),
    row("resource.k8s.io", "DeviceClass", &[NAME, AGE], cluster::name_and_age),
    row(
        "resource.k8s.io",
        "ResourceClaim",
        &[NAME, text("State", "Whether the claim is allocated and reserved."), AGE],
        extension::resource_claim,
    ),
    row("resource.k8s.io", "ResourceClaimTemplate", &[NAME, AGE], cluster::name_and_age),
    row(
        "resource.k8s.io",
        "ResourceSlice",
        &[
            NAME,
            text("Node", "The node that has the devices."),
            text("Driver", "The driver that publishes them."),
            text("Pool", "The pool they belong to."),
            AGE,
        ],
        extension::resource_slice,
    ),
    row(
        "scheduling.k8s.io",
        "PriorityClass",
        &[
            NAME,
            number("Value", "Higher is more important."),
            boolean("Global-Default", "Whether pods without a class get this one."),
            AGE,
            text("PreemptionPolicy", "Whether lesser pods may be removed."),
        ],
        cluster::priority_class,
    ),
    row(
        "storage.k8s.io",
        "CSIDriver",
        &[
            NAME,
            boolean("AttachRequired", "Whether volumes are attached first."),
            boolean("PodInfoOnMount", "Whether the driver learns about the pod."),
            boolean("StorageCapacity", "Whether the driver publishes capacities."),
            text("TokenRequests", "The tokens the driver is given."),
            boolean("RequiresRepublish", "Whether volumes are published again and again."),
            text("Modes", "Which volumes the driver supports."),
            AGE,
        ],
        storage::csi_driver,
    ),
    row(
        "storage.k8s.io",
        "CSINode",
        &[
            NAME,
            number("Drivers", "Drivers indicates the number of CSI drivers registered on the node"),
            AGE,
        ],
        storage::csi_node,
    ),
    row(
        "storage.k8s.io",
        "CSIStorageCapacity",
        &[
            NAME,
            text("StorageClassName", "The storage class."),
            text("Capacity", "How much is left."),
        ],
        storage::csi_storage_capacity,
    ),
    row(
        "storage.k8s.io",
        "StorageClass",
        &[
            NAME,
            text("Provisioner", "Who makes the volumes."),
            text("ReclaimPolicy", "What happens when the claim goes."),
            text("VolumeBindingMode", "When a volume is made and bound."),
            text("AllowVolumeExpansion", "Whether volumes may grow."),
            AGE,
        ],
        storage::storage_class,
    ),
    row(
        "storage.k8s.io",
        "VolumeAttachment",
        &[
            NAME,
            named(text("Attacher", "The driver that attaches.")),
            text("PV", "The volume."),
            text("Node", "The node."),
            boolean("Attached", "Whether the volume is attached."),
            AGE,
        ],
        storage::volume_attachment,
    ),
    row(
        "storage.k8s.io",
        "VolumeAttributesClass",
        &[NAME, text("DriverName", "The driver."), AGE],
        storage::volume_attributes_class,
    ),
];

const POLICY_BINDING_COLUMNS: &[Column] = &[
    NAME,
    text("PolicyName", "The policy definition which the binding points to"),
    text("ParamRef", "The param ref defined in this configuration"),
    AGE,
];

/// A cell that shows `<none>` when empty.
pub(super) fn or_none(text: &str) -> Value {
    json!(if text.is_empty() { "<none>" } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printers_are_sorted_unique_and_fill_their_columns() {
        let names: Vec<_> = PRINTERS.iter().map(|row| (row.group, row.kind)).collect();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
        for printer in PRINTERS.iter().chain([&DEFAULT]) {
            let cells = (printer.cells)(&json!({}), Timestamp::UNIX_EPOCH);
            assert_eq!(cells.len(), printer.columns.len(), "{}", printer.kind);
        }
    }
}
