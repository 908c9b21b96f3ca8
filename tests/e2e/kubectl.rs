//! kubectl's commands that other stories do not come to: what makes objects, what changes them in place,
//! what asks the server about itself.

use crate::harness::{Fixture, Ran, Test, eventually, run};

pub const TESTS: &[Test] = &[
    ("creates_every_sort", creates_every_sort),
    ("changes_in_place", changes_in_place),
    ("rolls_out_and_back", rolls_out_and_back),
    ("tells_about_the_cluster", tells_about_the_cluster),
    ("explains_every_resource", explains_every_resource),
    ("keeps_nodes", keeps_nodes),
    ("approves_and_reconciles", approves_and_reconciles),
    ("debugs_and_exposes", debugs_and_exposes),
];

/// kubectl in one namespace, by words: `k("create job j --image=x")`.
struct Kubectl<'a> {
    fixture: &'a Fixture,
    namespace: String,
}

impl<'a> Kubectl<'a> {
    fn new(fixture: &'a Fixture, namespace: &str) -> Kubectl<'a> {
        Kubectl { fixture, namespace: fixture.namespace(namespace) }
    }

    fn run(&self, words: &str) -> Ran {
        self.with(words, &[])
    }

    /// With more arguments, which may have blanks in them.
    fn with(&self, words: &str, more: &[&str]) -> Ran {
        let words: Vec<&str> = words.split_whitespace().chain(more.iter().copied()).collect();
        self.fixture.kubectl(&[&["-n", &self.namespace][..], &words].concat())
    }

    fn stdin(&self, words: &str, stdin: &str) -> Ran {
        let words: Vec<&str> = words.split_whitespace().collect();
        let cluster = self.fixture.cluster();
        self.fixture.kubectl_in(cluster, &[&["-n", &self.namespace][..], &words].concat(), stdin)
    }

    /// A field of an object.
    #[track_caller]
    fn is(&self, object: &str, path: &str, expect: &str) {
        let path = format!("jsonpath={path}");
        let got = self.with(&format!("get {object} -o"), &[&path]).ok().out;
        assert_eq!(got, expect, "{object} {path}");
    }
}

fn creates_every_sort(fixture: &Fixture) {
    let k = Kubectl::new(fixture, "kubectl-create");
    let file = fixture.file("settings.env", "A=1\nB=two\n");
    let file = file.to_str().unwrap();
    for words in [
        "create deployment web --image=kd-test/nginx:1 --replicas=0 --port=80",
        "create job once --image=kd-test/busybox:1 -- true",
        "create cronjob nightly --image=kd-test/busybox:1 --schedule=0_0_*_*_* -- true",
        "create job by-hand --from=cronjob/nightly",
        "create configmap settings --from-literal=a=1 --from-literal=b=2",
        "create configmap env --from-env-file=FILE",
        "create secret generic login --from-literal=user=a --from-file=FILE",
        "create secret docker-registry pull --docker-username=a --docker-password=b",
        "create service clusterip svc --tcp=80:8080",
        "create service nodeport np --tcp=80:8080",
        "create service loadbalancer lb --tcp=8099:8080",
        "create service externalname ext --external-name=example.com",
        "create ingress ing --class=none --rule=a.example/*=svc:80",
        "create serviceaccount robot",
        "create role reader --verb=get,list --resource=pods,deployments.apps",
        "create rolebinding reader --role=reader --serviceaccount=NAMESPACE:robot",
        "create clusterrole kubectl-story --verb=get --non-resource-url=/healthz",
        "create clusterrolebinding kubectl-story --clusterrole=kubectl-story --user=a",
        "create quota few --hard=pods=20,services=20",
        "create poddisruptionbudget pdb --selector=app=web --min-available=1",
        "create priorityclass kubectl-story --value=1000 --description=x",
        "create token robot --duration=1h",
    ] {
        let words = words.replace("FILE", file).replace("NAMESPACE", &k.namespace);
        let words: Vec<String> =
            words.split_whitespace().map(|word| word.replace('_', " ")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        k.with("", &words).ok();
    }
    k.is("configmap/env", "{.data.B}", "two");
    k.is("cronjob/nightly", "{.spec.schedule}", "0 0 * * *");
    k.is("secret/pull", "{.type}", "kubernetes.io/dockerconfigjson");
    k.is("ingress/ing", "{.spec.rules[0].http.paths[0].pathType}", "Prefix");
    let robot = format!("--as=system:serviceaccount:{}:robot", k.namespace);
    k.run(&format!("auth can-i list pods {robot}")).ok().prints("yes");
    k.run(&format!("auth can-i list secrets {robot}")).fails(1, "").prints("no");
    k.run(&format!("auth can-i --list {robot}")).ok().prints("deployments.apps");
    k.run("get all").ok().prints("deployment.apps/web").prints("cronjob.batch/nightly");
    k.run("delete clusterrole,clusterrolebinding,priorityclass kubectl-story").ok();
}

fn changes_in_place(fixture: &Fixture) {
    let k = Kubectl::new(fixture, "kubectl-change");
    k.run("create deployment web --image=kd-test/nginx:1 --replicas=0").ok();
    k.run("create configmap m --from-literal=a=1").ok();
    k.run("create serviceaccount robot").ok();
    k.run("set env deployment/web COLOR=blue --from=configmap/m").ok();
    k.run("set env deployment/web --list").ok().prints("COLOR=blue");
    k.run("set image deployment/web nginx=kd-test/busybox:1").ok();
    k.run("set resources deployment/web --limits=cpu=100m --requests=cpu=10m").ok();
    k.run("set serviceaccount deployment/web robot").ok();
    let container = "{.spec.template.spec.containers[0]";
    k.is("deployment/web", &format!("{container}.image}}"), "kd-test/busybox:1");
    k.is("deployment/web", &format!("{container}.resources.limits.cpu}}"), "100m");
    k.is("deployment/web", "{.spec.template.spec.serviceAccountName}", "robot");
    k.run("create role reader --verb=get --resource=pods").ok();
    k.run("create rolebinding reader --role=reader --user=a").ok();
    k.run("set subject rolebinding/reader --group=team").ok();
    k.is("rolebinding/reader", "{.subjects[*].name}", "a team");
    k.run("expose deployment web --port=80 --name=web").ok();
    k.with("set selector service/web", &["app=other"]).ok();
    k.is("service/web", "{.spec.selector.app}", "other");
    k.run("label configmap m tier=one").ok();
    k.run("label configmap m tier=two").fails(1, "already has a value");
    k.run("label configmap m tier=two --overwrite").ok();
    k.run("annotate configmap m note=hello").ok();
    k.run("annotate configmap m note-").ok().prints("annotated");
    k.is("configmap/m", "{.metadata.labels.tier}{.metadata.annotations}", "two");
    k.run("autoscale deployment web --min=1 --max=3 --cpu-percent=50").ok();
    k.is("hpa/web", "{.spec.metrics[0].resource.target.averageUtilization}", "50");
    k.run("scale deployment web --replicas=1 --current-replicas=5").fails(1, "Expected replicas");
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: \"2\"}\n";
    k.stdin("replace -f -", map).ok();
    k.is("configmap/m", "{.data.a}", "2");
    let other = map.replace("\"2\"", "\"3\"");
    k.stdin("diff -f -", &other).fails(1, "").prints("+  a: \"3\"");
    k.stdin("apply --dry-run=server -f -", &other).ok().prints("configured (server dry run)");
    k.stdin("replace --force -f -", &other).ok();
    k.stdin("apply view-last-applied -f -", map).fails(1, "no last-applied-configuration");
    k.stdin("apply -f -", map).ok();
    k.run("apply view-last-applied configmap m").ok().prints("name: m");
    k.stdin("apply set-last-applied -f -", &other).ok();
    k.with("patch configmap m --type=json -p", &[r#"[{"op":"remove","path":"/data/a"}]"#]).ok();
    k.is("configmap/m", "{.data}", "");
    kustomized(&k);
}

fn kustomized(k: &Kubectl<'_>) {
    k.fixture.file("kustomization.yaml", "namePrefix: pre-\nresources: [kustomized.yaml]\n");
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n";
    k.fixture.file("kustomized.yaml", map);
    let folder = k.fixture.directory().to_str().unwrap();
    k.run(&format!("kustomize {folder}")).ok().prints("name: pre-x");
    k.run(&format!("apply -k {folder}")).ok().prints("configmap/pre-x created");
    k.run(&format!("delete -k {folder}")).ok();
    k.run("get configmap pre-x").fails(1, "not found");
}

fn rolls_out_and_back(fixture: &Fixture) {
    let k = Kubectl::new(fixture, "kubectl-rollout");
    k.run("create deployment web --image=kd-test/nginx:1").ok();
    k.run("rollout status deployment/web --timeout=60s").ok().prints("successfully rolled out");
    k.run("annotate deployment/web kubernetes.io/change-cause=first").ok();
    k.run("rollout pause deployment/web").ok();
    k.run("set env deployment/web A=b").ok();
    k.run("rollout pause deployment/web").fails(1, "already paused");
    k.run("rollout resume deployment/web").ok();
    k.run("rollout status deployment/web --timeout=60s").ok();
    k.run("rollout history deployment/web").ok().prints("first");
    k.run("rollout history deployment/web --revision=2").ok().prints("A:\tb");
    k.run("rollout undo deployment/web --to-revision=1").ok();
    k.run("rollout status deployment/web --timeout=60s").ok();
    k.is("deployment/web", "{.spec.template.spec.containers[0].env}", "");
    k.run("rollout restart deployment/web").ok();
    k.run("rollout status deployment/web --timeout=60s").ok();
}

fn tells_about_the_cluster(fixture: &Fixture) {
    let k = Kubectl::new(fixture, "kubectl-tells");
    k.run("version").ok().prints("Server Version: v1.36");
    k.run("api-versions").ok().prints("resource.k8s.io/v1").prints("apps/v1");
    k.run("api-resources --verbs=list --namespaced -o name").ok().prints("deployments.apps");
    k.run("api-resources --categories=all").ok().prints("statefulsets");
    k.run("cluster-info").ok().prints("Kubernetes control plane");
    k.run("cluster-info dump --namespaces=kube-system").ok().prints("\"kind\": \"NodeList\"");
    k.run("auth whoami").ok().prints("system:masters");
    k.run("config view --minify").ok().prints("server: https://127.0.0.1");
    for (path, says) in [
        ("/healthz", "ok"),
        ("/livez?verbose", "livez check passed"),
        ("/readyz?verbose", "[+]etcd ok"),
        ("/version", "gitVersion"),
        ("/metrics", "apiserver_request_total"),
        ("/openid/v1/jwks", "keys"),
        ("/.well-known/openid-configuration", "issuer"),
        ("/openapi/v3", "apis/apps/v1"),
        ("/apis/apps/v1/deployments?limit=1", "DeploymentList"),
    ] {
        k.run(&format!("get --raw {path}")).ok().prints(says);
    }
    k.run("get nodes -o wide").ok().prints("INTERNAL-IP");
    k.run("get nodes --sort-by=.metadata.name -o custom-columns=N:.metadata.name")
        .ok()
        .prints("N\n");
    k.run("get leases -A --chunk-size=1").ok().prints("kube-node-lease");
    k.run("get pods --show-kind --ignore-not-found -L app --show-labels").ok();
    k.run("describe namespace default").ok().prints("Active");
    k.run("completion bash").ok().prints("kubectl");
    k.run("options").ok();
}

/// Every resource and all of its fields can be read about, those of metrics too.
fn explains_every_resource(fixture: &Fixture) {
    let k = Kubectl::new(fixture, "kubectl-explain");
    let resources = k.run("api-resources --no-headers").ok().out;
    assert!(resources.lines().count() > 60, "{resources}");
    // Other stories' resources come and go.
    for line in resources.lines().filter(|line| !line.contains("example")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, version) = (words[0], words[words.len() - 3]);
        let of = format!("explain {name} --api-version={version} --recursive");
        let text = k.run(&of).ok().out;
        assert!(text.contains("KIND:") && text.contains("FIELDS:"), "{of}: {text}");
        let described = text.split("DESCRIPTION:").nth(1).unwrap_or("").split("FIELDS:").next();
        let described = described.unwrap_or("").trim();
        assert!(described.len() > 10 && !described.contains("<empty>"), "{of}: {described}");
    }
    k.run("explain pods.spec.containers.livenessProbe.httpGet").ok().prints("-required-");
    k.run("explain deployments --output=plaintext-openapiv2").ok().prints("FIELDS:");
    k.run("explain nodes.usage --api-version=metrics.k8s.io/v1beta1").ok().prints("Quantity");
}

fn keeps_nodes(fixture: &Fixture) {
    let k = Kubectl::new(fixture, "kubectl-nodes");
    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: kubectl-story}\n";
    k.stdin("create -f -", node).ok();
    k.run("cordon kubectl-story").ok().prints("cordoned");
    k.run("uncordon kubectl-story").ok().prints("uncordoned");
    k.run("taint node kubectl-story key=value:NoSchedule").ok().prints("tainted");
    k.run("taint node kubectl-story key:NoSchedule-").ok().prints("untainted");
    k.run("drain kubectl-story --ignore-daemonsets").ok().prints("drained");
    k.is("node/kubectl-story", "{.spec.unschedulable}", "true");
    k.run("delete node kubectl-story").ok();
}

fn approves_and_reconciles(fixture: &Fixture) {
    let k = Kubectl::new(fixture, "kubectl-auth");
    // What it reconciles has to name its namespace.
    let role = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: r, namespace: kubectl-auth}
rules: [{apiGroups: [\"\"], resources: [pods], verbs: [get]}]
";
    k.stdin("auth reconcile -f -", role).ok().prints("reconciled");
    let more = role.replace("[get]", "[list]");
    k.stdin("auth reconcile -f -", &more).ok().prints("reconciled");
    k.is("role/r", "{.rules[*].verbs}", "[\"get\"] [\"list\"]");
    let csr = include_str!("../../node-image/api/src/validation/ordinary_objects.yaml");
    let csr = csr.split("\n---\n").find(|one| one.contains("kind: CertificateSigningRequest"));
    for (name, verb, condition) in [("yes", "approve", "Approved"), ("no", "deny", "Denied")] {
        let name = format!("kubectl-story-{name}");
        let one =
            csr.unwrap().replace("metadata: {name: csr}", &format!("metadata: {{name: {name}}}"));
        k.stdin("create -f -", &one).ok();
        k.run(&format!("certificate {verb} {name}")).ok();
        k.is(&format!("csr/{name}"), "{.status.conditions[0].type}", condition);
        k.run(&format!("delete csr {name}")).ok();
    }
}

fn debugs_and_exposes(fixture: &Fixture) {
    let k = Kubectl::new(fixture, "kubectl-debug");
    k.run("run web --image=kd-test/nginx:1 --port=80 --expose --labels=app=web").ok();
    k.run("wait --for=condition=Ready pod/web --timeout=60s").ok();
    k.run("wait --for=jsonpath={.status.phase}=Running pod/web").ok();
    k.run("debug web --image=kd-test/busybox:1 --container=look -- sleep 600").ok();
    let running = "{.status.ephemeralContainerStatuses[0].state.running.startedAt}";
    eventually("the debugging container's start", || {
        let got = k.with("get pod web -o", &[&format!("jsonpath={running}")]).ok();
        (!got.out.is_empty()).then_some(())
    });
    k.run("exec web -c look -- true").ok();
    proxied(&k);
    k.run("delete pod,service web --now").ok();
}

/// kubectl proxy, which leads a port of this machine to the API.
fn proxied(k: &Kubectl<'_>) {
    let mut proxy = k.fixture.kubectl_command(k.fixture.cluster());
    let proxy = proxy.args(["proxy", "--port=0"]).stdout(std::process::Stdio::piped());
    let mut proxy = proxy.spawn().unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(proxy.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let address = line.trim().rsplit(' ').next().unwrap();
    let path = format!("http://{address}/api/v1/namespaces/{}/services/web:80/proxy/", k.namespace);
    let got = run(k.fixture.command("curl").args(["-sf", "--max-time", "30", &path]), "");
    proxy.kill().unwrap();
    proxy.wait().unwrap();
    got.ok();
}
