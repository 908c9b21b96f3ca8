//! `Impersonate-*` headers: act as someone else, if each part of the other identity is allowed.

use http::HeaderMap;
use kd_api::Status;
use percent_encoding::percent_decode_str;

use super::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, add_group};
use crate::authz::forbidden;
use crate::request::{Authorizer, Decision, RequestInfo, UserInfo};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA_PREFIX: &str = "impersonate-extra-";
const AUTHENTICATION_GROUP: &str = "authentication.k8s.io";
const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// The user to act as, when the headers ask for one; 403 when `user` may not.
pub async fn impersonated(
    authorizer: &dyn Authorizer,
    user: &UserInfo,
    headers: &HeaderMap,
) -> Result<Option<UserInfo>, Status> {
    let Some(mut wanted) = asked(headers)? else { return Ok(None) };
    for info in demands(&wanted) {
        if let Decision::Deny(reason) | Decision::NoOpinion(reason) =
            authorizer.authorize(user, &info).await
        {
            return Err(forbidden(user, &info, &reason));
        }
    }
    complete_groups(&mut wanted);
    Ok(Some(wanted))
}

/// The identity in the headers, as given.
fn asked(headers: &HeaderMap) -> Result<Option<UserInfo>, Status> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let groups = headers.get_all(GROUP).iter().filter_map(|value| value.to_str().ok());
    let mut wanted = UserInfo {
        username: text(USER).to_owned(),
        uid: text(UID).to_owned(),
        groups: groups.map(str::to_owned).collect(),
        ..UserInfo::default()
    };
    for (name, value) in headers {
        if let (Some(key), Ok(value)) = (name.as_str().strip_prefix(EXTRA_PREFIX), value.to_str()) {
            let key = percent_decode_str(key).decode_utf8_lossy().to_lowercase();
            wanted.extra.entry(key).or_default().push(value.to_owned());
        }
    }
    if !wanted.username.is_empty() {
        return Ok(Some(wanted));
    }
    if wanted == UserInfo::default() {
        return Ok(None);
    }
    Err(Status::internal(
        "requested impersonation of groups, uid or extra without impersonating a user",
    ))
}

/// What the impersonator must be allowed to `impersonate`.
fn demands(wanted: &UserInfo) -> Vec<RequestInfo> {
    let demand = |group: &str, resource: &str, subresource: &str, name: &str| RequestInfo {
        is_resource: true,
        verb: "impersonate".into(),
        group: group.into(),
        version: "v1".into(),
        resource: resource.into(),
        subresource: subresource.into(),
        name: name.into(),
        ..RequestInfo::default()
    };
    let mut demands = vec![match service_account(&wanted.username) {
        Some((namespace, name)) => {
            RequestInfo { namespace: namespace.into(), ..demand("", "serviceaccounts", "", name) }
        }
        None => demand("", "users", "", &wanted.username),
    }];
    demands.extend(wanted.groups.iter().map(|group| demand("", "groups", "", group)));
    for (key, values) in &wanted.extra {
        let of_value = |value: &String| demand(AUTHENTICATION_GROUP, "userextras", key, value);
        demands.extend(values.iter().map(of_value));
    }
    if !wanted.uid.is_empty() {
        demands.push(demand(AUTHENTICATION_GROUP, "uids", "", &wanted.uid));
    }
    demands
}

fn complete_groups(wanted: &mut UserInfo) {
    if wanted.username == ANONYMOUS {
        return add_group(wanted, UNAUTHENTICATED);
    }
    if wanted.groups.is_empty()
        && let Some((namespace, _)) = service_account(&wanted.username)
    {
        let own = format!("system:serviceaccounts:{namespace}");
        wanted.groups = vec!["system:serviceaccounts".to_owned(), own];
    }
    if !wanted.groups.iter().any(|group| group == UNAUTHENTICATED) {
        add_group(wanted, AUTHENTICATED);
    }
}

fn service_account(username: &str) -> Option<(&str, &str)> {
    let (namespace, name) = username.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::UnionAuthorizer;
    use crate::testing::{FakeReader, user};
    use serde_json::json;

    async fn check(who: &UserInfo, headers: &[(&'static str, &'static str)], expect: &str) {
        let objects = json!([
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "i"},
             "rules": [{"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users", "serviceaccounts"]}]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "i"},
             "roleRef": {"kind": "ClusterRole", "name": "i"}, "subjects": [{"kind": "User", "name": "x"}]}]);
        let authorizer =
            UnionAuthorizer::new(FakeReader::with(objects.as_array().unwrap().clone()));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let got = match impersonated(&authorizer, who, &map).await {
            Ok(Some(user)) => format!("{} {:?}", user.username, user.groups),
            Ok(None) => "nobody".to_owned(),
            Err(status) => status.message,
        };
        assert_eq!(got, expect);
    }

    #[tokio::test]
    async fn headers() {
        let x = user("x", &[]);
        check(&x, &[], "nobody").await;
        check(&x, &[("Impersonate-User", "y")], r#"y ["system:authenticated"]"#).await;
        check(&x, &[("Impersonate-User", "system:serviceaccount:ns:sa")], r#"system:serviceaccount:ns:sa ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]"#).await;
        check(&x, &[("Impersonate-User", "y"), ("Impersonate-Group", "g")], r#"groups "g" is forbidden: User "x" cannot impersonate resource "groups" in API group "" at the cluster scope"#).await;
        check(&user("z", &[]), &[("Impersonate-User", "y")], r#"users "y" is forbidden: User "z" cannot impersonate resource "users" in API group "" at the cluster scope"#).await;
        let root = user("root", &["system:masters"]);
        check(
            &root,
            &[("Impersonate-User", "system:anonymous"), ("Impersonate-Extra-Acme%2fa", "1")],
            r#"system:anonymous ["system:unauthenticated"]"#,
        )
        .await;
        check(&root, &[("Impersonate-Group", "g")], "Internal error occurred: requested impersonation of groups, uid or extra without impersonating a user").await;
    }
}
