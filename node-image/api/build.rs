//! Puts what the schemas are made of into OUT_DIR, compressed: the committed table of fields, and the
//! texts of upstream's documentation, which k8s-openapi carries.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use k8s_openapi::api::*;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration;
use schemars::SchemaGenerator;
use serde_json::Value;

const FIELDS: &str = "facts/fields.txt";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={FIELDS}");
    println!("cargo::rerun-if-changed=build.rs");
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    compress(&out.join("fields.zz"), &fs::read(FIELDS)?)?;
    compress(&out.join("texts.zz"), &serde_json::to_vec(&texts())?)
}

fn compress(path: &Path, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut encoder = ZlibEncoder::new(File::create(path)?, Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()?;
    Ok(())
}

/// The description of each type (under "") and of its properties, by the type's full name.
fn texts() -> BTreeMap<String, BTreeMap<String, String>> {
    let definitions = generator().take_definitions(false);
    definitions.into_iter().map(|(name, schema)| (name, texts_of(&schema))).collect()
}

fn texts_of(schema: &Value) -> BTreeMap<String, String> {
    let text = |schema: &Value| schema["description"].as_str().map(str::to_owned);
    let properties = schema["properties"].as_object().into_iter().flatten();
    let mut texts: BTreeMap<String, String> =
        properties.filter_map(|(name, p)| Some((name.clone(), text(p)?))).collect();
    texts.extend(text(schema).map(|text| (String::new(), text)));
    texts
}

/// A generator that has met each type that is an object or a request's or answer's body; the types
/// below them follow.
fn generator() -> SchemaGenerator {
    let mut generator = SchemaGenerator::default();
    macro_rules! meet {
        ($($group:ident::$version:ident { $($kind:ident)* })*) => {
            $($(generator.subschema_for::<$group::$version::$kind>();)*)*
        };
    }
    meet! {
        core::v1 {
            Binding ComponentStatus ConfigMap Endpoints Event LimitRange Namespace Node
            PersistentVolume PersistentVolumeClaim Pod PodTemplate ReplicationController
            ResourceQuota Secret Service ServiceAccount
        }
        admissionregistration::v1 {
            MutatingAdmissionPolicy MutatingAdmissionPolicyBinding MutatingWebhookConfiguration
            ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding
            ValidatingWebhookConfiguration
        }
        apiextensions::v1 { CustomResourceDefinition }
        apiregistration::v1 { APIService }
        apps::v1 { ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet }
        authentication::v1 { SelfSubjectReview TokenRequest TokenReview }
        authorization::v1 {
            LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview
            SubjectAccessReview
        }
        autoscaling::v1 { HorizontalPodAutoscaler Scale }
        autoscaling::v2 { HorizontalPodAutoscaler }
        batch::v1 { CronJob Job }
        certificates::v1 { CertificateSigningRequest }
        coordination::v1 { Lease }
        discovery::v1 { EndpointSlice }
        events::v1 { Event }
        flowcontrol::v1 { FlowSchema PriorityLevelConfiguration }
        meta::v1 {
            APIGroup APIGroupList APIResourceList APIVersions DeleteOptions Status
            ListMeta MicroTime
        }
        networking::v1 { Ingress IngressClass IPAddress NetworkPolicy ServiceCIDR }
        node::v1 { RuntimeClass }
        policy::v1 { Eviction PodDisruptionBudget }
        rbac::v1 { ClusterRole ClusterRoleBinding Role RoleBinding }
        resource::v1 { DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice }
        scheduling::v1 { PriorityClass }
        storage::v1 {
            CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment
            VolumeAttributesClass
        }
    }
    generator
}
