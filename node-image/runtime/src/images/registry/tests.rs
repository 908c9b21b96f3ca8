//! Pulls from registries in this process: mirrors, credentials, tokens, certificates, broken
//! connections, damage.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::layer::digest_of;
use super::*;
use crate::{ImageConfig, ImageStore, Images};

/// A request: path with query, and headers by lower-case name.
#[derive(Clone, Debug)]
struct Asked {
    path: String,
    headers: HashMap<String, String>,
    body: String,
}

#[derive(Clone, Debug, Default)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Break off after so many bytes of the body.
    cut: Option<usize>,
}

impl Answer {
    fn ok(body: impl Into<Vec<u8>>) -> Answer {
        Answer { status: 200, body: body.into(), ..Answer::default() }
    }

    fn status(status: u16) -> Answer {
        Answer { status, ..Answer::default() }
    }

    fn challenge(challenge: String) -> Answer {
        Answer { status: 401, headers: vec![("www-authenticate", challenge)], ..Answer::default() }
    }
}

type Handler = dyn Fn(&Asked) -> Answer + Send + Sync;

/// A server that runs as long as the test's runtime.
struct Server {
    /// `127.0.0.1:PORT`.
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    async fn start(handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Server {
        Server::start_with(None, handler).await
    }

    async fn start_with(
        tls: Option<TlsAcceptor>,
        handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (handler, log): (Arc<Handler>, _) = (Arc::new(handler), asked.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (handler, log, tls) = (handler.clone(), log.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &*handler, &log).await,
                        Some(tls) => {
                            // Clients that do not trust the certificate leave here.
                            let Ok(stream) = tls.accept(stream).await else { return };
                            serve(stream, &*handler, &log).await;
                        }
                    }
                });
            }
        });
        Server { address, asked }
    }

    fn endpoint(&self, repository: &str) -> Endpoint {
        Endpoint {
            url: format!("http://{}/v2", self.address),
            repository: repository.to_owned(),
            ..Endpoint::default()
        }
    }

    fn paths(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|asked| asked.path.clone()).collect()
    }
}

/// One request a connection.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    handler: &Handler,
    log: &Mutex<Vec<Asked>>,
) {
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let path = lines[0].split(' ').nth(1).unwrap().to_owned();
    let header = |line: &String| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_lowercase(), value.trim().to_owned())
    };
    let headers: HashMap<String, String> = lines[1..].iter().map(header).collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let asked = Asked { path, headers, body: String::from_utf8(body).unwrap() };
    log.lock().unwrap().push(asked.clone());
    let answer = handler(&asked);
    let mut head = format!(
        "HTTP/1.1 {} X\r\ncontent-length: {}\r\nconnection: close\r\n",
        answer.status,
        answer.body.len()
    );
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let sent = &answer.body[..answer.cut.unwrap_or(answer.body.len())];
    let _ = stream.write_all(format!("{head}\r\n").as_bytes()).await;
    let _ = stream.write_all(sent).await;
    let _ = stream.shutdown().await;
}

/// An image of one layer: its parts by path below `/v2/REPOSITORY/`.
struct Parts {
    layer: Vec<u8>,
    layer_path: String,
    by_path: HashMap<String, Vec<u8>>,
}

fn image() -> Parts {
    let mut builder = tar::Builder::new(Vec::new());
    let content: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    // As the test's own user: it may not be root.
    header.set_uid(nix::unistd::getuid().as_raw().into());
    header.set_gid(nix::unistd::getgid().as_raw().into());
    builder.append_data(&mut header, "file", &content[..]).unwrap();
    let layer = builder.into_inner().unwrap();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        digest_of(&layer)
    );
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"digest":"{}","size":{}}},"layers":[{{"digest":"{}","size":{}}}]}}"#,
        digest_of(config.as_bytes()),
        config.len(),
        digest_of(&layer),
        layer.len()
    );
    let layer_path = format!("blobs/{}", digest_of(&layer));
    let by_path = HashMap::from([
        ("manifests/1".to_owned(), manifest.clone().into_bytes()),
        (format!("manifests/{}", digest_of(manifest.as_bytes())), manifest.into_bytes()),
        (format!("blobs/{}", digest_of(config.as_bytes())), config.into_bytes()),
        (layer_path.clone(), layer.clone()),
    ]);
    Parts { layer, layer_path, by_path }
}

