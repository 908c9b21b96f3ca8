//! One kubeconfig as a tree. Only kd's own entries are touched; what others wrote stays as it is,
//! known to kd or not.

use serde_yaml::{Mapping, Value};

use crate::error::{Error, Result};

const CURRENT_CONTEXT: &str = "current-context";
/// The lists of a kubeconfig, and the key under which an entry of each has its content.
const LISTS: &[(&str, &str)] =
    &[("clusters", "cluster"), ("contexts", "context"), ("users", "user")];

/// The three entries of one cluster, all of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Entries {
    /// Name of the cluster, the context and the user.
    pub name: String,
    /// The cluster's content.
    pub cluster: Mapping,
    /// The context's content.
    pub context: Mapping,
    /// The user's content.
    pub user: Mapping,
}

/// A kubeconfig.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    root: Mapping,
}

/// Which of the three lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// `clusters`
    Clusters,
    /// `contexts`
    Contexts,
    /// `users`
    Users,
}

impl List {
    /// All lists.
    pub const ALL: [List; 3] = [List::Clusters, List::Contexts, List::Users];

    fn keys(self) -> (&'static str, &'static str) {
        LISTS[self as usize]
    }
}

impl Entries {
    /// A kubeconfig of these entries alone.
    pub fn document(&self) -> Document {
        let mut document = Document::empty();
        document.add(self, true);
        document
    }

    /// The content of the entry in a list.
    pub fn content(&self, list: List) -> &Mapping {
        match list {
            List::Clusters => &self.cluster,
            List::Contexts => &self.context,
            List::Users => &self.user,
        }
    }
}

impl Document {
    /// A kubeconfig without entries.
    pub fn empty() -> Document {
        let mut root = Mapping::new();
        root.insert("apiVersion".into(), "v1".into());
        root.insert("kind".into(), "Config".into());
        Document { root }
    }

    /// Adds a cluster's entries, or replaces them.
    pub fn add(&mut self, entries: &Entries, is_current: bool) {
        for list in List::ALL {
            self.set(list, &entries.name, entries.content(list));
        }
        if is_current {
            self.set_current_context(&entries.name);
        }
    }

    /// Reads a kubeconfig. The error says why it is none.
    pub fn parse(text: &str) -> std::result::Result<Document, String> {
        let root = match serde_yaml::from_str(text).map_err(|error| error.to_string())? {
            Value::Null => return Ok(Document::empty()),
            Value::Mapping(root) => root,
            _ => return Err("it is not a mapping".to_owned()),
        };
        for (list, _) in LISTS {
            match root.get(*list) {
                None | Some(Value::Null) => {}
                Some(Value::Sequence(entries)) if entries.iter().all(|e| name_of(e).is_some()) => {}
                Some(_) => return Err(format!("{list:?} is not a list of named entries")),
            }
        }
        match root.get(CURRENT_CONTEXT) {
            None | Some(Value::Null | Value::String(_)) => Ok(Document { root }),
            Some(_) => Err(format!("{CURRENT_CONTEXT:?} is not a string")),
        }
    }

    /// The file's text.
    pub fn to_text(&self) -> Result<String> {
        serde_yaml::to_string(&self.root)
            .map_err(|source| Error::failure("encode a kubeconfig").because(source))
    }

    /// The list has an entry of this name.
    pub fn has(&self, list: List, name: &str) -> bool {
        self.entries(list).iter().any(|entry| name_of(entry) == Some(name))
    }

    /// The content of an entry.
    #[cfg(test)]
    pub fn get(&self, list: List, name: &str) -> Option<&Value> {
        let entry = self.entries(list).iter().find(|entry| name_of(entry) == Some(name))?;
        entry.get(list.keys().1)
    }

    /// Adds an entry or replaces its content.
    pub fn set(&mut self, list: List, name: &str, content: &Mapping) {
        let (list_key, content_key) = list.keys();
        let content = Value::Mapping(content.clone());
        let slot = self.root.entry(list_key.into()).or_insert(Value::Null);
        if !slot.is_sequence() {
            *slot = Value::Sequence(Vec::new());
        }
        let Some(entries) = slot.as_sequence_mut() else { return };
        let present = entries.iter_mut().find(|entry| name_of(entry) == Some(name));
        if let Some(Value::Mapping(entry)) = present {
            entry.insert(content_key.into(), content);
            return;
        }
        let mut entry = Mapping::new();
        entry.insert(content_key.into(), content);
        entry.insert("name".into(), name.into());
        entries.push(Value::Mapping(entry));
    }

