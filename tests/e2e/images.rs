//! Images from the local engine, from archives, and from registries.

use crate::harness::{Fixture, Test, docker, eventually};

pub const TESTS: &[Test] = &[
    ("archive", archive),
    ("list", list),
    ("mirrors", mirrors),
    ("missing", missing),
    ("prune", prune),
    ("registry", registry),
];

fn archive(fixture: &Fixture) {
    let file = fixture.directory().join("busybox.tar");
    let file = file.to_str().unwrap();
    docker(&["tag", "kd-test/busybox:1", "kd-test/archived:1"]).ok();
    docker(&["save", "-o", file, "kd-test/archived:1"]).ok();
    docker(&["rmi", "kd-test/archived:1"]).ok();
    fixture.kd(&["image", "load", file, "--cluster", fixture.cluster()]).ok();
    let n = fixture.namespace("archive");
    let pod = ["run", "box", "--image=kd-test/archived:1", "--restart=Never", "--", "true"];
    fixture.kubectl(&[&["-n", &n][..], &pod].concat()).ok();
    let done = "--for=jsonpath={.status.phase}=Succeeded";
    fixture.kubectl(&["-n", &n, "wait", done, "pod/box", "--timeout=90s"]).ok();
    let broken = fixture.file("broken.tar", "this is no archive");
    let broken = broken.to_str().unwrap();
    let refused = fixture.kd(&["image", "load", broken, "--cluster", fixture.cluster()]);
    assert!(refused.code != Some(0) && refused.err.contains("archive"), "{refused:?}");
}

fn list(fixture: &Fixture) {
    fixture
        .kd(&["image", "list", "--cluster", fixture.cluster()])
        .ok()
        .prints("kd-test/busybox:1")
        .prints("kd-test/nginx:1");
}

fn missing(fixture: &Fixture) {
    let ran = fixture.kd(&["image", "load", "kd-test/none:1", "--cluster", fixture.cluster()]);
    assert!(ran.code != Some(0), "{ran:?}");
    ran.says("kd-test/none:1").says("docker pull");
}

