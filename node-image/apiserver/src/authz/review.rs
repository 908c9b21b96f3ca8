//! The review resources of `authorization.k8s.io` and `authentication.k8s.io` SelfSubjectReview:
//! each takes the posted object and returns it with its status.

use kd_api::{FieldError, Object, Path, Status, object::format_time};
use serde_json::{Map, Value, json};

use super::UnionAuthorizer;
use crate::request::{Authorizer, Decision, RequestInfo, UserInfo};

const GROUP: &str = "authorization.k8s.io";

/// SubjectAccessReview.
pub async fn review_subject_access(
    authorizer: &dyn Authorizer,
    review: Value,
) -> Result<Value, Status> {
    decide_for_subject(authorizer, "SubjectAccessReview", review).await
}

/// LocalSubjectAccessReview: the review must be about its own namespace.
pub async fn review_local_subject_access(
    authorizer: &dyn Authorizer,
    namespace: &str,
    review: Value,
) -> Result<Value, Status> {
    let kind = "LocalSubjectAccessReview";
    let asked = review.str_at(&["spec", "resourceAttributes", "namespace"]);
    if asked != namespace {
        let message =
            format!("spec.resourceAttributes.namespace must match namespace: {namespace}");
        return Err(Status::bad_request(message));
    }
    if review.at(&["spec", "nonResourceAttributes"]).is_some_and(Value::is_object) {
        let field = Path::new("spec").child("nonResourceAttributes");
        let error = FieldError::invalid(
            field,
            review["spec"]["nonResourceAttributes"].clone(),
            "disallowed on this kind of request",
        );
        return Err(Status::invalid(GROUP, kind, "", &[error]));
    }
    decide_for_subject(authorizer, kind, review).await
}

/// SelfSubjectAccessReview: about the user who asks.
pub async fn review_self_subject_access(
    authorizer: &dyn Authorizer,
    user: &UserInfo,
    mut review: Value,
) -> Result<Value, Status> {
    let info = attributes_of(&review)
        .map_err(|errors| Status::invalid(GROUP, "SelfSubjectAccessReview", "", &errors))?;
    review["status"] = status(authorizer.authorize(user, &info).await);
    Ok(review)
}

/// SelfSubjectRulesReview: all rules of the user who asks in a namespace.
pub fn review_self_subject_rules(
    authorizer: &UnionAuthorizer,
    user: &UserInfo,
    mut review: Value,
) -> Result<Value, Status> {
    let namespace = review.str_at(&["spec", "namespace"]).to_owned();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let mut held = authorizer.rbac().rules_for(user, &namespace);
    held.errors.splice(..0, authorizer.unresolved(user));
    let (paths, resources): (Vec<_>, Vec<_>) =
        held.rules.iter().partition(|rule| !rule.non_resource_urls.is_empty());
    let list = |rules: Vec<&super::PolicyRule>| -> Vec<Value> {
        rules.iter().map(|rule| rule.to_value()).collect()
    };
    let mut status = json!({
        "resourceRules": list(resources),
        "nonResourceRules": list(paths),
        "incomplete": !held.errors.is_empty(),
    });
    if !held.errors.is_empty() {
        status["evaluationError"] = held.errors.join(", ").into();
    }
    review["status"] = status;
    Ok(review)
}

/// SelfSubjectReview: who the user who asks is.
pub fn review_self_subject(user: &UserInfo, now: jiff::Timestamp, mut review: Value) -> Value {
    review.set_at(&["metadata", "creationTimestamp"], format_time(now).into());
    review["status"] = json!({"userInfo": user_value(user)});
    review
}

/// UserInfo as reviews show it: empty fields are absent.
pub fn user_value(user: &UserInfo) -> Value {
    let mut value = Map::new();
    value.insert("username".into(), user.username.as_str().into());
    if !user.uid.is_empty() {
        value.insert("uid".into(), user.uid.as_str().into());
    }
    if !user.groups.is_empty() {
        value.insert("groups".into(), json!(user.groups));
    }
    if !user.extra.is_empty() {
        value.insert("extra".into(), json!(user.extra));
    }
    Value::Object(value)
}

