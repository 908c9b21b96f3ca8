//! What the driver asks of a controller.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kd_client::{Change, Interest, Resource, View};
use serde_json::Value;

use crate::{Plan, Target};

/// A controller: a pure function from a snapshot to a plan, for one target at a time. `self` holds
/// configuration only.
pub trait Controller: Send + Sync {
    /// Its name in logs, and as the source of its events: `deployment-controller`.
    fn name(&self) -> &'static str;

    /// The user it acts as: the ServiceAccount in kube-system that upstream gives it.
    fn account(&self) -> &'static str {
        self.name()
    }

    /// The user name that it acts under.
    fn user(&self) -> String {
        format!("system:serviceaccount:kube-system:{}", self.account())
    }

    /// What it reads.
    fn interests(&self) -> Vec<Interest>;

    /// Whether it reads every resource that discovery lists, and so waits for all of them.
    fn reads_everything(&self) -> bool {
        false
    }

    /// The targets that a change concerns.
    fn targets(&self, view: &View, change: &Change) -> Vec<Target>;

    /// What to do about a target, given what is known and the time.
    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan;

    /// What to ask the API server for before deciding; `memory` is what the last plan remembered.
    /// For the few that decide on what no View holds.
    fn ask(&self, _view: &View, _target: &Target, _now: Timestamp, _memory: &Value) -> Ask {
        Ask::Nothing
    }

    /// What to do about a target, given the answers as well.
    fn decide(&self, view: &View, target: &Target, now: Timestamp, _answers: &Answers) -> Plan {
        self.reconcile(view, target, now)
    }

    /// What to do after a step of the plan failed, before the driver backs off.
    fn failed(&self, _view: &View, _target: &Target, _now: Timestamp, _failure: &Failure) -> Plan {
        Plan::nothing()
    }
}

/// What a controller has to know besides its View.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Nothing: it decides at once.
    Nothing,
    /// It does not want to decide before this time.
    Later(Timestamp),
    /// What the API server answers under these paths.
    Paths(Vec<String>),
    /// What these SubjectAccessReviews say.
    Access(Vec<Value>),
}

/// What the API server answered, and what was remembered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// By path: the answer, or why there is none.
    pub by_path: BTreeMap<String, Result<Value, String>>,
    /// Whether each access is allowed, in the order of the reviews, or why nobody knows.
    pub allowed: Vec<Result<bool, String>>,
    /// What the last plan for this target remembered; null after a restart.
    pub memory: Value,
}

impl Answers {
    /// The answer to a path.
    pub fn get(&self, path: &str) -> Result<&Value, &str> {
        match self.by_path.get(path) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(why)) => Err(why),
            None => Err("it was not asked for"),
        }
    }
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Of which resource the step was.
    pub resource: Resource,
    /// Whether it was a create.
    pub create: bool,
    /// The API server's sentence.
    pub message: String,
}

/// A change of a resource itself: its object is the target.
pub(crate) fn itself(resource: &Resource, change: &Change) -> Option<Target> {
    let object = change.object()?;
    change.resource.same(resource).then(|| Target::of(&change.resource, object))
}

/// A resource shared by targets.
pub(crate) fn shared(resource: &Resource) -> Arc<Resource> {
    Arc::new(resource.clone())
}
