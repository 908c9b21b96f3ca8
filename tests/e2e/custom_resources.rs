//! Kinds that users define: from a definition to its objects, and back to nothing.

use crate::harness::{Fixture, Test, eventually};

pub const TESTS: &[Test] = &[
    ("defined_used_and_gone", defined_used_and_gone),
    ("refused_where_wrong", refused_where_wrong),
    ("go_with_their_owners_and_namespaces", go_with_their_owners_and_namespaces),
];

/// Shaped like cert-manager's.
const CERTIFICATES: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: certificates.e2e.kd.example}
spec:
  group: e2e.kd.example
  scope: Namespaced
  names: {plural: certificates, singular: certificate, kind: Certificate, listKind: CertificateList,
    shortNames: [e2ecert], categories: [e2e]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.copies, statusReplicasPath: .status.copies}
    additionalPrinterColumns:
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    - {name: Secret, type: string, jsonPath: .spec.secretName}
    - {name: Issuer, type: string, jsonPath: .spec.issuerRef.name, priority: 1}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            description: What is wanted of a certificate.
            required: [issuerRef, secretName]
            x-kubernetes-validations:
            - {rule: self.secretName == oldSelf.secretName, message: secretName is immutable}
            properties:
              secretName: {type: string, maxLength: 63}
              copies: {type: integer, format: int32, minimum: 0}
              duration: {type: string, default: 2160h}
              dnsNames: {type: array, x-kubernetes-list-type: set, items: {type: string}}
              issuerRef:
                type: object
                required: [name]
                properties:
                  name: {type: string}
                  kind: {type: string, enum: [Issuer, ClusterIssuer], default: Issuer}
          status:
            type: object
            properties:
              copies: {type: integer}
              conditions:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [type]
                items:
                  type: object
                  required: [type, status]
                  properties: {type: {type: string}, status: {type: string}}
"#;

/// Shaped like those of Argo: what a template says is not known.
const WORKFLOWS: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: workflows.e2e.kd.example}
spec:
  group: e2e.kd.example
  scope: Namespaced
  names: {plural: workflows, singular: workflow, kind: Workflow, shortNames: [e2ewf]}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        required: [metadata, spec]
        properties:
          apiVersion: {type: string}
          kind: {type: string}
          metadata: {type: object}
          spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
";

const CERTIFICATE: &str = "
apiVersion: e2e.kd.example/v1
kind: Certificate
metadata: {name: web}
spec: {secretName: web-tls, issuerRef: {name: letsencrypt}, dnsNames: [a.example, b.example]}
";

const WORKFLOW: &str = "
apiVersion: e2e.kd.example/v1alpha1
kind: Workflow
metadata: {name: hello}
spec: {entrypoint: say, templates: [{name: say, container: {image: busybox, args: [hi]}}]}
";

fn define(fixture: &Fixture, name: &str, definition: &str) {
    fixture.apply(definition).ok();
    let of = format!("crd/{name}.e2e.kd.example");
    fixture.kubectl(&["wait", "--for=condition=Established", &of, "--timeout=30s"]).ok();
}

