//! An API server for tests of components, in memory: objects with resourceVersions, watches that can
//! be broken or lose their history, patches, subresources, discovery. No validation, no defaults, no
//! authorization: what components do is tested here, not what the server does.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use kd_api::kind::Kinds;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;

type BoxBody = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;
type Answer = Result<Value, (u16, &'static str, String)>;

/// The server; clones share it.
#[derive(Clone)]
pub struct FakeApi {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
}

struct State {
    kinds: Kinds,
    revision: u64,
    /// Revisions up to here are forgotten.
    compacted: u64,
    /// Raised to end all watches.
    generation: u64,
    objects: BTreeMap<Place, Value>,
    log: Vec<Entry>,
    /// Requests by method and path, watches apart.
    requests: Vec<String>,
    /// Writes by the last part of their path.
    endings: HashMap<String, usize>,
    /// Answers to give instead, by method and path.
    refusals: HashMap<String, (u16, String)>,
}

/// Group, plural, namespace, name.
type Place = (String, String, String, String);

struct Entry {
    revision: u64,
    place: Place,
    event: &'static str,
    object: Value,
}

/// What a path names.
struct Asked {
    place: Place,
    subresource: String,
    query: HashMap<String, String>,
}

impl Default for FakeApi {
    fn default() -> FakeApi {
        FakeApi::new()
    }
}

impl FakeApi {
    /// An empty server of the built-in kinds.
    pub fn new() -> FakeApi {
        let state = State {
            kinds: Kinds::built_in(),
            revision: 1,
            compacted: 0,
            generation: 0,
            objects: BTreeMap::new(),
            log: Vec::new(),
            requests: Vec::new(),
            endings: HashMap::new(),
            refusals: HashMap::new(),
        };
        let (changed, _) = watch::channel(1);
        FakeApi { state: Arc::new(Mutex::new(state)), changed }
    }

    /// A client of it.
    pub fn client(&self) -> kube::Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        kube::Client::new(service, "default")
    }

    /// Creates or replaces an object.
    pub fn put(&self, object: Value) {
        let mut state = self.lock();
        let place = state.place_of(&object);
        state.write(place, object);
        self.tell(state);
    }

    /// An object, or null.
    pub fn get(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Value {
        self.lock().objects.get(&place(group, plural, namespace, name)).cloned().unwrap_or_default()
    }

    /// All objects of a resource.
    pub fn list(&self, group: &str, plural: &str) -> Vec<Value> {
        let state = self.lock();
        let all = state.objects.iter().filter(|(p, _)| p.0 == group && p.1 == plural);
        all.map(|(_, object)| object.clone()).collect()
    }

    /// Deletes an object at once.
    pub fn delete(&self, group: &str, plural: &str, namespace: &str, name: &str) {
        let mut state = self.lock();
        state.remove(&place(group, plural, namespace, name));
        self.tell(state);
    }

    /// Ends all watches, as a restarting server does.
    pub fn break_watches(&self) {
        let mut state = self.lock();
        state.generation += 1;
        self.tell(state);
    }

    /// Forgets history: watches that resume from before now have to list again.
    pub fn compact(&self) {
        let mut state = self.lock();
        state.revision += 1;
        state.compacted = state.revision;
    }

    /// Answers requests of this `METHOD path` with an error from now on.
    pub fn refuse(&self, request: &str, code: u16, message: &str) {
        self.lock().refusals.insert(request.into(), (code, message.into()));
    }

    /// The writes so far, as `METHOD path`.
    pub fn writes(&self) -> Vec<String> {
        let state = self.lock();
        state.requests.iter().filter(|r| !r.starts_with("GET")).cloned().collect()
    }

    /// How many writes so far went to paths that end so.
    pub fn writes_of(&self, ending: &str) -> usize {
        self.lock().endings.get(ending).copied().unwrap_or(0)
    }

    /// Waits until a condition on the server's state holds; it is looked at after every write.
    pub async fn until(&self, holds: impl Fn(&FakeApi) -> bool) {
        let mut changes = self.changed.subscribe();
        while !holds(self) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn tell(&self, state: MutexGuard<'_, State>) {
        drop(state);
        self.changed.send_modify(|count| *count += 1);
    }

    async fn answer(&self, request: Request<Body>) -> Response<BoxBody> {
        let (head, body) = request.into_parts();
        let bytes = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
        let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or("").to_owned());
        let asked = self.lock().asked(&path, &query);
        if let Some(asked) = asked.as_ref().filter(|a| a.query.contains_key("watch")) {
            return self.watch(asked);
        }
        let mut state = self.lock();
        let name = format!("{} {path}", head.method);
        let refusal = state.refusals.get(&name).cloned();
        state.requests.push(name);
        if head.method != Method::GET
            && let Some(last) = path.rfind('/')
        {
            *state.endings.entry(path[last..].to_owned()).or_insert(0) += 1;
        }
        let content_type = head.headers.get(http::header::CONTENT_TYPE);
        let patch = content_type.and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        let answer = match (refusal, asked) {
            (Some((code, message)), _) => Err((code, "Forbidden", message)),
            (None, Some(asked)) => {
                let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                state.verb(&head.method, &asked, body, &patch)
            }
            (None, None) => state.discovery(&path),
        };
        self.tell(state);
        response(answer)
    }

    fn watch(&self, asked: &Asked) -> Response<BoxBody> {
        let state = self.lock();
        let from = asked.query.get("resourceVersion").and_then(|r| r.parse().ok()).unwrap_or(0);
        if from < state.compacted {
            return response(Err((410, "Expired", "too old resource version".into())));
        }
        let stream = Lines {
            api: self.clone(),
            changes: self.changed.subscribe(),
            from,
            generation: state.generation,
            place: asked.place.clone(),
        };
        let frames = stream.run().map(|line| Ok(http_body::Frame::data(line)));
        Response::new(StreamBody::new(frames).boxed_unsync())
    }
}

/// An open watch.
struct Lines {
    api: FakeApi,
    changes: watch::Receiver<u64>,
    from: u64,
    generation: u64,
    place: Place,
}

impl Lines {
    fn run(self) -> impl Stream<Item = Bytes> + Send {
        futures::stream::unfold(self, |mut lines| async move {
            loop {
                lines.changes.borrow_and_update();
                if lines.api.lock().generation != lines.generation {
                    return None;
                }
                if let Some(line) = lines.next_line() {
                    return Some((line, lines));
                }
                lines.changes.changed().await.ok()?;
            }
        })
    }

    fn next_line(&mut self) -> Option<Bytes> {
        let state = self.api.lock();
        let ours = |entry: &&Entry| {
            (&entry.place.0, &entry.place.1) == (&self.place.0, &self.place.1)
                && (self.place.2.is_empty() || entry.place.2 == self.place.2)
        };
        let next = state.log.partition_point(|entry| entry.revision <= self.from);
        let Some(entry) = state.log[next..].iter().find(ours) else {
            // What others wrote need not be looked at again.
            self.from = state.log.last().map_or(self.from, |last| last.revision.max(self.from));
            return None;
        };
        self.from = entry.revision;
        let line = json!({"type": entry.event, "object": entry.object});
        Some(Bytes::from(format!("{line}\n")))
    }
}

fn place(group: &str, plural: &str, namespace: &str, name: &str) -> Place {
    (group.into(), plural.into(), namespace.into(), name.into())
}

fn response(answer: Answer) -> Response<BoxBody> {
    let (code, body) = match answer {
        Ok(body) => (200, body),
        Err((code, reason, message)) => (
            code,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": message, "reason": reason, "code": code}),
        ),
    };
    let bytes = Bytes::from(body.to_string());
    let mut response = Response::new(http_body_util::Full::new(bytes).boxed_unsync());
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

impl State {
    fn asked(&self, path: &str, query: &str) -> Option<Asked> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, rest) = match parts.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, plural, more @ ..]
                if self.kinds.preferred(group, plural).is_some_and(|k| k.namespaced()) =>
            {
                (*namespace, [&[*plural], more].concat())
            }
            rest => ("", rest.to_vec()),
        };
        let plural = rest.first()?;
        let name = rest.get(1).copied().unwrap_or("");
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Some(Asked {
            place: place(group, plural, namespace, name),
            subresource: rest.get(2).copied().unwrap_or("").to_owned(),
            query: pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        })
    }

    fn place_of(&self, object: &Value) -> Place {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (api_version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let kind = self.kinds.by_api_version(&api_version, &kind);
        let (group, plural) = kind.map(|k| (k.group.clone(), k.plural.clone())).unwrap_or_default();
        let metadata = &object["metadata"];
        (group, plural, text(&metadata["namespace"]), text(&metadata["name"]))
    }

    fn verb(&mut self, method: &Method, asked: &Asked, body: Value, patch: &str) -> Answer {
        let named = !asked.place.3.is_empty();
        match (method.as_str(), named) {
            ("GET", false) => Ok(self.list(&asked.place)),
            ("GET", true) => self.existing(&asked.place),
            ("POST", false) => self.create(asked, body),
            ("POST", true) if asked.subresource == "binding" => self.bind(&asked.place, &body),
            ("PUT", true) => self.update(asked, body),
            ("PATCH", true) => {
                let before = self.existing(&asked.place)?;
                let mut after = before;
                merge(&mut after, body, patch.contains("strategic"));
                self.update(asked, after)
            }
            ("DELETE", true) => self.delete(&asked.place, &body),
            ("DELETE", false) => {
                for place in self.matching(&asked.place) {
                    self.delete(&place, &Value::Null)?;
                }
                Ok(json!({"kind": "Status", "status": "Success", "metadata": {}}))
            }
            _ => Err((405, "MethodNotAllowed", format!("{method} is not supported"))),
        }
    }

    fn matching(&self, wanted: &Place) -> Vec<Place> {
        let ours = |p: &&Place| {
            (&p.0, &p.1) == (&wanted.0, &wanted.1) && (wanted.2.is_empty() || p.2 == wanted.2)
        };
        self.objects.keys().filter(ours).cloned().collect()
    }

    fn list(&self, wanted: &Place) -> Value {
        let items: Vec<&Value> =
            self.matching(wanted).iter().filter_map(|p| self.objects.get(p)).collect();
        json!({"kind": "List", "apiVersion": "v1", "items": items,
            "metadata": {"resourceVersion": self.revision.to_string()}})
    }

    fn existing(&self, place: &Place) -> Answer {
        let missing = || (404, "NotFound", format!("{} {:?} not found", place.1, place.3));
        self.objects.get(place).cloned().ok_or_else(missing)
    }

    fn create(&mut self, asked: &Asked, mut body: Value) -> Answer {
        let mut place = asked.place.clone();
        if let Some(prefix) = body["metadata"]["generateName"].as_str() {
            body["metadata"]["name"] = json!(format!("{prefix}{:05}", self.revision));
        }
        place.3 = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if !place.2.is_empty() {
            body["metadata"]["namespace"] = json!(place.2);
        }
        if self.objects.contains_key(&place) {
            return Err((
                409,
                "AlreadyExists",
                format!("{} {:?} already exists", place.1, place.3),
            ));
        }
        Ok(self.write(place, body))
    }

    fn update(&mut self, asked: &Asked, body: Value) -> Answer {
        let before = self.existing(&asked.place)?;
        let based_on = body["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if !based_on.is_empty() && before["metadata"]["resourceVersion"] != based_on {
            return Err((409, "Conflict", "the object has been modified".into()));
        }
        let mut after = match asked.subresource.as_str() {
            "status" => {
                let mut after = before.clone();
                after["status"] = body["status"].clone();
                if let Some(annotations) = body["metadata"].get("annotations") {
                    after["metadata"]["annotations"] = annotations.clone();
                }
                after
            }
            _ => body,
        };
        after["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
        if after == before {
            return Ok(before);
        }
        let ends = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
        let deleting = after["metadata"]["deletionTimestamp"].is_string();
        if deleting && ends(&after["metadata"]["finalizers"]) && ends(&after["spec"]["finalizers"])
        {
            self.remove(&asked.place);
            return Ok(after);
        }
        Ok(self.write(asked.place.clone(), after))
    }

    fn bind(&mut self, place: &Place, body: &Value) -> Answer {
        let mut pod = self.existing(place)?;
        if pod["spec"]["nodeName"].is_string() {
            return Err((409, "Conflict", "the pod is already assigned".into()));
        }
        pod["spec"]["nodeName"] = body["target"]["name"].clone();
        self.write(place.clone(), pod);
        Ok(json!({"kind": "Status", "status": "Success", "metadata": {}}))
    }

    fn delete(&mut self, place: &Place, options: &Value) -> Answer {
        let mut object = self.existing(place)?;
        let wanted = &options["preconditions"]["uid"];
        if wanted.is_string() && *wanted != object["metadata"]["uid"] {
            return Err((409, "Conflict", "the UID in the precondition does not match".into()));
        }
        if options["propagationPolicy"] == "Foreground" {
            let finalizers = object["metadata"]["finalizers"].take();
            let mut all = finalizers.as_array().cloned().unwrap_or_default();
            all.push(json!("foregroundDeletion"));
            object["metadata"]["finalizers"] = json!(all);
        }
        let held = |list: &Value| list.as_array().is_some_and(|l| !l.is_empty());
        if held(&object["metadata"]["finalizers"]) || held(&object["spec"]["finalizers"]) {
            if object["metadata"]["deletionTimestamp"].is_null() {
                object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                return Ok(self.write(place.clone(), object));
            }
            return Ok(object);
        }
        self.remove(place);
        Ok(object)
    }

    fn write(&mut self, place: Place, mut object: Value) -> Value {
        self.revision += 1;
        let event = if self.objects.contains_key(&place) { "MODIFIED" } else { "ADDED" };
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = json!(self.revision.to_string());
        if metadata["uid"].is_null() {
            metadata["uid"] = json!(format!("uid-{}", self.revision));
            metadata["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        self.log.push(Entry {
            revision: self.revision,
            place: place.clone(),
            event,
            object: object.clone(),
        });
        self.objects.insert(place, object.clone());
        object
    }

    fn remove(&mut self, place: &Place) {
        let Some(mut object) = self.objects.remove(place) else { return };
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let (revision, place) = (self.revision, place.clone());
        self.log.push(Entry { revision, place, event: "DELETED", object });
    }

    fn discovery(&self, path: &str) -> Answer {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let version_of = |group: &str, version: &str| match group {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        };
        let (group, version) = match parts.as_slice() {
            ["apis"] => {
                let mut groups: Vec<(&str, Vec<Value>)> = Vec::new();
                for kind in self.kinds.iter().filter(|k| !k.group.is_empty()) {
                    let name = version_of(&kind.group, &kind.version);
                    let version = json!({"groupVersion": name, "version": kind.version});
                    match groups.iter_mut().find(|(group, _)| *group == kind.group) {
                        Some((_, versions)) if versions.contains(&version) => {}
                        Some((_, versions)) => versions.push(version),
                        None => groups.push((&kind.group, vec![version])),
                    }
                }
                let group = |(name, versions): (&str, Vec<Value>)| json!({"name": name, "preferredVersion": versions[0], "versions": versions});
                let groups: Vec<Value> = groups.into_iter().map(group).collect();
                return Ok(json!({"kind": "APIGroupList", "groups": groups}));
            }
            ["api", version] => ("", *version),
            ["apis", group, version] => (*group, *version),
            _ => return Err((404, "NotFound", "no such path".into())),
        };
        let resources: Vec<Value> = self
            .kinds
            .kinds_of(group, version)
            .map(|k| {
                json!({"name": k.plural, "kind": k.kind, "namespaced": k.namespaced(),
                    "verbs": k.verbs})
            })
            .collect();
        Ok(json!({"groupVersion": version_of(group, version), "resources": resources}))
    }
}

/// Merge patch; strategic ones merge lists of conditions by type and of owners by uid.
fn merge(into: &mut Value, from: Value, strategic: bool) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                if value.is_null() {
                    into.remove(&key);
                } else {
                    merge(into.entry(key).or_insert(Value::Null), value, strategic);
                }
            }
        }
        (Value::Array(into), Value::Array(from)) if strategic => {
            for item in from {
                let name = if item["uid"].is_string() { "uid" } else { "type" };
                let known = into.iter().position(|i| i[name].is_string() && i[name] == item[name]);
                match known {
                    Some(index) if item["$patch"] == "delete" => drop(into.remove(index)),
                    Some(index) => merge(&mut into[index], item, strategic),
                    None => into.push(item),
                }
            }
        }
        (into, from) => *into = from,
    }
}
