//! What form a client wants an answer in, and what form its body is in.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use kd_api::decode::Encoding;
use kd_api::table::IncludeObject;
use kd_api::{Kind, Status, protobuf};

use crate::query::Query;

const PROTOBUF: &str = protobuf::MEDIA_TYPE;

/// What an endpoint can write, in the order of preference for clients that take anything.
const ENCODINGS: [(Encoding, &str); 3] = [
    (Encoding::Json, "application/json"),
    (Encoding::Yaml, "application/yaml"),
    (Encoding::Protobuf, PROTOBUF),
];

/// The content of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The objects themselves.
    Object,
    /// A meta/v1 Table.
    Table(IncludeObject),
    /// PartialObjectMetadata, or a list of them.
    Metadata,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) form: Form,
    pub(crate) encoding: Encoding,
    /// With line breaks.
    pub(crate) pretty: bool,
}

impl Wanted {
    /// The objects themselves, as JSON.
    pub(crate) const JSON: Wanted =
        Wanted { form: Form::Object, encoding: Encoding::Json, pretty: false };

    /// The `Content-Type` of the answer.
    pub(crate) fn content_type(self) -> &'static str {
        let found = ENCODINGS.iter().find(|(encoding, _)| *encoding == self.encoding);
        found.map_or("application/json", |(_, name)| name)
    }

    /// The `Content-Type` of a watch.
    pub(crate) fn stream_type(self) -> &'static str {
        match self.encoding {
            Encoding::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
            _ => "application/json",
        }
    }
}

/// What an endpoint can answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Tables and metadata.
    transformed: bool,
    /// The objects themselves in protobuf.
    protobuf: bool,
    /// A stream of frames instead of one document.
    stream: bool,
}

impl Offer {
    /// A Status: everything can be told so.
    pub(crate) const STATUS: Offer = Offer { transformed: false, protobuf: true, stream: false };

    /// Objects of a kind.
    pub(crate) fn objects(kind: &Kind) -> Offer {
        let protobuf = protobuf::has_form(&kind.group, &kind.version, &kind.kind);
        Offer { transformed: true, protobuf, stream: false }
    }

    /// Changes of objects of a kind.
    pub(crate) fn changes(kind: &Kind) -> Offer {
        Offer { stream: true, ..Offer::objects(kind) }
    }

    /// One object that is no object of its path's kind, by its `apiVersion` and `kind`.
    pub(crate) fn other(api_version: &str, kind: &str) -> Offer {
        let (group, version) = kd_api::kind::split_api_version(api_version);
        let protobuf = protobuf::has_form(group, version, kind);
        Offer { transformed: false, protobuf, stream: false }
    }
}

/// What the client likes best of what is on offer. Upstream's rules: by `q`, wildcards last.
pub(crate) fn wanted(headers: &HeaderMap, query: &Query, offer: Offer) -> Result<Wanted, Status> {
    let pretty = is_pretty(headers, query);
    let accepted: Vec<&str> =
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let accepted = accepted.join(",");
    if accepted.trim().is_empty() {
        return Ok(Wanted { pretty, ..Wanted::JSON });
    }
    let mut ranges: Vec<Range> = accepted.split(',').filter_map(Range::parse).collect();
    ranges.sort_by(|a, b| b.quality.total_cmp(&a.quality).then(a.wildcards.cmp(&b.wildcards)));
    for range in &ranges {
        if let Some(wanted) = range.met_by(query, offer)? {
            return Ok(Wanted { pretty: wanted.pretty || pretty, ..wanted });
        }
    }
    Err(not_acceptable(offer))
}

/// Whether a person reads the answer.
fn is_pretty(headers: &HeaderMap, query: &Query) -> bool {
    let asked = query.first("pretty");
    if !asked.is_empty() {
        return matches!(asked, "1" | "t" | "T" | "true" | "True" | "TRUE");
    }
    let agent = headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok());
    let agent = agent.unwrap_or("");
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|program| agent.starts_with(program))
}

/// One of the ranges of `Accept`.
struct Range<'a> {
    media_type: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    quality: f32,
    wildcards: usize,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Range<'a>> {
        let mut parts = text.split(';').map(str::trim);
        let media_type = match parts.next()? {
            "*" => "*/*",
            name if name.contains('/') => name,
            _ => return None,
        };
        let parameters = parts.filter_map(|part| part.split_once('='));
        let parameters: Vec<_> = parameters.map(|(k, v)| (k.trim(), v.trim())).collect();
        let quality = parameters.iter().find(|(name, _)| *name == "q");
        let quality = quality.map_or(1.0, |(_, value)| value.parse().unwrap_or(0.0));
        let wildcards = media_type.matches('*').count();
        Some(Range { media_type, parameters, quality, wildcards })
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    fn takes(&self, media_type: &str) -> bool {
        matches!(self.media_type, "*/*" | "application/*") || self.media_type == media_type
    }

    /// The first of the offered encodings that is in this range.
    fn met_by(&self, query: &Query, offer: Offer) -> Result<Option<Wanted>, Status> {
        if self.parameter("stream").is_some_and(|schema| schema != "watch") {
            return Ok(None);
        }
        let pretty = self.parameter("pretty").is_some_and(|value| value != "0");
        for (encoding, media_type) in ENCODINGS {
            if !self.takes(media_type) || (offer.stream && encoding == Encoding::Yaml) {
                continue;
            }
            let Some(form) = self.form(query, offer, encoding)? else { continue };
            return Ok(Some(Wanted { form, encoding, pretty }));
        }
        Ok(None)
    }

    fn form(
        &self,
        query: &Query,
        offer: Offer,
        encoding: Encoding,
    ) -> Result<Option<Form>, Status> {
        let is_protobuf = encoding == Encoding::Protobuf;
        let Some(name) = self.parameter("as") else {
            return Ok((offer.protobuf || !is_protobuf).then_some(Form::Object));
        };
        let of_meta =
            self.parameter("g") == Some("meta.k8s.io") && self.parameter("v") == Some("v1");
        Ok(match name {
            _ if !offer.transformed || !of_meta => None,
            "Table" if !is_protobuf => Some(Form::Table(include_object(query)?)),
            "PartialObjectMetadata" | "PartialObjectMetadataList" => Some(Form::Metadata),
            _ => None,
        })
    }
}