/// A handler that has the image as a repository.
fn serving(repository: &str) -> impl Fn(&Asked) -> Answer + Send + Sync + 'static {
    let (prefix, parts) = (format!("/v2/{repository}/"), image());
    move |asked| {
        let path = asked.path.split('?').next().unwrap();
        let part = path.strip_prefix(&prefix).and_then(|path| parts.by_path.get(path));
        part.map_or(Answer::status(404), |bytes| Answer::ok(bytes.clone()))
    }
}

#[derive(Debug)]
struct These(Vec<Endpoint>);

impl Registries for These {
    fn endpoints(&self, _: &str, _: &str) -> std::result::Result<Vec<Endpoint>, String> {
        Ok(self.0.clone())
    }

    fn credentials(&self, _: &str, _: &str) -> Vec<RegistryAuth> {
        Vec::new()
    }
}

/// Pulls `r.example/team/app:1` into an empty store.
async fn pull(endpoints: Vec<Endpoint>, auth: &[RegistryAuth]) -> Result<crate::Image> {
    pull_named("r.example/team/app:1", endpoints, auth).await
}

async fn pull_named(
    name: &str,
    endpoints: Vec<Endpoint>,
    auth: &[RegistryAuth],
) -> Result<crate::Image> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let directory = tempfile::tempdir().unwrap();
    let store = ImageStore::open(ImageConfig {
        shared: directory.path().join("shared"),
        state: directory.path().join("state"),
        node: "node".to_owned(),
        owner: "node".to_owned(),
        registries: Arc::new(These(endpoints)),
    })
    .unwrap();
    store.pull(name, auth).await
}

fn user(name: &str, password: &str) -> RegistryAuth {
    RegistryAuth { username: name.into(), password: password.into(), ..RegistryAuth::default() }
}

#[tokio::test]
async fn mirrors_come_first_and_in_order() {
    let down = Endpoint { url: "http://127.0.0.1:1/v2".into(), ..Endpoint::default() };
    let empty = Server::start(|_| Answer::status(404)).await;
    let full = Server::start(serving("proxy/team/app")).await;
    let never = Server::start(serving("team/app")).await;
    let mirror = |server: &Server, repository: &str| Endpoint {
        mirror_of: Some("r.example".into()),
        headers: vec![("x-team".into(), "web".into())],
        ..server.endpoint(repository)
    };
    let endpoints = vec![
        down,
        mirror(&empty, "team/app"),
        mirror(&full, "proxy/team/app"),
        never.endpoint("team/app"),
    ];
    let image = pull(endpoints, &[]).await.unwrap();
    assert_eq!(image.repo_tags, ["r.example/team/app:1"]);
    assert!(image.repo_digests[0].starts_with("r.example/team/app@sha256:"), "{image:?}");
    assert_eq!(empty.paths(), ["/v2/team/app/manifests/1?ns=r.example"]);
    assert_eq!(full.paths().len(), 3);
    assert_eq!(full.asked.lock().unwrap()[0].headers["x-team"], "web");
    assert_eq!(never.paths(), [""; 0]);
}

#[tokio::test]
async fn a_mirror_of_content_is_not_asked_about_tags() {
    let content = Server::start(serving("team/app")).await;
    let registry = Server::start(serving("team/app")).await;
    let only = Endpoint { content_only: true, ..content.endpoint("team/app") };
    pull(vec![only, registry.endpoint("team/app")], &[]).await.unwrap();
    assert_eq!(content.paths(), [""; 0]);
    assert_eq!(registry.paths()[0], "/v2/team/app/manifests/1");
}

