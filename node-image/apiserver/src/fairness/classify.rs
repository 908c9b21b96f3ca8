//! FlowSchemas: to which flow and priority level a request belongs.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use http::HeaderValue;
use kd_api::Object;
use serde_json::Value;

use super::level::LevelConfiguration;
use crate::request::{RequestInfo, UserInfo};

pub(super) const GROUP: &str = "flowcontrol.apiserver.k8s.io";
pub(super) const SCHEMAS: &str = "flowschemas";
pub(super) const LEVELS: &str = "prioritylevelconfigurations";
const ANY: &str = "*";
const ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// A request's flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) names: Arc<Names>,
    /// Tells the flows of a schema apart.
    pub(super) hash: u64,
}

/// A schema and its level.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(super) schema: Arc<str>,
    pub(super) level: Arc<str>,
    /// What an answer says of them.
    pub(crate) schema_uid: Option<HeaderValue>,
    pub(crate) level_uid: Option<HeaderValue>,
    /// Nothing of the level waits.
    pub(crate) exempt: bool,
}

/// The schemas in the order in which they are asked.
pub(super) struct Table {
    pub(super) generations: Option<[u64; 2]>,
    schemas: Vec<Schema>,
    /// For what no schema matches; only where the mandatory ones are missing.
    fallback: Arc<Names>,
}

struct Schema {
    names: Arc<Names>,
    precedence: i64,
    rules: Vec<Rule>,
    by: Distinguisher,
}

/// Whom a rule is about, and which requests.
struct Rule {
    subjects: Vec<Subject>,
    resources: Vec<ResourceRule>,
    paths: Vec<PathRule>,
}

enum Subject {
    User(Words),
    Group(Words),
    Account { namespace: String, name: Words },
}

struct ResourceRule {
    verbs: Words,
    groups: Words,
    resources: Words,
    namespaces: Words,
    of_cluster: bool,
}

struct PathRule {
    verbs: Words,
    paths: Vec<String>,
}

/// Words of which one must be met; `*` is met by all.
struct Words {
    any: bool,
    words: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distinguisher {
    None,
    User,
    Namespace,
}

impl Table {
    pub(super) fn empty() -> Table {
        Table { generations: None, schemas: Vec::new(), fallback: Arc::default() }
    }

    /// From the stored objects, with how the levels are to be.
    pub(super) fn of(
        schemas: &[Arc<Value>],
        levels: &[Arc<Value>],
        seats: usize,
        generations: [u64; 2],
    ) -> (Table, Vec<LevelConfiguration>) {
        let configurations = LevelConfiguration::all(levels, seats);
        let mut read: Vec<Schema> = schemas
            .iter()
            .filter_map(|schema| {
                let wanted = schema.str_at(&["spec", "priorityLevelConfiguration", "name"]);
                let level = levels.iter().find(|level| level.name() == wanted)?;
                Some(Schema::of(schema, level))
            })
            .collect();
        read.sort_by(|a, b| (a.precedence, &a.names.schema).cmp(&(b.precedence, &b.names.schema)));
        let fallback = Arc::default();
        (Table { generations: Some(generations), schemas: read, fallback }, configurations)
    }

    pub(super) fn classify(&self, user: &UserInfo, info: &RequestInfo) -> Flow {
        let Some(schema) = self.schemas.iter().find(|schema| schema.matches(user, info)) else {
            return Flow { names: self.fallback.clone(), hash: 0 };
        };
        let distinguisher = match schema.by {
            Distinguisher::None => "",
            Distinguisher::User => &user.username,
            Distinguisher::Namespace => &info.namespace,
        };
        let mut hasher = DefaultHasher::new();
        (&schema.names.schema, distinguisher).hash(&mut hasher);
        Flow { names: schema.names.clone(), hash: hasher.finish() }
    }
}

impl Words {
    fn of(values: &[Value]) -> Words {
        let words = values.iter().filter_map(Value::as_str);
        let words: Vec<String> = words.map(str::to_owned).collect();
        Words { any: words.iter().any(|word| word == ANY), words }
    }

    fn one(word: &str) -> Words {
        Words { any: word == ANY, words: vec![word.to_owned()] }
    }