fn include_object(query: &Query) -> Result<IncludeObject, Status> {
    let text = query.first("includeObject");
    IncludeObject::parse(text).ok_or_else(|| {
        Status::bad_request(format!(
            "includeObject: Invalid value: {text:?}: must be 'Metadata', 'Object', 'None', or empty"
        ))
    })
}

fn not_acceptable(offer: Offer) -> Status {
    let types = match offer.stream {
        true => {
            "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch".into()
        }
        false => ENCODINGS.map(|(_, name)| name).join(", "),
    };
    let message = format!("only the following media types are accepted: {types}");
    Status::failure(406, "NotAcceptable", message)
}

/// How the body is written.
pub(crate) fn body_encoding(headers: &HeaderMap) -> Result<Encoding, Status> {
    match media_type(headers) {
        "" | "application/json" | "*/*" => Ok(Encoding::Json),
        "application/yaml" => Ok(Encoding::Yaml),
        PROTOBUF => Ok(Encoding::Protobuf),
        _ => Err(unsupported_media_type(
            "application/json, application/yaml, application/vnd.kubernetes.protobuf",
        )),
    }
}

/// The body's `Content-Type` without parameters, or "".
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    value.split(';').next().unwrap_or("").trim()
}

/// 415.
pub(crate) fn unsupported_media_type(accepted: &str) -> Status {
    let message = format!(
        "the body of the request was in an unknown format - accepted media types include: {accepted}"
    );
    Status::failure(415, "UnsupportedMediaType", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kd_api::Kinds;

    /// For one pod: `json`, `yaml`, `protobuf`, with `as Table` or `as metadata`, or the code.
    #[track_caller]
    fn check(accept: &str, expect: &str) {
        check_offer(accept, Offer::objects(pod().as_ref()), expect);
    }

    fn pod() -> std::sync::Arc<Kind> {
        Kinds::built_in().get("", "v1", "pods").unwrap().clone()
    }

    #[track_caller]
    fn check_offer(accept: &str, offer: Offer, expect: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        let got = match wanted(&headers, &Query::default(), offer) {
            Err(status) => status.code.to_string(),
            Ok(wanted) => {
                let form = match wanted.form {
                    Form::Object => "",
                    Form::Table(_) => " as Table",
                    Form::Metadata => " as metadata",
                };
                let name = format!("{:?}", wanted.encoding).to_lowercase();
                name + form + if wanted.pretty { " pretty" } else { "" }
            }
        };
        assert_eq!(got, expect, "{accept}");
    }

    #[test]
    fn encodings() {
        check("", "json");
        check("*/*", "json");
        check("*", "json");
        check("application/*", "json");
        check("application/json;charset=utf-8", "json");
        check("application/json;pretty=1", "json pretty");
        check("application/yaml", "yaml");
        check("application/vnd.kubernetes.protobuf", "protobuf");
        check("application/vnd.kubernetes.protobuf,application/json", "protobuf");
        check("application/vnd.kubernetes.protobuf, */*", "protobuf");
        check("application/json, application/vnd.kubernetes.protobuf", "json");
        check("application/json;q=0.5, application/vnd.kubernetes.protobuf", "protobuf");
        check("*/*, application/yaml", "yaml");
        check("text/html, application/yaml;q=0.9, */*;q=0.8", "yaml");
        check("text/html", "406");
        check("application/json;stream=watch", "json");
        check("application/json;stream=other", "406");
    }

    #[test]
    fn transformed() {
        check(
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            "json as Table",
        );
        check("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", "json");
        check("application/yaml;as=Table;v=v1;g=meta.k8s.io", "yaml as Table");
        check("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io", "406");
        check(
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            "json as metadata",
        );
        check(
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
            "protobuf as metadata",
        );
        check("application/json;as=Other;g=meta.k8s.io;v=v1", "406");
    }

    #[test]
    fn offers() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        check_offer(table, Offer::STATUS, "406");
        check_offer(PROTOBUF, Offer::STATUS, "protobuf");
        let changes = Offer::changes(pod().as_ref());
        check_offer("application/yaml", changes, "406");
        check_offer("application/vnd.kubernetes.protobuf;stream=watch", changes, "protobuf");
        let custom = Kind { group: "example.com".into(), ..(*pod()).clone() };
        let custom = Offer::objects(&custom);
        check_offer(PROTOBUF, custom, "406");
        check_offer("application/vnd.kubernetes.protobuf,application/json", custom, "json");
        let metadata =
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        check_offer(metadata, custom, "protobuf as metadata");
    }

    #[test]
    fn people() {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::USER_AGENT, "curl/8.5.0".parse().unwrap());
        assert!(is_pretty(&headers, &Query::default()));
        assert!(!is_pretty(&headers, &Query::parse("pretty=false")));
        assert!(is_pretty(&HeaderMap::new(), &Query::parse("pretty=1")));
    }
}