    /// Removes every entry of this name from a list. Tells whether there was one.
    pub fn remove(&mut self, list: List, name: &str) -> bool {
        let Some(Value::Sequence(entries)) = self.root.get_mut(list.keys().0) else { return false };
        let before = entries.len();
        entries.retain(|entry| name_of(entry) != Some(name));
        entries.len() != before
    }

    /// The current context, if one is set.
    pub fn current_context(&self) -> Option<&str> {
        self.root.get(CURRENT_CONTEXT)?.as_str().filter(|name| !name.is_empty())
    }

    /// Sets the current context.
    pub fn set_current_context(&mut self, name: &str) {
        self.root.insert(CURRENT_CONTEXT.into(), name.into());
    }

    /// Unsets the current context.
    pub fn clear_current_context(&mut self) {
        self.set_current_context("");
    }

    fn entries(&self, list: List) -> &[Value] {
        self.root.get(list.keys().0).and_then(Value::as_sequence).map_or(&[], Vec::as_slice)
    }
}

fn name_of(entry: &Value) -> Option<&str> {
    entry.get("name")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHERS: &str = "\
apiVersion: v1
kind: Config
clusters:
- cluster:
    server: https://192.0.2.1
    unknown-field: [1, 2]
  name: other
contexts: null
users:
- name: other
  user:
    exec: {command: login, args: [-x]}
current-context: other
extensions:
- name: theirs
  extension: {a: 1}
";

    fn entries() -> Entries {
        let content = |key: &str| Mapping::from_iter([(Value::from(key), Value::from("v"))]);
        Entries {
            name: "kd-x".to_owned(),
            cluster: content("server"),
            context: content("cluster"),
            user: content("token"),
        }
    }

    #[test]
    fn what_is_added_and_removed_leaves_the_rest() {
        let before = Document::parse(OTHERS).unwrap();
        let mut document = before.clone();
        for list in List::ALL {
            document.set(list, "kd-x", entries().content(list));
            document.set(list, "kd-x", entries().content(list));
            assert!(document.has(list, "kd-x"));
        }
        let text = document.to_text().unwrap();
        assert_eq!(text.matches("name: kd-x").count(), 3);
        let mut document = Document::parse(&text).unwrap();
        for list in List::ALL {
            assert!(document.remove(list, "kd-x"));
            assert!(!document.remove(list, "kd-x"));
        }
        assert_eq!(document.get(List::Clusters, "other"), before.get(List::Clusters, "other"));
        assert_eq!(document.get(List::Users, "other"), before.get(List::Users, "other"));
        assert_eq!(document.root.get("extensions"), before.root.get("extensions"));
        assert_eq!(document.current_context(), Some("other"));
    }

    #[test]
    fn an_entry_keeps_the_fields_beside_its_content() {
        let text = "users:\n- name: kd-x\n  user: {token: old}\n  extra: 1\n";
        let mut document = Document::parse(text).unwrap();
        document.set(List::Users, "kd-x", &entries().user);
        assert_eq!(
            document.to_text().unwrap(),
            "users:\n- name: kd-x\n  user:\n    token: v\n  extra: 1\n"
        );
    }

    #[test]
    fn what_is_no_kubeconfig() {
        let check = |text: &str, good: bool| {
            assert_eq!(Document::parse(text).is_ok(), good, "{text:?}");
        };
        check("", true);
        check("# nothing\n", true);
        check("{}", true);
        check(OTHERS, true);
        check("clusters: []\ncontexts:\n", true);
        check("just text", false);
        check("[1]", false);
        check("clusters: {a: b}", false);
        check("clusters: [{cluster: {}}]", false);
        check("clusters: [1]", false);
        check("current-context: [a]", false);
        check("a: b: c", false);
        check("a: [", false);
        check("\0", false);
    }

    #[test]
    fn a_document_of_its_own() {
        let document = entries().document();
        assert_eq!(document.current_context(), Some("kd-x"));
        assert_eq!(
            document.to_text().unwrap(),
            "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    server: v\n  name: kd-x\n\
             contexts:\n- context:\n    cluster: v\n  name: kd-x\nusers:\n- user:\n    token: v\n  \
             name: kd-x\ncurrent-context: kd-x\n"
        );
    }
}
