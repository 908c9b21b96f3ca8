//! What form a client wants an answer in, and what form its body is in.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use kd_api::Status;
use kd_api::decode::Encoding;
use kd_api::table::IncludeObject;

use crate::query::Query;

const PROTOBUF: &str = kd_api::protobuf::MEDIA_TYPE;

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
}

impl Wanted {
    /// The objects themselves, as JSON.
    pub(crate) const JSON: Wanted = Wanted { form: Form::Object, encoding: Encoding::Json };

    /// The `Content-Type` of the answer.
    pub(crate) fn content_type(self) -> &'static str {
        match self.encoding {
            Encoding::Json => "application/json",
            Encoding::Yaml => "application/yaml",
            Encoding::Protobuf => PROTOBUF,
        }
    }
}

/// The first form in `Accept` that can be had. Transformed forms are offered where `transformable`.
pub(crate) fn wanted(
    headers: &HeaderMap,
    query: &Query,
    transformable: bool,
) -> Result<Wanted, Status> {
    let accepted: Vec<&str> =
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let accepted = accepted.join(",");
    if accepted.trim().is_empty() {
        return Ok(Wanted::JSON);
    }
    for range in accepted.split(',') {
        if let Some(wanted) = offered(range.trim(), query, transformable)? {
            return Ok(wanted);
        }
    }
    Err(not_acceptable())
}

fn offered(range: &str, query: &Query, transformable: bool) -> Result<Option<Wanted>, Status> {
    let mut parts = range.split(';').map(str::trim);
    let encoding = match parts.next().unwrap_or("") {
        "application/json" | "application/*" | "*/*" | "*" => Encoding::Json,
        "application/yaml" => Encoding::Yaml,
        _ => return Ok(None),
    };
    let parameter = |name: &str| {
        parts.clone().find_map(|part| {
            let (key, value) = part.split_once('=')?;
            (key.trim() == name).then_some(value.trim())
        })
    };
    let form = match parameter("as") {
        None => Form::Object,
        Some(_) if !transformable => return Ok(None),
        Some(name) => {
            if parameter("g") != Some("meta.k8s.io") || parameter("v") != Some("v1") {
                return Ok(None);
            }
            match name {
                "Table" => Form::Table(include_object(query)?),
                "PartialObjectMetadata" | "PartialObjectMetadataList" => Form::Metadata,
                _ => return Ok(None),
            }
        }
    };
    Ok(Some(Wanted { form, encoding }))
}

fn include_object(query: &Query) -> Result<IncludeObject, Status> {
    let text = query.first("includeObject");
    IncludeObject::parse(text).ok_or_else(|| {
        Status::bad_request(format!(
            "includeObject: Invalid value: {text:?}: must be 'Metadata', 'Object', 'None', or empty"
        ))
    })
}

fn not_acceptable() -> Status {
    let message = "only the following media types are accepted: application/json, application/yaml";
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

    #[track_caller]
    fn check(accept: &str, expect: Result<Form, u16>) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        let got = wanted(&headers, &Query::default(), true);
        assert_eq!(got.map(|wanted| wanted.form).map_err(|status| status.code), expect);
    }

    #[test]
    fn accept() {
        check("", Ok(Form::Object));
        check("*/*", Ok(Form::Object));
        check("application/vnd.kubernetes.protobuf, application/json", Ok(Form::Object));
        check(
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            Ok(Form::Table(IncludeObject::Metadata)),
        );
        check(
            "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            Ok(Form::Object),
        );
        check(
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            Ok(Form::Metadata),
        );
        check("application/json;as=Other;g=meta.k8s.io;v=v1", Err(406));
        check("text/html", Err(406));
    }
}