/// A layer stays while the image of any cluster needs it, and goes when the cluster is gone.
fn prune(fixture: &Fixture) {
    const BYTES: usize = 3_000_000;
    fixture.cluster();
    let name = fixture.name("prune");
    let image = format!("kd-test/{name}:1");
    let file = fixture.directory().join("unique.tar");
    let mut content = vec![0; BYTES];
    let mut random = std::fs::File::open("/dev/urandom").unwrap();
    std::io::Read::read_exact(&mut random, &mut content).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_size(BYTES as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    let mut archive = tar::Builder::new(std::fs::File::create(&file).unwrap());
    archive.append_data(&mut header, "unique", &content[..]).unwrap();
    archive.into_inner().unwrap();
    docker(&["import", file.to_str().unwrap(), &image]).ok();
    fixture.kd(&["cluster", "create", &name]).ok();
    fixture.kd(&["image", "load", &image, "--cluster", &name]).ok();
    docker(&["rmi", &image]).ok();
    fixture.kd(&["image", "prune"]).ok().says("MB are free again");
    fixture.kd(&["cluster", "delete", &name]).ok();
    let pruned = fixture.kd(&["image", "prune"]).ok();
    let before = pruned.err.split(" MB are free").next();
    let freed = before.and_then(|text| text.split_whitespace().next_back());
    let freed: f64 = freed.and_then(|number| number.parse().ok()).unwrap_or_default();
    assert!(freed * 1e6 >= BYTES as f64 / 1.05, "{pruned:?}");
}

/// A registry server in a container on a cluster's network, removed with the test.
struct Registry(String);

impl Registry {
    fn start(cluster: &str, image: &str) -> Registry {
        let name = format!("{cluster}-registry");
        let network = format!("kd-{cluster}");
        docker(&["run", "-d", "--name", &name, "-p", "127.0.0.1::5000", image]).ok();
        let registry = Registry(name);
        let alias = format!("{}-alias", registry.0);
        docker(&["network", "connect", "--alias", &alias, &network, &registry.0]).ok();
        registry
    }

    /// Where the engine on this machine pushes to.
    fn local(&self) -> String {
        let port = docker(&["port", &self.0, "5000"]).ok().out;
        port.lines().next().unwrap().trim().to_owned()
    }

    /// Where nodes pull from.
    fn address(&self) -> String {
        format!("{}:5000", self.0)
    }

    fn push(&self, image: &str, name: &str) {
        let tag = format!("{}/{name}", self.local());
        docker(&["tag", image, &tag]).ok();
        eventually("the registry takes the image", || {
            (docker(&["push", "-q", &tag]).code == Some(0)).then_some(())
        });
        docker(&["rmi", &tag]).ok();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        docker(&["rm", "-fv", &self.0]);
    }
}

fn registry(fixture: &Fixture) {
    let name = fixture.name("registry");
    let address = format!("{name}-registry:5000");
    fixture.kd(&["cluster", "create", &name, "--insecure-registry", &address]).ok();
    let registry = Registry::start(&name, "kd-test/registry-auth:1");
    assert_eq!(registry.address(), address);
    eventually("the registry answers", || {
        let login = docker(&["login", "-u", "kd", "-p", "secret", &registry.local()]);
        (login.code == Some(0)).then_some(())
    });
    registry.push("kd-test/busybox:1", "box:1");
    // Another name: an image that is there already needs no password.
    registry.push("kd-test/busybox:1", "other:1");
    docker(&["logout", &registry.local()]).ok();

    let k = |arguments: &[&str]| fixture.kubectl_in(&name, arguments, "");
    for (secret, password) in [("good", "secret"), ("bad", "wrong")] {
        let server = format!("--docker-server={address}");
        let password = format!("--docker-password={password}");
        k(&[
            "create",
            "secret",
            "docker-registry",
            secret,
            &server,
            "--docker-username=kd",
            &password,
        ])
        .ok();
    }
    let run = |pod: &str, name: &str, secret: &str| {
        let image = format!("--image={address}/{name}");
        let overrides = format!(r#"{{"spec":{{"imagePullSecrets":[{{"name":"{secret}"}}]}}}}"#);
        let overrides = format!("--overrides={overrides}");
        k(&["run", pod, &image, "--restart=Never", &overrides, "--", "sleep", "100000"]).ok();
    };
    run("good", "box:1", "good");
    run("wrong-password", "other:1", "bad");
    run("missing-tag", "box:2", "good");
    k(&["wait", "--for=condition=Ready", "pod/good", "--timeout=90s"]).ok();
    for (pod, reason) in [("wrong-password", "authorization failed"), ("missing-tag", "not found")]
    {
        eventually("the pull backs off", || {
            k(&["get", "pod", pod]).out.contains("ImagePullBackOff").then_some(())
        });
        k(&["describe", "pod", pod]).ok().prints("ErrImagePull").prints(reason);
    }
    drop(registry);
    fixture.kd(&["cluster", "delete", &name]).ok();
}

/// Mirrors in k3s' form, in containerd's form (mounted, and changed while the cluster runs), and
/// credentials of `docker login`.
fn mirrors(fixture: &Fixture) {
    let name = fixture.name("mirrors");
    let address = format!("{name}-registry:5000");
    let config = format!(
        "mirrors:
  docker.io:
    endpoint: ['http://127.0.0.1:9', 'http://{address}']
    rewrite: {{'^library/(.*)': 'proxied/$1'}}
  'localhost:5001': {{endpoint: ['http://{address}']}}
configs:
  '{address}': {{auth: {{username: kd, password: secret}}}}
"
    );
    let config = fixture.file("registries.yaml", &config);
    let docker_folder = fixture.directory().join(".docker");
    std::fs::create_dir_all(&docker_folder).unwrap();
    // "kd:secret" in base 64.
    let logins = r#"{"auths":{"login.example":{"auth":"a2Q6c2VjcmV0"}}}"#;
    std::fs::write(docker_folder.join("config.json"), logins).unwrap();
    let hosts = fixture.directory().join("certs.d");
    std::fs::create_dir_all(&hosts).unwrap();
    let volume = format!("{}:/etc/containerd/certs.d", hosts.display());
    let create = ["cluster", "create", &name, "--registry-config", config.to_str().unwrap()];
    let more = ["--volume", &volume, "--registry-auth"];
    fixture
        .kd(&[&create[..], &more, &["absent.example"]].concat())
        .fails(2, "no credentials for absent.example");
    fixture.kd(&[&create[..], &more, &["login.example"]].concat()).ok();
    let registry = Registry::start(&name, "kd-test/registry-auth:1");
    eventually("the registry answers", || {
        let login = docker(&["login", "-u", "kd", "-p", "secret", &registry.local()]);
        (login.code == Some(0)).then_some(())
    });
    for pushed in ["proxied/kdbox:1", "app:1", "live:1"] {
        registry.push("kd-test/busybox:1", pushed);
    }
    docker(&["logout", &registry.local()]).ok();
    let run = |pod: &str, image: &str| {
        let image = format!("--image={image}");
        let arguments = ["run", pod, &image, "--restart=Never", "--", "sleep", "100000"];
        fixture.kubectl_in(&name, &arguments, "").ok();
    };
    let k = |arguments: &[&str]| fixture.kubectl_in(&name, arguments, "");
    run("hub", "kdbox:1");
    run("local", "localhost:5001/app:1");
    // The folder on the node is read at each pull. Under its other name the mirror has no account of
    // its own, so it gets the one of `docker login`.
    let live = hosts.join("login.example");
    std::fs::create_dir_all(&live).unwrap();
    let file = format!("[host.\"http://{name}-registry-alias:5000\"]\n");
    std::fs::write(live.join("hosts.toml"), file).unwrap();
    run("live", "login.example/live:1");
    run("missing", "other:1");
    for pod in ["hub", "local", "live"] {
        let pod = format!("pod/{pod}");
        k(&["wait", "--for=condition=Ready", &pod, "--timeout=90s"]).ok();
    }
    eventually("the error names every endpoint", || {
        let told = k(&["describe", "pod", "missing"]).out;
        let all = [
            "http://127.0.0.1:9/v2",
            &format!("http://{address}/v2: not found"),
            "registry-1.docker.io",
        ];
        all.iter().all(|part| told.contains(part)).then_some(())
    });
    drop(registry);
    fixture.kd(&["cluster", "delete", &name]).ok();
}
