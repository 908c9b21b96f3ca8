//! What a proxy changes in an answer: redirects and the links of web pages lead through the proxy
//! again, and permissions for pages of other origins are taken away.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::{DeflateDecoder, GzDecoder};
use flate2::write::{DeflateEncoder, GzEncoder};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION,
};
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, Limited};
use kd_api::Status;

use super::html;
use crate::answer::{Answer, full};

/// A page may not be longer, packed or not.
const PAGE_BYTES_MAX: usize = 16 << 20;

/// Where a page came from and under which path the client sees it.
pub(super) struct Links {
    /// `/api/v1/namespaces/default/services/web/proxy`
    pub(super) prefix: String,
    /// Names of the backend and of this server: links to them are links through the proxy.
    pub(super) hosts: Vec<String>,
}

impl Links {
    /// The answer as the client is to see it.
    pub(super) async fn through_proxy(&self, mut answer: Answer) -> Result<Answer, Status> {
        let headers = answer.headers_mut();
        for name in [
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            ACCESS_CONTROL_ALLOW_HEADERS,
            ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_ORIGIN,
        ] {
            headers.remove(name);
        }
        if let Some(location) = headers.get(LOCATION).and_then(|value| value.to_str().ok()) {
            let location = self.rewritten(location);
            if let Ok(location) = HeaderValue::from_str(&location) {
                headers.insert(LOCATION, location);
            }
            return Ok(answer);
        }
        match is_page(headers) {
            true => self.page(answer).await,
            false => Ok(answer),
        }
    }

    async fn page(&self, answer: Answer) -> Result<Answer, Status> {
        let Some(packing) = Packing::of(answer.headers()) else { return Ok(answer) };
        let (mut parts, body) = answer.into_parts();
        let body = Limited::new(body, PAGE_BYTES_MAX).collect().await;
        let body = body.map_err(|error| {
            Status::unavailable(format!("error trying to reach service: {error}"))
        })?;
        let packed = body.to_bytes();
        let page = packing.unpack(&packed).and_then(|page| {
            let page = html::with_links(&page, |link| self.rewritten(link));
            packing.pack(page)
        });
        // What cannot be read is passed on as it is.
        let page = page.unwrap_or(packed);
        parts.headers.remove(CONTENT_LENGTH);
        Ok(Answer::from_parts(parts, full(page)))
    }

    /// A link as it leads through the proxy, if it leads to what is behind.
    fn rewritten(&self, link: &str) -> String {
        let Some((host, rest)) = split(link) else { return link.to_owned() };
        let is_foreign = !host.is_empty() && !self.hosts.iter().any(|known| known == host);
        if is_foreign || !rest.starts_with('/') {
            return link.to_owned();
        }
        match rest.starts_with(&self.prefix) {
            true => rest.to_owned(),
            false => format!("{}{rest}", self.prefix),
        }
    }
}

/// The host of a link ("" for none) and what follows; `None` for other schemes.
fn split(link: &str) -> Option<(&str, &str)> {
    let bare = ["http://", "https://", "//"].iter().find_map(|scheme| link.strip_prefix(scheme));
    match bare {
        Some(bare) => {
            let end = bare.find(['/', '?', '#']).unwrap_or(bare.len());
            Some(bare.split_at(end))
        }
        None if link.starts_with('/') => Some(("", link)),
        None => None,
    }
}

fn is_page(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.unwrap_or("").split(';').next().unwrap_or("");
    media_type.trim().eq_ignore_ascii_case("text/html")
}

/// How a page is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Deflate,
}

impl Packing {
    /// `None` for what is not understood.
    fn of(headers: &HeaderMap) -> Option<Packing> {
        let encoding = headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes);
        match encoding.unwrap_or_default() {
            b"" | b"identity" => Some(Packing::Plain),
            b"gzip" => Some(Packing::Gzip),
            b"deflate" => Some(Packing::Deflate),
            _ => None,
        }
    }

    fn unpack(self, bytes: &[u8]) -> Option<String> {
        let mut page = Vec::new();
        let limit = PAGE_BYTES_MAX as u64;
        let read = match self {
            Packing::Plain => bytes.take(limit).read_to_end(&mut page),
            Packing::Gzip => GzDecoder::new(bytes).take(limit).read_to_end(&mut page),
            Packing::Deflate => DeflateDecoder::new(bytes).take(limit).read_to_end(&mut page),
        };
        read.ok()?;
        String::from_utf8(page).ok()
    }

    fn pack(self, page: String) -> Option<Bytes> {
        match self {
            Packing::Plain => Some(page.into()),
            Packing::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(page.as_bytes()).ok()?;
                encoder.finish().ok().map(Bytes::from)
            }
            Packing::Deflate => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(page.as_bytes()).ok()?;
                encoder.finish().ok().map(Bytes::from)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links() -> Links {
        Links { prefix: "/proxy".into(), hosts: vec!["10.0.0.1:80".into()] }
    }

    #[test]
    fn links_lead_through_the_proxy() {
        let check = |link: &str, expect: &str| assert_eq!(links().rewritten(link), expect);
        check("/a/b/?c=/d", "/proxy/a/b/?c=/d");
        check("/proxy/a", "/proxy/a");
        check("http://10.0.0.1:80/a", "/proxy/a");
        check("//10.0.0.1:80/a", "/proxy/a");
        check("https://example.com/a", "https://example.com/a");
        check("a/b", "a/b");
        check("#a", "#a");
        check("mailto:a@example.com", "mailto:a@example.com");
        check("http://10.0.0.1:80", "http://10.0.0.1:80");
    }

    #[tokio::test]
    async fn pages_and_redirects() {
        let check = async |headers: &[(&str, &str)], body: Bytes, expect: &[u8], location: &str| {
            let mut answer = Answer::new(full(body));
            for (name, value) in headers {
                let name = http::HeaderName::try_from(*name).unwrap();
                answer.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
            }
            let answer = links().through_proxy(answer).await.unwrap();
            assert!(!answer.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
            let found = answer.headers().get(LOCATION).map_or("", |value| value.to_str().unwrap());
            assert_eq!(found, location);
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), expect);
        };
        let page = Bytes::from("<a href=\"/x\">x</a>");
        let new = "<a href=\"/proxy/x\">x</a>";
        check(&[("content-type", "text/html; charset=utf-8")], page.clone(), new.as_bytes(), "")
            .await;
        check(&[("content-type", "text/plain")], page.clone(), &page, "").await;
        check(
            &[("content-type", "text/html"), ("content-encoding", "br")],
            page.clone(),
            &page,
            "",
        )
        .await;
        check(
            &[("location", "/login"), ("access-control-allow-origin", "*")],
            page.clone(),
            &page,
            "/proxy/login",
        )
        .await;
        let packed = Packing::Gzip.pack("<img src='/i.png'>".into()).unwrap();
        let expect = Packing::Gzip.pack("<img src='/proxy/i.png'>".into()).unwrap();
        check(&[("content-type", "text/html"), ("content-encoding", "gzip")], packed, &expect, "")
            .await;
    }
}