#[tokio::test]
async fn every_endpoint_is_in_the_error() {
    let empty = Server::start(|_| Answer::status(404)).await;
    let closed = Server::start(|_| Answer::status(503)).await;
    let endpoints = vec![closed.endpoint("team/app"), empty.endpoint("team/app")];
    let error = pull(endpoints, &[]).await.unwrap_err();
    assert!(matches!(error, Error::Image(ImageError::Unavailable { .. })), "{error}");
    for part in [&*closed.address, "503 Service Unavailable", &*empty.address, "not found"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    let error = pull(vec![empty.endpoint("team/app")], &[]).await.unwrap_err();
    assert!(matches!(error, Error::Image(ImageError::NotFound { .. })), "{error}");
    assert!(error.to_string().ends_with("r.example/team/app:1: not found"), "{error}");
}

#[tokio::test]
async fn credentials_are_tried_in_order() {
    let serve = serving("team/app");
    // "kd:secret" in base 64.
    let handler = move |asked: &Asked| match asked.headers.get("authorization") {
        Some(header) if header == "Basic a2Q6c2VjcmV0" => serve(asked),
        _ => Answer::challenge("Basic realm=\"r\"".to_owned()),
    };
    let server = Server::start(handler).await;
    let here = || vec![server.endpoint("team/app")];
    pull(here(), &[user("kd", "old"), user("kd", "secret")]).await.unwrap();
    for refused in [&[][..], &[user("kd", "wrong")]] {
        let error = pull(here(), refused).await.unwrap_err();
        assert!(matches!(error, Error::Image(ImageError::Unauthorized { .. })), "{error}");
        assert!(error.to_string().contains("pull access denied"), "{error}");
    }
    // A mirror's own account comes instead of the ones of pods.
    let own = Endpoint {
        mirror_of: Some("r.example".into()),
        auth: Some(user("kd", "secret")),
        ..server.endpoint("team/app")
    };
    server.asked.lock().unwrap().clear();
    pull(vec![own], &[user("pod", "private")]).await.unwrap();
    let leaked = server.asked.lock().unwrap().iter().any(|asked| {
        asked.headers.get("authorization").is_some_and(|header| header != "Basic a2Q6c2VjcmV0")
    });
    assert!(!leaked);
}

#[tokio::test]
async fn tokens_are_fetched_and_renewed() {
    let issued = Arc::new(Mutex::new(0));
    let counter = issued.clone();
    let tokens = Server::start(move |asked| {
        let known = asked.headers.get("authorization").is_some_and(|h| h == "Basic a2Q6c2VjcmV0");
        if !known && !asked.body.contains("refresh_token=mine") {
            return Answer::status(401);
        }
        let mut issued = counter.lock().unwrap();
        *issued += 1;
        Answer::ok(format!(r#"{{"token":"t{}"}}"#, *issued))
    })
    .await;
    let (serve, realm) = (serving("team/app"), tokens.address.clone());
    let latest = issued.clone();
    // Each token is good for one request.
    let used = Mutex::new(0);
    let server = Server::start(move |asked| {
        let wanted = format!("Bearer t{}", latest.lock().unwrap());
        let fresh = *latest.lock().unwrap() > *used.lock().unwrap();
        if fresh && asked.headers.get("authorization") == Some(&wanted) {
            *used.lock().unwrap() = *latest.lock().unwrap();
            return serve(asked);
        }
        Answer::challenge(format!("Bearer realm=\"http://{realm}/token\",service=\"r\""))
    })
    .await;
    let here = || vec![server.endpoint("team/app")];
    pull(here(), &[user("kd", "secret")]).await.unwrap();
    assert_eq!(*issued.lock().unwrap(), 3);
    let query = tokens.paths()[0].clone();
    assert_eq!(query, "/token?service=r&scope=repository%3Ateam%2Fapp%3Apull");
    let refresh = RegistryAuth { identity_token: "mine".into(), ..RegistryAuth::default() };
    pull(here(), &[refresh]).await.unwrap();
    let error = pull(here(), &[user("kd", "wrong")]).await.unwrap_err();
    assert!(matches!(error, Error::Image(ImageError::Unauthorized { .. })), "{error}");
}

fn certificates(name: &str) -> (String, TlsAcceptor) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(parameters, key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &authority).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key.into())
        .unwrap();
    (authority.pem(), TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn certificates_are_checked() {
    let (authority, acceptor) = certificates("127.0.0.1");
    let (stranger, _) = certificates("127.0.0.1");
    let server = Server::start_with(Some(acceptor), serving("team/app")).await;
    let url = format!("https://{}/v2", server.address);
    let with =
        |tls: EndpointTls| vec![Endpoint { url: url.clone(), tls, ..server.endpoint("team/app") }];
    let trusting =
        |pem: &str| EndpointTls { authorities: vec![pem.into()], ..EndpointTls::default() };
    pull(with(trusting(&authority)), &[]).await.unwrap();
    pull(with(EndpointTls { skip_verify: true, ..EndpointTls::default() }), &[]).await.unwrap();
    for wrong in [EndpointTls::default(), trusting(&stranger)] {
        let error = pull(with(wrong), &[]).await.unwrap_err().to_string();
        assert!(error.contains("certificate") && error.contains(&url), "{error}");
    }
    let error = pull(with(trusting("no PEM")), &[]).await.unwrap_err().to_string();
    assert!(error.contains("no PEM certificate"), "{error}");
}

#[tokio::test]
async fn broken_downloads_go_on() {
    for ranges in [true, false] {
        let (serve, parts) = (serving("team/app"), image());
        let count = Mutex::new(0);
        let server = Server::start(move |asked| {
            if !asked.path.ends_with(&parts.layer_path) {
                return serve(asked);
            }
            let range = asked.headers.get("range").filter(|_| ranges);
            let from: usize = range.map_or(0, |range| {
                range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap()
            });
            let mut count = count.lock().unwrap();
            *count += 1;
            let body = parts.layer[from..].to_vec();
            let cut = (*count < 3).then(|| (body.len() / 2).max(40_000 * *count));
            let status = if range.is_some() { 206 } else { 200 };
            Answer { status, cut, ..Answer::ok(body) }
        })
        .await;
        pull(vec![server.endpoint("team/app")], &[]).await.unwrap();
        let asked = server.asked.lock().unwrap();
        let layers = asked.iter().filter(|asked| asked.headers.contains_key("range"));
        assert_eq!(layers.count(), 2, "{ranges}");
    }
}

#[tokio::test]
async fn a_download_that_never_goes_on_ends() {
    let (serve, parts) = (serving("team/app"), image());
    let server = Server::start(move |asked| match asked.path.ends_with(&parts.layer_path) {
        true => Answer { cut: Some(0), ..Answer::ok(parts.layer.clone()) },
        false => serve(asked),
    })
    .await;
    let error = pull(vec![server.endpoint("team/app")], &[]).await.unwrap_err();
    assert!(matches!(error, Error::Image(ImageError::Unavailable { .. })), "{error}");
    assert!(error.to_string().contains("failed to copy the layer"), "{error}");
}

#[tokio::test]
async fn damage_is_told() {
    let digest = |bytes: &[u8]| digest_of(bytes);
    let parts = image();
    let damaged = |path: String, by: Vec<u8>| {
        let serve = serving("team/app");
        move |asked: &Asked| match asked.path.ends_with(&path) {
            true => Answer::ok(by.clone()),
            false => serve(asked),
        }
    };
    let mut other = parts.layer.clone();
    other[600] ^= 1;
    let server = Server::start(damaged(parts.layer_path.clone(), other)).await;
    let error = pull(vec![server.endpoint("team/app")], &[]).await.unwrap_err();
    assert!(matches!(error, Error::Image(ImageError::Content { .. })), "{error}");
    // A name with a digest is held to it.
    let manifest = &parts.by_path["manifests/1"];
    let name = format!("r.example/team/app@{}", digest(manifest));
    let honest = Server::start(serving("team/app")).await;
    let image = pull_named(&name, vec![honest.endpoint("team/app")], &[]).await.unwrap();
    assert!(image.repo_tags.is_empty(), "{image:?}");
    let lying = Server::start(damaged(format!("manifests/{}", digest(manifest)), b"{}".to_vec()));
    let error = pull_named(&name, vec![lying.await.endpoint("team/app")], &[]).await.unwrap_err();
    assert!(error.to_string().contains("the manifest that it sends"), "{error}");
}