    fn has(&self, word: &str) -> bool {
        self.any || self.words.iter().any(|known| known == word)
    }
}

impl Schema {
    fn of(schema: &Value, level: &Value) -> Schema {
        let by = match schema.str_at(&["spec", "distinguisherMethod", "type"]) {
            "ByUser" => Distinguisher::User,
            "ByNamespace" => Distinguisher::Namespace,
            _ => Distinguisher::None,
        };
        let names = Names {
            schema: schema.name().into(),
            level: level.name().into(),
            schema_uid: HeaderValue::from_str(schema.uid()).ok(),
            level_uid: HeaderValue::from_str(level.uid()).ok(),
            exempt: level.str_at(&["spec", "type"]) == "Exempt",
        };
        Schema {
            names: Arc::new(names),
            precedence: schema.i64_at(&["spec", "matchingPrecedence"]).unwrap_or(1000),
            rules: schema.list_at(&["spec", "rules"]).iter().map(Rule::of).collect(),
            by,
        }
    }

    fn matches(&self, user: &UserInfo, info: &RequestInfo) -> bool {
        self.rules.iter().any(|rule| rule.matches(user, info))
    }
}

impl Rule {
    fn of(rule: &Value) -> Rule {
        let subjects = rule.list_at(&["subjects"]).iter();
        let resources = rule.list_at(&["resourceRules"]).iter();
        let paths = rule.list_at(&["nonResourceRules"]).iter();
        Rule {
            subjects: subjects.filter_map(Subject::of).collect(),
            resources: resources.map(ResourceRule::of).collect(),
            paths: paths.map(PathRule::of).collect(),
        }
    }

    fn matches(&self, user: &UserInfo, info: &RequestInfo) -> bool {
        self.subjects.iter().any(|subject| subject.is(user))
            && match info.is_resource {
                true => self.resources.iter().any(|rule| rule.covers(info)),
                false => self.paths.iter().any(|rule| rule.covers(info)),
            }
    }
}

impl Subject {
    fn of(subject: &Value) -> Option<Subject> {
        match subject.str_at(&["kind"]) {
            "User" => Some(Subject::User(Words::one(subject.str_at(&["user", "name"])))),
            "Group" => Some(Subject::Group(Words::one(subject.str_at(&["group", "name"])))),
            "ServiceAccount" => Some(Subject::Account {
                namespace: subject.str_at(&["serviceAccount", "namespace"]).to_owned(),
                name: Words::one(subject.str_at(&["serviceAccount", "name"])),
            }),
            _ => None,
        }
    }

    fn is(&self, user: &UserInfo) -> bool {
        match self {
            Subject::User(names) => names.has(&user.username),
            Subject::Group(names) => names.any || user.groups.iter().any(|group| names.has(group)),
            Subject::Account { namespace, name } => {
                let account = user.username.strip_prefix(ACCOUNT_PREFIX);
                let account = account.and_then(|account| account.split_once(':'));
                account.is_some_and(|(of, own)| of == namespace && name.has(own))
            }
        }
    }
}

impl ResourceRule {
    fn of(rule: &Value) -> ResourceRule {
        let words = |field: &str| Words::of(rule.list_at(&[field]));
        ResourceRule {
            verbs: words("verbs"),
            groups: words("apiGroups"),
            resources: words("resources"),
            namespaces: words("namespaces"),
            of_cluster: rule["clusterScope"] == true,
        }
    }

    fn covers(&self, info: &RequestInfo) -> bool {
        let covers_place = match info.namespace.as_str() {
            "" => self.of_cluster,
            namespace => self.namespaces.has(namespace),
        };
        covers_place
            && self.verbs.has(&info.verb)
            && self.groups.has(&info.group)
            && match info.subresource.as_str() {
                _ if self.resources.any => true,
                "" => self.resources.has(&info.resource),
                subresource => self.resources.has(&format!("{}/{subresource}", info.resource)),
            }
    }
}

impl PathRule {
    fn of(rule: &Value) -> PathRule {
        let Words { words: paths, .. } = Words::of(rule.list_at(&["nonResourceURLs"]));
        PathRule { verbs: Words::of(rule.list_at(&["verbs"])), paths }
    }

    fn covers(&self, info: &RequestInfo) -> bool {
        self.verbs.has(&info.verb)
            && self.paths.iter().any(|path| match path.strip_suffix('*') {
                Some(prefix) => info.path.starts_with(prefix),
                None => *path == info.path,
            })
    }
}
