//! Who may do what, and what is kept of it: certificates by request, the audit log, Secrets in the
//! store, files that the API server refuses.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertificateParams, DnType, KeyPair};

use super::harness::{Fixture, Test, docker, eventually, leftovers};

pub const TESTS: &[Test] = &[
    ("a_certificate_for_a_user", a_certificate_for_a_user),
    ("files_that_are_refused", files_that_are_refused),
    ("encrypted_and_logged", encrypted_and_logged),
];

const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: RequestResponse
  resources: [{group: '', resources: [configmaps]}]
- level: Metadata
  resources: [{group: '', resources: [secrets]}]
- level: None
";

fn a_certificate_for_a_user(fixture: &Fixture) {
    let cluster = fixture.cluster();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "jane");
    params.distinguished_name.push(DnType::OrganizationName, "dev");
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    let request = BASE64_STANDARD.encode(request);
    fixture
        .apply(&format!(
            "---\n{{apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest, metadata: {{name: jane}},\n\
             spec: {{request: {request}, signerName: kubernetes.io/kube-apiserver-client, usages: [client auth]}}}}"
        ))
        .ok();
    fixture.kubectl(&["certificate", "approve", "jane"]).ok();
    let path = ["get", "csr", "jane", "-o", "jsonpath={.status.certificate}"];
    let issued = eventually("the certificate is issued", || {
        let found = fixture.kubectl(&path).ok().out;
        (!found.is_empty()).then_some(found)
    });
    fixture.kubectl(&["get", "csr", "jane"]).ok().prints("Approved,Issued");
    let issued = String::from_utf8(BASE64_STANDARD.decode(issued).unwrap()).unwrap();
    let certificate = fixture.file("jane.crt", &issued).display().to_string();
    let key = fixture.file("jane.key", &key.serialize_pem()).display().to_string();
    let (certificate, key) =
        (format!("--client-certificate={certificate}"), format!("--client-key={key}"));
    fixture.kubectl(&["config", "set-credentials", "jane", &certificate, &key]).ok();
    let binding = ["create", "rolebinding", "dev", "--clusterrole=view", "--group=dev"];
    fixture.kubectl(&binding).ok();
    let as_jane = |arguments: &[&str]| {
        let all: Vec<&str> = ["--user=jane"].iter().chain(arguments).copied().collect();
        fixture.kubectl_in(cluster, &all, "")
    };
    as_jane(&["auth", "whoami"]).ok().prints("jane");
    as_jane(&["get", "pods"]).ok();
    as_jane(&["get", "nodes"]).fails(1, r#"User "jane" cannot list resource "nodes""#);
}

fn files_that_are_refused(fixture: &Fixture) {
    let name = fixture.name("refused");
    let policy = fixture.file("bad-policy.yaml", &POLICY.replace("Metadata", "Everything"));
    let policy = policy.display().to_string();
    fixture
        .kd(&["cluster", "create", &name, "--audit-policy", &policy])
        .fails(2, r#"rules[1].level: Unsupported value: "Everything""#);
    let config = "{apiVersion: apiserver.config.k8s.io/v1, kind: AuthenticationConfiguration, \
        jwt: [{issuer: {url: 'http://a', audiences: [x]}, claimMappings: {username: {expression: '1'}}}]}";
    let config = fixture.file("bad-authentication.yaml", config).display().to_string();
    fixture
        .kd(&["cluster", "create", &name, "--authentication-config", &config])
        .fails(2, "URL scheme must be https")
        .says("must evaluate to string");
    assert_eq!(leftovers(&name), Vec::<String>::new());
}

fn encrypted_and_logged(fixture: &Fixture) {
    let name = fixture.name("secure");
    let policy = fixture.file("policy.yaml", POLICY).display().to_string();
    fixture.kd(&["cluster", "create", &name, "--encrypt-secrets", "--audit-policy", &policy]).ok();
    let kubectl = |arguments: &[&str]| fixture.kubectl_in(&name, arguments, "").ok();
    kubectl(&["create", "secret", "generic", "s", "--from-literal=word=open-sesame"]);
    kubectl(&["create", "configmap", "c", "--from-literal=word=open-barley"]);
    let secret = || kubectl(&["get", "secret", "s", "-o", "jsonpath={.data.word}"]).out;
    let word = BASE64_STANDARD.encode("open-sesame");
    assert_eq!(secret(), word);
    let node = format!("kd-{name}-server-0");
    let copy = fixture.directory().join("store");
    docker(&["cp", &format!("{node}:/var/lib/kd/store"), &copy.display().to_string()]).ok();
    let files = std::fs::read_dir(&copy).unwrap();
    let bytes: Vec<u8> =
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("open-barley") && holds("k8s:enc:") && !holds(&word));
    let log = fixture.directory().join("audit.log");
    let path = format!("{node}:/var/log/kubernetes/audit.log");
    docker(&["cp", &path, &log.display().to_string()]).ok();
    let log = std::fs::read_to_string(log).unwrap();
    let events: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let created = |resource: &str| {
        let mut events = events.iter();
        let is_it = |event: &&serde_json::Value| {
            event["verb"] == "create"
                && event["objectRef"]["resource"] == resource
                && event["user"]["username"] == "kubernetes-admin"
        };
        events.find(is_it).unwrap_or_else(|| panic!("no {resource} created: {log}"))
    };
    assert_eq!(created("secrets")["level"], "Metadata");
    assert!(created("secrets").get("requestObject").is_none());
    assert_eq!(created("configmaps")["responseObject"]["data"]["word"], "open-barley");
    fixture.kd(&["cluster", "stop", &name]).ok();
    fixture.kd(&["cluster", "start", &name]).ok();
    assert_eq!(secret(), word);
}
