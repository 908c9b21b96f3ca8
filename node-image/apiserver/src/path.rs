//! From a request's method and URL to what is asked, as upstream reads them.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

use crate::query::Query;
use crate::request::RequestInfo;

/// Subresources of a namespace itself; anything else behind a namespace's name is a resource in it.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

/// Reads the path and the query of a request.
pub(crate) fn request_info(method: &Method, path: &str, query: &Query) -> RequestInfo {
    let mut info = RequestInfo { path: path.to_owned(), ..RequestInfo::default() };
    let decoded = |segment| percent_decode_str(segment).decode_utf8_lossy();
    let segments: Vec<Cow<'_, str>> = path.trim_matches('/').split('/').map(decoded).collect();
    let mut rest = match segments.as_slice() {
        [api, version, rest @ ..] if api == "api" && !rest.is_empty() => {
            info.version = version.to_string();
            rest
        }
        [apis, group, version, rest @ ..] if apis == "apis" && !rest.is_empty() => {
            info.group = group.to_string();
            info.version = version.to_string();
            rest
        }
        _ => {
            info.verb = method.as_str().to_lowercase();
            return info;
        }
    };
    info.is_resource = true;
    info.verb = verb(method).to_owned();
    let watch_path = rest.len() > 1 && rest[0] == "watch";
    if watch_path {
        rest = &rest[1..];
    }
    read_resource(&mut info, rest);
    info.field_selector = query.first("fieldSelector").to_owned();
    info.label_selector = query.first("labelSelector").to_owned();
    read_verb(&mut info, watch_path, query);
    info
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::GET | Method::HEAD => "get",
        _ => "",
    }
}

fn read_resource(info: &mut RequestInfo, mut rest: &[Cow<'_, str>]) {
    if rest[0] == "namespaces" && rest.len() > 1 {
        info.namespace = rest[1].to_string();
        let own = rest.len() == 2 || NAMESPACE_SUBRESOURCES.contains(&&*rest[2]);
        if !own {
            rest = &rest[2..];
        }
    }
    let part = |place: usize| rest.get(place).map(ToString::to_string).unwrap_or_default();
    info.resource = part(0);
    info.name = part(1);
    info.subresource = part(2);
    info.rest = rest.get(3..).unwrap_or_default().join("/");
    if !info.rest.is_empty() && info.path.ends_with('/') {
        info.rest.push('/');
    }
}

/// What GET and DELETE of a collection mean.
fn read_verb(info: &mut RequestInfo, watch_path: bool, query: &Query) {
    if info.verb == "get" && (watch_path || (info.name.is_empty() && query.flag("watch"))) {
        info.verb = "watch".into();
    } else if info.name.is_empty() && info.verb == "get" {
        info.verb = "list".into();
    } else if info.name.is_empty() && info.verb == "delete" {
        info.verb = "deletecollection".into();
    }
    // Watching one object by name is a watch of the collection, and is authorized by that name.
    if info.name.is_empty() && matches!(&*info.verb, "list" | "watch" | "deletecollection") {
        let terms: Vec<&str> = info.field_selector.split(',').collect();
        let named = terms.iter().find_map(|term| {
            let (field, value) = term.split_once('=')?;
            (field == "metadata.name").then(|| value.trim_start_matches('='))
        });
        if let Some(name) = named.filter(|name| !name.contains('/')) {
            info.name = name.to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(request: &str, expect: &str) {
        let (method, url) = request.split_once(' ').unwrap();
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let method: Method = method.parse().unwrap();
        let i = request_info(&method, path, &Query::parse(query));
        let got = match i.is_resource {
            true => format!(
                "{} {}/{}/{}/{} ns={} name={} rest={}",
                i.verb, i.group, i.version, i.resource, i.subresource, i.namespace, i.name, i.rest
            ),
            false => format!("{} {}", i.verb, i.path),
        };
        assert_eq!(got, expect);
    }

    #[test]
    fn paths() {
        check("GET /", "get /");
        check("GET /api/v1", "get /api/v1");
        check("GET /apis/apps/v1", "get /apis/apps/v1");
        check("GET /api/v1/pods", "list /v1/pods/ ns= name= rest=");
        check("GET /api/v1/pods?watch=1", "watch /v1/pods/ ns= name= rest=");
        check("GET /api/v1/watch/namespaces/a/pods", "watch /v1/pods/ ns=a name= rest=");
        check("GET /api/v1/namespaces/a", "get /v1/namespaces/ ns=a name=a rest=");
        check(
            "PUT /api/v1/namespaces/a/finalize",
            "update /v1/namespaces/finalize ns=a name=a rest=",
        );
        check("POST /api/v1/namespaces/a/pods", "create /v1/pods/ ns=a name= rest=");
        check("DELETE /api/v1/namespaces/a/pods", "deletecollection /v1/pods/ ns=a name= rest=");
        check(
            "GET /apis/apps/v1/namespaces/a/deployments/d/scale",
            "get apps/v1/deployments/scale ns=a name=d rest=",
        );
        check(
            "GET /api/v1/namespaces/a/pods/p:80/proxy/x/y/",
            "get /v1/pods/proxy ns=a name=p:80 rest=x/y/",
        );
        check(
            "GET /api/v1/pods?fieldSelector=metadata.name%3Dx",
            "list /v1/pods/ ns= name=x rest=",
        );
        check(
            "GET /apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
            "get rbac.authorization.k8s.io/v1/clusterroles/ ns= name=system:node rest=",
        );
    }
}
