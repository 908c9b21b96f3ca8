//! `/api` and `/apis`: what is served, in the plain and in the aggregated form.

use http::header::ACCEPT;
use kd_api::discovery::{self, AggregatedVersion};

use super::documents::{Document, content_tag};
use super::{json, segments};
use crate::aggregation;
use crate::answer::Answer;
use crate::pipeline::Exchange;

const AGGREGATED: &[(&str, AggregatedVersion, &str)] = &[
    (
        "v=v2;",
        AggregatedVersion::V2,
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    ),
    (
        "v=v2beta1;",
        AggregatedVersion::V2Beta1,
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
    ),
];

/// `/api` and `/api/v1`.
pub(super) fn core(exchange: &Exchange) -> Option<Answer> {
    let kinds = exchange.server.objects.kinds();
    match segments(exchange).as_slice() {
        [] => Some(aggregated(exchange, true).unwrap_or_else(|| {
            let address = exchange.server.config.advertised.first();
            let address = address.map(|ip| format!("{ip}:{}", exchange.server.config.port));
            let addresses: Vec<(&str, &str)> =
                address.iter().map(|address| ("0.0.0.0/0", address.as_str())).collect();
            json(&discovery::core_versions(&kinds, &addresses))
        })),
        [version] => discovery::resource_list(&kinds, "", version).map(|list| json(&list)),
        _ => None,
    }
}

/// `/apis`, `/apis/<group>`, `/apis/<group>/<version>`.
pub(super) fn groups(exchange: &Exchange) -> Option<Answer> {
    let kinds = exchange.server.objects.kinds();
    let remotes = exchange.server.aggregator.remotes();
    match segments(exchange).as_slice() {
        [] => Some(
            aggregated(exchange, false)
                .unwrap_or_else(|| json(&aggregation::group_list(&kinds, &remotes))),
        ),
        [group] => aggregation::group(&kinds, &remotes, group).map(|group| json(&group)),
        [group, version] => {
            discovery::resource_list(&kinds, group, version).map(|list| json(&list))
        }
        _ => None,
    }
}

/// The aggregated document, if the client names it before the plain one.
fn aggregated(exchange: &Exchange, core: bool) -> Option<Answer> {
    let accept = exchange.parts.headers.get(ACCEPT)?.to_str().ok()?;
    let (form, content_type) = accept.split(',').find_map(|range| {
        let range: String = range.chars().filter(|c| !c.is_whitespace()).collect();
        if matches!(range.as_str(), "application/json" | "*/*") {
            return Some(None);
        }
        let is_discovery =
            range.contains("g=apidiscovery.k8s.io") && range.contains("as=APIGroupDiscoveryList");
        let terminated = format!("{range};");
        let row = AGGREGATED.iter().find(|(v, ..)| is_discovery && terminated.contains(v));
        row.map(|(_, form, content_type)| Some((*form, *content_type)))
    })??;
    let kinds = exchange.server.objects.kinds();
    let remotes = exchange.server.aggregator.remotes();
    if !core && !remotes.is_empty() {
        // What others serve changes without the kinds.
        let document = aggregation::aggregated(&kinds, &remotes, form).to_string().into_bytes();
        return Some(
            Document::of(&document).answer(exchange, content_type, || document.clone().into()),
        );
    }
    let make = || discovery::aggregated(&kinds, core, form).to_string().into_bytes();
    let name = format!("{content_type} {core}");
    let document = exchange.server.documents.get(&kinds, &name, || content_tag(&make()));
    Some(document.answer(exchange, content_type, || make().into()))
}
