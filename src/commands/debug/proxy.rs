//! `kd debug proxy`: the rules for Services as they are in a node's kernel, which nft cannot list.

use clap::Args;
use futures::StreamExt;
use kd_contract::{KD_BINARY, SERVICE_RULES_PROGRAM};
use serde::{Deserialize, Serialize};

use crate::cluster::inventory;
use crate::cluster::name::DEFAULT_CLUSTER;
use crate::commands::Context;
use crate::error::{Error, ExitCode, Result};
use crate::output::{self, Format, Listed};

/// Arguments of `kd debug proxy`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The cluster's name.
    #[arg(value_name = "CLUSTER", default_value = DEFAULT_CLUSTER)]
    cluster: String,
    /// The node [the first server].
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// The form of the list.
    #[arg(long, short, value_enum, default_value_t)]
    output: Format,
}

/// A port that the kernel knows.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    /// None: every address of the node.
    address: Option<String>,
    family: String,
    protocol: String,
    port: u16,
    /// The chain that chooses an endpoint.
    way: String,
    endpoints: Vec<String>,
    for_outsiders: Vec<String>,
    refusal: Option<String>,
    sources: Option<String>,
    #[serde(skip_deserializing)]
    name: String,
}

impl Rule {
    fn frontend(&self) -> String {
        let address = self.address.as_deref().unwrap_or("*");
        match self.family.as_str() {
            "IPv6" => format!("[{address}]:{}/{}", self.port, self.protocol),
            _ => format!("{address}:{}/{}", self.port, self.protocol),
        }
    }
}

impl Listed for Rule {
    const HEADERS: &'static [&'static str] = &["FRONTEND", "ENDPOINTS", "OUTSIDERS", "HOW"];

    fn row(&self) -> Vec<String> {
        let list = |addresses: &[String]| match addresses {
            [] => "-".to_owned(),
            addresses => addresses.join(","),
        };
        let mut how: Vec<&str> = vec![&self.way];
        how.extend(self.refusal.as_deref());
        how.extend(self.sources.as_deref());
        how.retain(|word| !word.is_empty());
        vec![self.name.clone(), list(&self.endpoints), list(&self.for_outsiders), how.join(" ")]
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Shows the rules of one node.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let engine = context.engine().await?;
    let cluster = inventory::existing(&engine, &arguments.cluster).await?;
    let wanted = arguments.node.as_deref();
    let node = cluster.nodes.iter().find(|node| wanted.is_none_or(|name| node.name == name));
    let node = node.ok_or_else(|| {
        let name = wanted.unwrap_or_default();
        let message = format!("the cluster {:?} has no node {name:?}", cluster.name);
        let names: Vec<&str> = cluster.nodes.iter().map(|node| node.name.as_str()).collect();
        Error::new(ExitCode::NotFound, message).hint(format!("there are {}", names.join(", ")))
    })?;
    let command = [KD_BINARY, SERVICE_RULES_PROGRAM];
    let nothing = futures::stream::empty().boxed();
    let printed = engine.exec(&node.name, &command, nothing).await?;
    let printed = printed.success(&format!("read the rules of {}", node.name))?;
    let mut rules: Vec<Rule> = serde_json::from_slice(&printed)
        .map_err(|source| Error::failure("read the node's answer").because(source))?;
    for rule in &mut rules {
        rule.name = rule.frontend();
    }
    context.ui.data(&output::render(&rules, arguments.output)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_as_rows() {
        let check = |json: &str, expect: [&str; 4]| {
            let mut rule: Rule = serde_json::from_str(json).unwrap();
            rule.name = rule.frontend();
            assert_eq!(rule.row(), expect);
        };
        check(
            r#"{"address": "10.96.0.9", "family": "IPv4", "protocol": "TCP", "port": 80, "way": "pick-2",
                "endpoints": ["10.244.0.2:80", "10.244.0.3:80"], "forOutsiders": []}"#,
            ["10.96.0.9:80/TCP", "10.244.0.2:80,10.244.0.3:80", "-", "pick-2"],
        );
        check(
            r#"{"family": "IPv6", "protocol": "UDP", "port": 30053, "way": "", "endpoints": [],
                "forOutsiders": [], "refusal": "reject"}"#,
            ["[*]:30053/UDP", "-", "-", "reject"],
        );
    }
}
