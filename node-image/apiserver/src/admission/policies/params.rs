//! The objects that a binding gives its policy as `params`.

use std::sync::Arc;

use kd_api::selector::Selector;
use kd_api::{Kind, Object};
use serde_json::Value;

use super::Resources;

impl Resources {
    fn param_kind(&self, (api_version, kind): &(String, String)) -> Option<Arc<Kind>> {
        (self.webhooks.kinds)().by_api_version(api_version, kind).cloned()
    }

    /// Whether the kind of a policy's parameters is served.
    pub(super) fn check_param_kind(&self, kind: Option<&(String, String)>) -> Result<(), String> {
        let Some(wanted) = kind.filter(|wanted| self.param_kind(wanted).is_none()) else {
            return Ok(());
        };
        let (api_version, kind) = wanted;
        Err(format!(
            "failed to find resource referenced by paramKind: '{api_version}, Kind={kind}'"
        ))
    }

    /// The parameters of a binding: one that is absent if none are wanted, none if none are found and
    /// that is allowed.
    ///
    /// # Errors
    /// In upstream's words, if they cannot be found.
    pub(super) fn params(
        &self,
        kind: Option<&(String, String)>,
        reference: &Value,
        namespace: &str,
    ) -> Result<Vec<Option<Arc<Value>>>, String> {
        let Some(kind) = kind.and_then(|wanted| self.param_kind(wanted)) else {
            return Ok(vec![None]);
        };
        if !reference.is_object() {
            return Ok(vec![None]);
        }
        let found = self.referenced(&kind, reference, namespace)?;
        if found.is_empty() && reference.str_at(&["parameterNotFoundAction"]) == "Deny" {
            return Err(
                "no params found for policy binding with `Deny` parameterNotFoundAction".into()
            );
        }
        Ok(found.into_iter().map(Some).collect())
    }

    fn referenced(
        &self,
        kind: &Arc<Kind>,
        reference: &Value,
        namespace: &str,
    ) -> Result<Vec<Arc<Value>>, String> {
        let given = reference.str_at(&["namespace"]);
        let namespace = match (kind.namespaced(), given) {
            (false, "") => "",
            (false, _) => {
                let why =
                    "paramRef.namespace must not be provided for a cluster-scoped `paramKind`";
                return Err(why.into());
            }
            (true, "") if namespace.is_empty() => {
                let why = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
                return Err(why.into());
            }
            (true, "") => namespace,
            (true, given) => given,
        };
        let kinds = (self.webhooks.kinds)();
        let stored = kinds.stored_form(kind);
        let name = reference.str_at(&["name"]);
        let found = match name.is_empty() {
            false => self
                .reader
                .get(&stored.group, &stored.plural, namespace, name)
                .into_iter()
                .collect(),
            true => {
                let selector = Selector::from_object(&reference["selector"])
                    .map_err(|error| error.to_string())?;
                let within = kind.namespaced().then_some(namespace);
                let all = self.reader.list(&stored.group, &stored.plural, within);
                all.into_iter().filter(|object| selector.matches_object(object)).collect()
            }
        };
        Ok(self.in_version(found, stored, kind))
    }

    fn in_version(&self, found: Vec<Arc<Value>>, stored: &Kind, wanted: &Kind) -> Vec<Arc<Value>> {
        if stored == wanted {
            return found;
        }
        let names = |kind: &Kind| (kind.group.clone(), kind.version.clone(), kind.kind.clone());
        let (from, to) = (names(stored), names(wanted));
        let convert = |object: Arc<Value>| {
            let (from, to) = ((&*from.0, &*from.1, &*from.2), (&*to.0, &*to.1, &*to.2));
            Arc::new(self.webhooks.converted(&object, from, to))
        };
        found.into_iter().map(convert).collect()
    }
}