/// What a webhook is asked of a request: a SubjectAccessReview's spec.
pub(super) fn spec_of(user: &UserInfo, info: &RequestInfo) -> Value {
    let mut spec = user_value(user);
    if let Some(fields) = spec.as_object_mut() {
        let name = fields.remove("username").unwrap_or_default();
        fields.insert("user".into(), name);
    }
    if !info.is_resource {
        spec["nonResourceAttributes"] = json!({"path": info.path, "verb": info.verb});
        return spec;
    }
    let mut attributes = json!({});
    for (field, text) in [
        ("verb", &info.verb),
        ("group", &info.group),
        ("version", &info.version),
        ("resource", &info.resource),
        ("subresource", &info.subresource),
        ("namespace", &info.namespace),
        ("name", &info.name),
    ] {
        if !text.is_empty() {
            attributes[field] = text.as_str().into();
        }
    }
    for (field, text) in
        [("fieldSelector", &info.field_selector), ("labelSelector", &info.label_selector)]
    {
        if let Some(requirements) = requirements(text) {
            attributes[field] = json!({"requirements": requirements});
        }
    }
    spec["resourceAttributes"] = attributes;
    spec
}

/// A selector of equalities, term by term; a webhook that is told less is asked for more.
fn requirements(selector: &str) -> Option<Vec<Value>> {
    let terms: Vec<&str> = selector.split(',').filter(|term| !term.is_empty()).collect();
    let requirement = |term: &&str| {
        let (key, operator, value) = match term.split_once("!=") {
            Some((key, value)) => (key, "NotIn", value),
            None => {
                let (key, value) = term.split_once('=')?;
                (key, "In", value.trim_start_matches('='))
            }
        };
        let is_plain = !key.contains(['(', ')', ' ']) && !value.contains(['(', ')', ' ']);
        is_plain.then(|| json!({"key": key, "operator": operator, "values": [value]}))
    };
    let requirements: Vec<Value> = terms.iter().map(requirement).collect::<Option<_>>()?;
    (!requirements.is_empty()).then_some(requirements)
}

async fn decide_for_subject(
    authorizer: &dyn Authorizer,
    kind: &str,
    mut review: Value,
) -> Result<Value, Status> {
    let user = subject(&review["spec"]);
    let info = attributes_of(&review);
    let mut errors = info.as_ref().err().cloned().unwrap_or_default();
    if user.username.is_empty() && user.groups.is_empty() {
        let why = "at least one of user or group must be specified";
        errors.push(FieldError::invalid(Path::new("spec").child("user"), "", why));
    }
    match info {
        Ok(info) if errors.is_empty() => {
            review["status"] = status(authorizer.authorize(&user, &info).await);
            Ok(review)
        }
        _ => Err(Status::invalid(GROUP, kind, "", &errors)),
    }
}

