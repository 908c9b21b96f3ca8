//! HTTP probes and hooks: one GET, redirects to the same host followed, certificates not verified.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Look;
use super::target::Target;
use super::tcp;

const REDIRECTS_MAX: usize = 10;
const USER_AGENT: &str = "kube-probe/1.36";

/// Looks at a target: 200 to 399 is success.
pub async fn look(target: &Target, timeout: Duration) -> Look {
    let answer = tokio::time::timeout(timeout, follow(target.clone(), timeout)).await;
    match answer {
        Ok(Ok(Answer::Status(status))) if (200..400).contains(&status.as_u16()) => Look::Success,
        Ok(Ok(Answer::Status(status))) => {
            Look::Failure(format!("HTTP probe failed with statuscode: {}", status.as_u16()))
        }
        Ok(Ok(Answer::Elsewhere)) => {
            Look::Warning("Probe terminated redirects, Response body: ".into())
        }
        Ok(Err(error)) => Look::Failure(format!("Get {:?}: {error}", target.url())),
        Err(_) => Look::Failure(format!(
            "Get {:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            target.url()
        )),
    }
}

enum Answer {
    Status(StatusCode),
    /// A redirect to another host: not followed, counts as success.
    Elsewhere,
}

async fn follow(mut target: Target, timeout: Duration) -> Result<Answer, String> {
    for _ in 0..REDIRECTS_MAX {
        let response = get(&target, timeout).await?;
        let status = response.status();
        let location = response.headers().get(header::LOCATION);
        let Some(location) = location.filter(|_| is_redirect(status)) else {
            return Ok(Answer::Status(status));
        };
        let location = location.to_str().map_err(|error| error.to_string())?;
        match redirected(&target, location)? {
            Some(next) => target = next,
            None => return Ok(Answer::Elsewhere),
        }
    }
    Err(format!("stopped after {REDIRECTS_MAX} redirects"))
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The next target; `None` when it is on another host.
fn redirected(from: &Target, location: &str) -> Result<Option<Target>, String> {
    let uri: Uri = location.parse().map_err(|error| format!("Location {location:?}: {error}"))?;
    let mut next = from.clone();
    if let Some(host) = uri.host() {
        if host.trim_matches(['[', ']']) != from.host {
            return Ok(None);
        }
        next.tls = uri.scheme_str() == Some("https");
        next.port = uri.port_u16().unwrap_or(if next.tls { 443 } else { 80 });
    }
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    next.path = match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    };
    Ok(Some(next))
}

async fn get(target: &Target, timeout: Duration) -> Result<Response<Incoming>, String> {
    let stream = tcp::connect(&target.host, target.port, timeout).await?;
    if !target.tls {
        return send(stream, target).await;
    }
    let name = ServerName::try_from(target.host.clone()).map_err(|error| error.to_string())?;
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(&TRUSTING));
    let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
    send(stream, target).await
}

async fn send<S>(stream: S, target: &Target) -> Result<Response<Incoming>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    // Ends with the sender below.
    tokio::spawn(connection);
    let request = request(target)?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    Ok(response)
}

fn request(target: &Target) -> Result<Request<Empty<Bytes>>, String> {
    let mut request = Request::get(&target.path);
    let given = |name: &str| target.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    let defaults = [
        (header::HOST, target.authority()),
        (header::USER_AGENT, USER_AGENT.to_owned()),
        (header::ACCEPT, "*/*".to_owned()),
        (header::CONNECTION, "close".to_owned()),
    ];
    for (name, value) in defaults {
        if !given(name.as_str()) {
            request = request.header(name, value);
        }
    }
    for (name, value) in &target.headers {
        // An empty Accept or User-Agent means none.
        if !value.is_empty() {
            request = request.header(name, value);
        }
    }
    request.body(Empty::new()).map_err(|error| error.to_string())
}

/// Reads at most `bytes_max` of an answer's body; what hooks say when they fail.
pub async fn get_text(
    target: &Target,
    timeout: Duration,
    bytes_max: usize,
) -> Result<String, String> {
    let answer = tokio::time::timeout(timeout, async {
        let response = get(target, timeout).await?;
        let status = response.status();
        let body = http_body_util::Limited::new(response.into_body(), bytes_max);
        let text = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
        match status.as_u16() < 400 {
            true => Ok(String::from_utf8_lossy(&text).into_owned()),
            false => Err(format!("HTTP request returned error status {status}")),
        }
    });
    answer.await.unwrap_or_else(|_| Err("context deadline exceeded".into()))
}

static TRUSTING: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions");
    let verifier = Arc::new(TrustAll { schemes });
    Arc::new(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
});

/// Probes ask whether a server answers, not who it is; upstream verifies nothing either.
#[derive(Debug)]
struct TrustAll {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for TrustAll {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn check(answers: &[&str], expect: Look) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers: Vec<String> = answers.iter().map(|a| (*a).to_owned()).collect();
        let server = tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut seen = [0; 1024];
                let _ = stream.read(&mut seen).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let target = Target {
            tls: false,
            host: "127.0.0.1".into(),
            port,
            path: "/".into(),
            headers: Vec::new(),
        };
        assert_eq!(look(&target, Duration::from_secs(5)).await, expect);
        server.await.unwrap();
    }

    #[tokio::test]
    async fn statuses() {
        check(&["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], Look::Success).await;
        check(&["HTTP/1.1 399 X\r\nContent-Length: 0\r\n\r\n"], Look::Success).await;
        let failed = Look::Failure("HTTP probe failed with statuscode: 500".into());
        check(&["HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"], failed).await;
        let moved = "HTTP/1.1 302 X\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n";
        check(&[moved, "HTTP/1.1 204 X\r\n\r\n"], Look::Success).await;
        let elsewhere =
            "HTTP/1.1 302 X\r\nLocation: http://example.com/\r\nContent-Length: 0\r\n\r\n";
        let warning = Look::Warning("Probe terminated redirects, Response body: ".into());
        check(&[elsewhere], warning).await;
    }

    #[tokio::test]
    async fn nobody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let target = Target {
            tls: false,
            host: "127.0.0.1".into(),
            port,
            path: "/x".into(),
            headers: Vec::new(),
        };
        let expect = format!(
            "Get \"http://127.0.0.1:{port}/x\": dial tcp 127.0.0.1:{port}: connect: connection refused"
        );
        assert_eq!(look(&target, Duration::from_secs(1)).await, Look::Failure(expect));
    }
}
