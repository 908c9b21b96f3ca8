//! Which devices a pod's containers get, decided when it is let in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::checkpoint::Allocation;
use super::{Devices, Endpoint};
use crate::grpc::{Fields, Message, Status, call};
use crate::pod::{Member, PodExt, Role};
use crate::quantity::whole;

/// How long a plugin may take for one call.
const CALL_MAX: Duration = Duration::from_secs(60);

/// Why a pod does not get its devices.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllocateError {
    /// There are too few.
    #[error(
        "requested number of devices unavailable for {resource}. Requested: {requested}, \
         Available: {available}"
    )]
    TooFew {
        /// Of what.
        resource: String,
        /// How many.
        requested: usize,
        /// How many there are.
        available: usize,
    },
    /// The plugin is not there.
    #[error("endpoint not found in cache for a registered resource: {0}")]
    NoPlugin(String),
    /// There is none that could be used.
    #[error("no healthy devices present; cannot allocate unhealthy devices {0}")]
    NoneHealthy(String),
    /// The plugin refused.
    #[error("{0}")]
    Refused(#[from] Status),
}

/// What a container may choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Choice {
    /// It has these already.
    must: Vec<String>,
    /// It may have these.
    available: Vec<String>,
    /// So many in all.
    size: usize,
}

impl Choice {
    /// What it gets when the plugin has no wishes.
    fn plain(&self) -> BTreeSet<String> {
        let others = self.available.iter().filter(|id| !self.must.contains(id));
        self.must.iter().chain(others).take(self.size).cloned().collect()
    }
}

/// What is left for a container: devices of earlier init containers of its pod first.
fn choice(
    resource: &str,
    size: usize,
    healthy: &BTreeSet<String>,
    taken: &BTreeSet<String>,
    reusable: &BTreeSet<String>,
) -> Result<Choice, AllocateError> {
    if healthy.is_empty() {
        return Err(AllocateError::NoneHealthy(resource.to_owned()));
    }
    let must: Vec<String> = healthy.intersection(reusable).take(size).cloned().collect();
    let free = healthy.difference(taken).filter(|id| !must.contains(id)).cloned();
    let available: Vec<String> = must.iter().cloned().chain(free).collect();
    if available.len() < size {
        let (resource, available) = (resource.to_owned(), available.len());
        return Err(AllocateError::TooFew { resource, requested: size, available });
    }
    Ok(Choice { must, available, size })
}

/// The extended resources that a container has limits for.
fn asked(member: &Member<'_>) -> Vec<(String, usize)> {
    let limits = member.container.resources.as_ref().and_then(|all| all.limits.as_ref());
    let extended = limits.into_iter().flatten().filter(|(name, _)| name.contains('/'));
    let counts = extended.map(|(name, count)| (name.clone(), whole(count)));
    counts
        .filter_map(|(name, n)| Some((name, usize::try_from(n).ok().filter(|n| *n > 0)?)))
        .collect()
}

impl Devices {
    /// Gives a pod's containers their devices. What they have from before they keep.
    pub async fn allocate(&self, pod: &Pod) -> Result<(), AllocateError> {
        let members = pod.members();
        let wants =
            |member: &&Member<'_>| member.role != Role::Ephemeral && !asked(member).is_empty();
        let members: Vec<&Member<'_>> = members.iter().filter(wants).collect();
        if members.is_empty() {
            return Ok(());
        }
        let _alone = self.allocating.lock().await;
        // Devices of init containers that end are there again for those after them.
        let mut reusable: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for member in members {
            for (resource, size) in asked(member) {
                let free = reusable.entry(resource.clone()).or_default();
                let Some(given) = self.give(pod, member, &resource, size, free).await? else {
                    continue;
                };
                match member.role {
                    Role::Init => free.extend(given),
                    _ => free.retain(|id| !given.contains(id)),
                }
            }
        }
        self.save(&self.state());
        Ok(())
    }

    /// None when the resource is nobody's here.
    async fn give(
        &self,
        pod: &Pod,
        member: &Member<'_>,
        resource: &str,
        size: usize,
        reusable: &BTreeSet<String>,
    ) -> Result<Option<BTreeSet<String>>, AllocateError> {
        let Some((endpoint, choice)) = self.offered(pod, member, resource, size, reusable)? else {
            return Ok(self.has(pod, member, resource));
        };
        let chosen = match endpoint.options.preferred_allocation {
            true => preferred(&endpoint, &choice).await?,
            false => choice.plain(),
        };
        let container = Message::new().texts(1, &chosen);
        let request = Message::new().message(1, &container);
        let method = "/v1beta1.DevicePlugin/Allocate";
        let answer = call(&endpoint.socket, method, &request, CALL_MAX).await?;
        let response = answer.messages(1).map_err(Status::from)?.into_iter().next();
        self.state().allocations.push(Allocation {
            pod: pod.uid().to_owned(),
            container: member.name().to_owned(),
            resource: resource.to_owned(),
            devices: chosen.clone(),
            response: response.map(|fields| fields.encoded().clone()).unwrap_or_default(),
        });
        Ok(Some(chosen))
    }

