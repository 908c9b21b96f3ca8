//! Performs a plan's steps against the API server and tells what was written.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::StreamExt;
use jiff::Timestamp;
use kd_client::{Client, Error, Key, Occurrence, Recorder, Resource, Result, View, resources};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::controller::{Answers, Ask, Failure};
use crate::plan::{Action, CertificateOrder, Guard, Plan, Step};

/// The longest life that a TokenRequest may ask for.
const TOKEN_SECONDS_MAX: u64 = 1 << 32;
/// Steps of one stage under way at once.
const STEPS_AT_ONCE: usize = 16;

/// Signs with the key of the cluster's authority: a certificate as PEM, or why there is none.
pub type Signer =
    Arc<dyn Fn(&CertificateOrder) -> std::result::Result<String, String> + Send + Sync>;

/// What steps are performed with.
#[derive(Clone)]
pub struct Means {
    /// Writes as the controller.
    pub client: Client,
    /// Tells events.
    pub recorder: Recorder,
    /// None: nothing is signed.
    pub signer: Option<Signer>,
}

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What the View must show before the target is looked at again.
    pub written: Vec<Written>,
    /// Something changed under our feet: decide again.
    pub retry: bool,
    /// The first real failure.
    pub failure: Option<Failure>,
    /// What a plan that was made on the way says of the next one; None where it was known before.
    pub late: Option<Late>,
}

/// When to look again, and what to remember until then.
#[derive(Debug, Default)]
pub struct Late {
    /// At which time.
    pub again: Option<Timestamp>,
    /// What.
    pub remember: Option<Value>,
}

/// A write of ours.
#[derive(Debug)]
pub struct Written {
    resource: Resource,
    key: Key,
    what: What,
}

#[derive(Debug)]
enum What {
    Revision(u64),
    Deleted { uid: Option<String> },
    AllDeleted,
}

impl Written {
    /// Whether a View shows the write (or does not watch the resource).
    pub fn is_in(&self, view: &View) -> bool {
        if !view.has(&self.resource) {
            return true;
        }
        match &self.what {
            What::Revision(revision) => view.revision(&self.resource) >= *revision,
            What::AllDeleted => view
                .objects(&self.resource, Some(&self.key.namespace))
                .all(|object| object.metadata.is_deleting()),
            What::Deleted { uid } => match view.object(&self.resource, &self.key) {
                None => true,
                Some(object) => {
                    object.metadata.is_deleting()
                        || uid.as_ref().is_some_and(|uid| *uid != object.metadata.uid)
                }
            },
        }
    }
}

/// Performs a plan, stage by stage, up to the first stage that does not succeed.
pub async fn perform(means: &Means, plan: Plan) -> Outcome {
    let mut outcome = Outcome::default();
    for stage in plan.stages {
        let stage: Vec<Step> = stage.into_iter().map(|step| outcome.rebased(step)).collect();
        let steps = stage.into_iter().map(|step| run_step(means, step));
        let mut results = futures::stream::iter(steps).buffer_unordered(STEPS_AT_ONCE);
        while let Some(result) = results.next().await {
            outcome.absorb(result);
        }
        if outcome.retry || outcome.failure.is_some() {
            break;
        }
    }
    outcome
}

/// Asks what a controller wants to know.
pub async fn answers(client: &Client, ask: Ask, memory: Value) -> Answers {
    let mut answers = Answers { memory, ..Answers::default() };
    match ask {
        Ask::Nothing | Ask::Later(_) => {}
        Ask::Paths(paths) => {
            for path in paths {
                let read = client.read::<Value>(&path, "application/json").await;
                answers.by_path.insert(path, read.map_err(|error| error.message()));
            }
        }
        Ask::Access(reviews) => {
            for review in reviews {
                answers.allowed.push(allowed(client, &review).await);
            }
        }
    }
    answers
}

async fn allowed(client: &Client, review: &Value) -> std::result::Result<bool, String> {
    let resource = &resources::SUBJECT_ACCESS_REVIEWS;
    let posted = client.post(resource, "", "", "", review).await;
    let answer = posted.map_err(|error| error.message())?;
    let answer: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
    Ok(answer["status"]["allowed"] == true)
}

enum Ended {
    Wrote(Written),
    /// Nothing to do any more: the object is gone.
    Moot,
    Retry,
    Failed(Failure),
}

impl Outcome {
    /// A step that follows another one of its object is based on what that one wrote.
    fn rebased(&self, mut step: Step) -> Step {
        let of_object =
            |w: &&Written| step.follows && w.resource.same(&step.resource) && w.key == step.key;
        let revision = match self.written.iter().rev().find(of_object).map(|w| &w.what) {
            Some(What::Revision(revision)) => *revision,
            _ => return step,
        };
        if let Action::Patch(_, _, body) = &mut step.action {
            body["metadata"]["resourceVersion"] = json!(revision.to_string());
        }
        step
    }

    fn absorb(&mut self, ended: Ended) {
        match ended {
            Ended::Wrote(written) => self.written.push(written),
            Ended::Moot => {}
            Ended::Retry => self.retry = true,
            Ended::Failed(failure) => self.failure = self.failure.take().or(Some(failure)),
        }
    }
}