fn subject(spec: &Value) -> UserInfo {
    let strings = |list: &[Value]| -> Vec<String> {
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let extra = spec.map_at(&["extra"]).into_iter().flatten();
    UserInfo {
        username: spec.str_at(&["user"]).into(),
        uid: spec.str_at(&["uid"]).into(),
        groups: strings(spec.list_at(&["groups"])),
        extra: extra
            .map(|(key, values)| (key.to_lowercase(), strings(values.list_at(&[]))))
            .collect(),
    }
}

fn attributes_of(review: &Value) -> Result<RequestInfo, Vec<FieldError>> {
    let spec = &review["spec"];
    let resource = spec.get("resourceAttributes").filter(|value| value.is_object());
    let path = spec.get("nonResourceAttributes").filter(|value| value.is_object());
    match (resource, path) {
        (Some(resource), None) => Ok(resource_request(resource)),
        (None, Some(path)) => Ok(RequestInfo {
            path: path.str_at(&["path"]).into(),
            verb: path.str_at(&["verb"]).into(),
            ..RequestInfo::default()
        }),
        _ => {
            let why = match resource {
                Some(_) => "cannot be specified in combination with resourceAttributes",
                None => {
                    "exactly one of nonResourceAttributes or resourceAttributes must be specified"
                }
            };
            let field =
                if resource.is_some() { "nonResourceAttributes" } else { "resourceAttributes" };
            Err(vec![FieldError::invalid(Path::new("spec").child(field), Value::Null, why)])
        }
    }
}

fn resource_request(attributes: &Value) -> RequestInfo {
    let text = |field: &str| attributes.str_at(&[field]).to_owned();
    RequestInfo {
        is_resource: true,
        verb: text("verb"),
        group: text("group"),
        version: text("version"),
        resource: text("resource"),
        subresource: text("subresource"),
        namespace: text("namespace"),
        name: text("name"),
        field_selector: selector(attributes, "fieldSelector"),
        label_selector: selector(attributes, "labelSelector"),
        ..RequestInfo::default()
    }
}

/// A selector in the query form, from its raw form or from its requirements of one value.
fn selector(attributes: &Value, field: &str) -> String {
    let raw = attributes.str_at(&[field, "rawSelector"]);
    if !raw.is_empty() {
        return raw.to_owned();
    }
    let terms =
        attributes.list_at(&[field, "requirements"]).iter().filter_map(|requirement| {
            match (requirement.str_at(&["operator"]), requirement.list_at(&["values"])) {
                ("In", [one]) => {
                    Some(format!("{}={}", requirement.str_at(&["key"]), one.as_str().unwrap_or("")))
                }
                _ => None,
            }
        });
    terms.collect::<Vec<_>>().join(",")
}

fn status(decision: Decision) -> Value {
    let (mut status, reason) = match decision {
        Decision::Allow(reason) => (json!({"allowed": true}), reason),
        Decision::Deny(reason) => (json!({"allowed": false, "denied": true}), reason),
        Decision::NoOpinion(reason) => (json!({"allowed": false}), reason),
    };
    if !reason.is_empty() {
        status["reason"] = reason.into();
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeReader, user};

    #[tokio::test]
    async fn subject_access() {
        let authorizer = UnionAuthorizer::new(FakeReader::with([]));
        let check = async |spec: Value, expect: Value| {
            let got = match review_subject_access(&authorizer, json!({"spec": spec})).await {
                Ok(review) => review["status"].clone(),
                Err(status) => status.message.into(),
            };
            assert_eq!(got, expect);
        };
        let pods = || json!({"verb": "get", "resource": "pods"});
        check(json!({"user": "x", "resourceAttributes": pods()}), json!({"allowed": false})).await;
        check(
            json!({"groups": ["system:masters"], "resourceAttributes": pods()}),
            json!({"allowed": true}),
        )
        .await;
        check(
            json!({"resourceAttributes": pods()}),
            json!("SubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.user: Invalid value: \"\": at least one of user or group must be specified"),
        )
        .await;
    }

    #[test]
    fn rules_and_self() {
        let reader = FakeReader::with([]);
        for object in crate::authz::bootstrap_objects(reader.as_ref()) {
            reader.put(object);
        }
        let authorizer = UnionAuthorizer::new(reader);
        let who = user("x", &["system:authenticated"]);
        let review = json!({"spec": {"namespace": "default"}});
        let got = review_self_subject_rules(&authorizer, &who, review).unwrap();
        assert_eq!(got["status"]["resourceRules"].as_array().unwrap().len(), 2);
        assert_eq!(got["status"]["nonResourceRules"].as_array().unwrap().len(), 2);
        let got = review_self_subject(&who, jiff::Timestamp::UNIX_EPOCH, json!({}));
        assert_eq!(got["status"]["userInfo"]["groups"], json!(["system:authenticated"]));
    }
}