    fn has(&self, pod: &Pod, member: &Member<'_>, resource: &str) -> Option<BTreeSet<String>> {
        let state = self.state();
        let ours = state.allocations.iter().find(|given| {
            given.pod == pod.uid() && given.container == member.name() && given.resource == resource
        });
        ours.map(|given| given.devices.clone())
    }

    /// None when there is nothing to choose: the container has its devices, or the resource is
    /// nobody's here.
    fn offered(
        &self,
        pod: &Pod,
        member: &Member<'_>,
        resource: &str,
        size: usize,
        reusable: &BTreeSet<String>,
    ) -> Result<Option<(Endpoint, Choice)>, AllocateError> {
        if self.has(pod, member, resource).is_some() {
            return Ok(None);
        }
        let state = self.state();
        let Some(offer) = state.offers.get(resource) else { return Ok(None) };
        let of_resource = state.allocations.iter().filter(|given| given.resource == resource);
        let taken: BTreeSet<String> = of_resource.flat_map(|given| given.devices.clone()).collect();
        let healthy = offer.devices.iter().filter(|(_, device)| device.healthy);
        let healthy: BTreeSet<String> = healthy.map(|(id, _)| id.clone()).collect();
        let choice = choice(resource, size, &healthy, &taken, reusable)?;
        match &offer.endpoint {
            Some(endpoint) => Ok(Some((endpoint.clone(), choice))),
            None => Err(AllocateError::NoPlugin(resource.to_owned())),
        }
    }
}

/// What the plugin would rather give, as far as that is possible.
async fn preferred(endpoint: &Endpoint, choice: &Choice) -> Result<BTreeSet<String>, Status> {
    let container = Message::new()
        .texts(1, &choice.available)
        .texts(2, &choice.must)
        .number(3, i64::try_from(choice.size).unwrap_or(i64::MAX));
    let request = Message::new().message(1, &container);
    let method = "/v1beta1.DevicePlugin/GetPreferredAllocation";
    let answer = call(&endpoint.socket, method, &request, CALL_MAX).await?;
    Ok(agreed(choice, &answer)?)
}

fn agreed(choice: &Choice, answer: &Fields) -> Result<BTreeSet<String>, crate::grpc::Malformed> {
    let wished = answer.messages(1)?.first().map(|first| first.texts(1)).unwrap_or_default();
    let possible = wished.into_iter().filter(|id| choice.available.contains(id));
    let order: Vec<String> =
        choice.must.iter().cloned().chain(possible).chain(choice.available.clone()).collect();
    let mut chosen = BTreeSet::new();
    for id in order {
        if chosen.len() < choice.size {
            chosen.insert(id);
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use serde_json::json;

    fn set(ids: &str) -> BTreeSet<String> {
        ids.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_left() {
        let check = |size: usize, taken: &str, reusable: &str, expect: Result<&str, &str>| {
            let made = choice("r/x", size, &set("a b c"), &set(taken), &set(reusable));
            let found = made.map(|choice| choice.plain()).map_err(|error| error.to_string());
            assert_eq!(found, expect.map(set).map_err(str::to_owned));
        };
        check(1, "", "", Ok("a"));
        check(2, "a", "", Ok("b c"));
        check(1, "a b c", "b", Ok("b"));
        check(2, "b", "b", Ok("a b"));
        let text = "requested number of devices unavailable for r/x. Requested: 2, Available: 1";
        check(2, "a b", "", Err(text));
        let none = choice("r/x", 1, &set(""), &set(""), &set("")).unwrap_err().to_string();
        assert_eq!(none, "no healthy devices present; cannot allocate unhealthy devices r/x");
    }

    #[test]
    fn what_plugins_prefer() {
        let check = |wished: &str, expect: &str| {
            let choice = choice("r/x", 2, &set("a b c"), &set("b"), &set("b")).unwrap();
            let wished = Message::new().texts(1, wished.split_whitespace());
            let answer = Message::new().message(1, &wished);
            let answer = Fields::read(Bytes::copy_from_slice(answer.encoded())).unwrap();
            assert_eq!(agreed(&choice, &answer), Ok(set(expect)));
        };
        check("b c", "b c");
        check("c", "b c");
        check("", "a b");
        check("x y", "a b");
    }

    #[test]
    fn what_containers_ask_for() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [{"name": "c",
            "resources": {"limits": {"cpu": "1", "kd.test/toy": "2", "kd.test/none": "0"}}}]}}))
        .unwrap();
        assert_eq!(asked(&pod.members()[0]), [("kd.test/toy".to_owned(), 2)]);
    }
}
