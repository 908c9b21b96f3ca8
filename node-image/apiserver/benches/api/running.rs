//! A server in this process, and the certificates of who may ask it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kd_api::Kinds;
use kd_apiserver::{ApiServer, Config, ServerTls};
use kd_store::{Durability, HistoryLimits, SqliteStore, Store};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;

pub struct Running {
    pub address: SocketAddr,
    pub authority: CertificateDer<'static>,
    authority_pem: String,
    pub certificate: CertificateDer<'static>,
    certificate_pem: String,
    key: KeyPair,
}

impl Running {
    pub async fn start(directory: &Path) -> Running {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(params, authority_key);
        let issue = |names: &[&str], user: &str, group: &str| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut params = CertificateParams::new(names).unwrap();
            params.distinguished_name.push(DnType::CommonName, user);
            params.distinguished_name.push(DnType::OrganizationName, group);
            let key = KeyPair::generate().unwrap();
            (params.signed_by(&key, &issuer).unwrap(), key)
        };
        let (certificate, key) = issue(&["localhost", "127.0.0.1"], "kube-apiserver", "none");
        let tls = ServerTls {
            certificates: vec![certificate.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            client_authorities: vec![authority.der().clone()],
        };
        let token_key = KeyPair::generate().unwrap().serialize_pem();
        let config = Config::new(token_key, authority.pem(), "10.96.0.0/16".parse().unwrap());
        let began = Instant::now();
        let file = directory.join("store.db");
        let store = SqliteStore::open(&file, Durability::Process, HistoryLimits::default());
        let server = ApiServer::build(
            config,
            Arc::new(store.unwrap()) as Arc<dyn Store>,
            Kinds::built_in(),
            Arc::new(jiff::Timestamp::now),
            Arc::new(rand::random::<u128>),
        );
        let server = server.await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = Arc::new(tls.into_config().unwrap());
        println!("store and server made in {:.2?}", began.elapsed());
        tokio::spawn(server.serve(listener, tls, std::future::pending()));
        let (certificate, key) = issue(&[], "admin", "system:masters");
        Running {
            address,
            authority: authority.der().clone(),
            authority_pem: authority.pem(),
            certificate_pem: certificate.pem(),
            certificate: certificate.der().clone(),
            key,
        }
    }

    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }

    pub fn kubeconfig(&self) -> String {
        let data = |pem: &str| BASE64_STANDARD.encode(pem);
        serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "bench",
            "clusters": [{"name": "bench", "cluster": {
                "server": format!("https://{}", self.address),
                "certificate-authority-data": data(&self.authority_pem)}}],
            "users": [{"name": "bench", "user": {
                "client-certificate-data": data(&self.certificate_pem),
                "client-key-data": data(&self.key.serialize_pem())}}],
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        })
        .to_string()
    }
}