fn defined_used_and_gone(fixture: &Fixture) {
    let n = fixture.namespace("custom");
    let other = CERTIFICATES.replace("e2e.kd.example", "used.kd.example").replace("e2ecert", "crt");
    fixture.apply(&other).ok();
    let crd = "crd/certificates.used.kd.example";
    fixture.kubectl(&["wait", "--for=condition=Established", crd, "--timeout=30s"]).ok();
    let certificate = CERTIFICATE.replace("e2e.kd.example", "used.kd.example");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &n][..], arguments].concat());
    let file = fixture.file("certificate.yaml", &certificate);
    let file = file.to_str().unwrap();
    k(&["create", "-f", file]).ok().prints("certificate.used.kd.example/web created");
    k(&["get", "crt"]).ok().prints("READY").prints("web-tls");
    k(&["get", "crt", "-o", "wide"]).ok().prints("letsencrypt");
    let of = "jsonpath={.spec.duration} {.spec.issuerRef.kind} {.metadata.generation}";
    k(&["get", "crt", "web", "-o", of]).ok().prints("2160h Issuer 1");
    let status = r#"{"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#;
    let patch = ["patch", "crt", "web", "--subresource=status", "--type=merge", "-p", status];
    k(&patch).ok();
    k(&["wait", "--for=condition=Ready", "crt/web", "--timeout=10s"]).ok();
    k(&["scale", "crt/web", "--replicas=3"]).ok();
    k(&["get", "crt", "web", "-o", "jsonpath={.spec.copies}"]).ok().prints("3");
    k(&["apply", "--server-side", "-f", file, "--force-conflicts"]).ok();
    k(&["explain", "certificates.used.kd.example.spec"]).ok().prints("What is wanted of");
    k(&["describe", "crt", "web"]).ok().prints("Letsencrypt".to_lowercase().as_str());
    k(&["api-resources", "--api-group=used.kd.example"]).ok().prints("certificates");
    fixture.kubectl(&["delete", crd, "--timeout=30s"]).ok();
    k(&["get", "certificates.used.kd.example"]).fails(1, "the server doesn't have a resource type");
}

fn refused_where_wrong(fixture: &Fixture) {
    let n = fixture.namespace("custom-wrong");
    define(fixture, "certificates", CERTIFICATES);
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &n][..], arguments].concat());
    let try_it = |name: &str, from: &str, to: &str, says: &str| {
        let file = fixture.file(name, &CERTIFICATE.replace(from, to));
        k(&["apply", "-f", file.to_str().unwrap()]).fails(1, says);
    };
    try_it("enum.yaml", "letsencrypt", "a, kind: Odd", "spec.issuerRef.kind: Unsupported value");
    try_it("set.yaml", "b.example", "a.example", "spec.dnsNames[1]: Duplicate value");
    try_it("required.yaml", "secretName: web-tls, ", "", "spec.secretName: Required value");
    try_it("unknown.yaml", "secretName: web-tls", "secret: a", "unknown field \"spec.secret\"");
    let file = fixture.file("good.yaml", CERTIFICATE);
    k(&["apply", "-f", file.to_str().unwrap()]).ok();
    try_it("rule.yaml", "web-tls", "other", "secretName is immutable");
    let odd = CERTIFICATES.replace("e2e.kd.example", "odd.kd.example");
    let odd = odd.replace("self.secretName ==", "self.secret ==");
    let file = fixture.file("odd.yaml", &odd);
    k(&["apply", "-f", file.to_str().unwrap()]).fails(1, "undefined field 'secret'");
}

fn go_with_their_owners_and_namespaces(fixture: &Fixture) {
    let n = fixture.namespace("custom-owned");
    define(fixture, "workflows", WORKFLOWS);
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &n][..], arguments].concat());
    let file = fixture.file("workflow.yaml", WORKFLOW);
    k(&["apply", "-f", file.to_str().unwrap()]).ok();
    let uid = k(&["get", "e2ewf", "hello", "-o", "jsonpath={.metadata.uid}"]).ok().out;
    let owner =
        format!("{{apiVersion: e2e.kd.example/v1alpha1, kind: Workflow, name: hello, uid: {uid}}}");
    let owned = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: owned, ownerReferences: [{owner}]}}\n"
    );
    let child =
        WORKFLOW.replace("name: hello}", &format!("name: child, ownerReferences: [{owner}]}}"));
    let files = [fixture.file("owned.yaml", &owned), fixture.file("child.yaml", &child)];
    for file in files {
        k(&["create", "-f", file.to_str().unwrap()]).ok();
    }
    k(&["delete", "e2ewf", "hello"]).ok();
    for gone in ["configmap/owned", "workflow.e2e.kd.example/child"] {
        eventually("what the workflow owned goes", || {
            (k(&["get", gone]).code == Some(1)).then_some(())
        });
    }
    k(&["apply", "-f", file.to_str().unwrap()]).ok();
    fixture.kubectl(&["delete", "namespace", &n, "--timeout=60s"]).ok();
}