async fn run_step(means: &Means, step: Step) -> Ended {
    let Means { client, recorder, signer } = means;
    let Step { resource, key, action, guards, done, failed, .. } = step;
    for guard in &guards {
        match holds(client, guard).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::debug!(?guard, target = %key, "not yet");
                return Ended::Retry;
            }
            Err(error) => return failure(&resource, &action, &error),
        }
    }
    let now = Timestamp::now();
    let action = match signed(signer.as_ref(), action) {
        Ok(action) => action,
        Err(message) => {
            return Ended::Failed(Failure { resource, create: false, message });
        }
    };
    match write(client, &resource, &key, &action).await {
        Ok(written) => {
            let name = written.key.name.to_string();
            tell(recorder, done, &name, now);
            Ended::Wrote(written)
        }
        Err(error) if error.is_not_found() && !matches!(action, Action::Create(_)) => Ended::Moot,
        // The View will show it.
        Err(error) if error.is_conflict() || error.is_already_exists() => Ended::Retry,
        // Nothing can be created there any more, and nothing needs to be.
        Err(error) if error.is_namespace_terminating() => Ended::Moot,
        Err(error) => {
            tell(recorder, failed, &error.message(), now);
            failure(&resource, &action, &error)
        }
    }
}

/// A step that signs becomes the update that tells the certificate.
fn signed(signer: Option<&Signer>, action: Action) -> std::result::Result<Action, String> {
    let Action::Sign(mut request, order) = action else { return Ok(action) };
    let signer = signer.ok_or("there is no key to sign with")?;
    let failed = |why: String| format!("error auto signing csr: {why}");
    let certificate = signer(&order).map_err(failed)?;
    request["status"]["certificate"] = BASE64_STANDARD.encode(certificate).into();
    Ok(Action::Update("status", request))
}

fn tell(recorder: &Recorder, occurrence: Option<Occurrence>, detail: &str, now: Timestamp) {
    if let Some(mut occurrence) = occurrence {
        occurrence.message = occurrence.message.replace("{}", detail);
        recorder.record(occurrence, now);
    }
}

fn failure(resource: &Resource, action: &Action, error: &Error) -> Ended {
    let create = matches!(action, Action::Create(_));
    Ended::Failed(Failure { resource: resource.clone(), create, message: error.message() })
}

async fn holds(client: &Client, guard: &Guard) -> Result<bool> {
    match guard {
        Guard::Empty { resource, namespace } => match client.is_empty(resource, namespace).await {
            // Not served any more: nothing of it can be there.
            Err(error) if error.is_not_found() => Ok(true),
            answer => answer,
        },
        Guard::Absent { resource, key, uid } => {
            match client.get(resource, &key.namespace, &key.name).await {
                Ok(object) => Ok(!uid.is_empty() && object.metadata.uid != *uid),
                Err(error) if error.is_not_found() => Ok(true),
                Err(error) => Err(error),
            }
        }
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    status: TokenStatus,
}

#[derive(Deserialize)]
struct TokenStatus {
    token: String,
}

/// A Secret with a token that is good for as long as the Secret is there.
async fn with_token(client: &Client, account: &Key, key: &Key, secret: &Value) -> Result<Value> {
    let uid = &secret["metadata"]["uid"];
    let bound = json!({"apiVersion": "v1", "kind": "Secret", "name": &*key.name, "uid": uid});
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"boundObjectRef": bound, "expirationSeconds": TOKEN_SECONDS_MAX}});
    let accounts = &resources::SERVICE_ACCOUNTS;
    let answer = client.post(accounts, &key.namespace, &account.name, "token", &request).await?;
    let decoded = |source| Error::Decode { operation: format!("a token for {account}"), source };
    let answer: TokenAnswer = serde_json::from_slice(&answer).map_err(decoded)?;
    let token = answer.status.token;
    let mut secret = secret.clone();
    secret["data"]["token"] = json!(BASE64_STANDARD.encode(token));
    Ok(secret)
}

async fn write(
    client: &Client,
    resource: &Resource,
    key: &Key,
    action: &Action,
) -> Result<Written> {
    let (namespace, name) = (&*key.namespace, &*key.name);
    let object = match action {
        Action::Create(object) => client.create(resource, namespace, object).await?,
        Action::Update(subresource, object) => {
            client.update(resource, namespace, name, subresource, object).await?
        }
        Action::FillToken { account, secret } => {
            let secret = with_token(client, account, key, secret).await?;
            client.update(resource, namespace, name, "", &secret).await?
        }
        Action::Sign(request, _) => {
            client.update(resource, namespace, name, "status", request).await?
        }
        Action::Patch(subresource, kind, patch) => {
            client.patch(resource, namespace, name, subresource, *kind, patch).await?
        }
        Action::Delete(options) => {
            client.delete(resource, namespace, name, options).await?;
            let uid = options.preconditions.uid.clone();
            let what = What::Deleted { uid };
            return Ok(Written { resource: resource.clone(), key: key.clone(), what });
        }
        Action::DeleteCollection(options) => {
            client.delete_collection(resource, namespace, options).await?;
            let what = What::AllDeleted;
            return Ok(Written { resource: resource.clone(), key: key.clone(), what });
        }
    };
    let what = What::Revision(object.metadata.revision());
    Ok(Written { resource: resource.clone(), key: object.key(), what })
}
