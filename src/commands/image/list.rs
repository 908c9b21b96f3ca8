//! `kd image list`.

use std::collections::BTreeMap;

use clap::Args;
use futures::future::try_join_all;
use serde::Serialize;

use crate::cluster::inventory;
use crate::cluster::name::DEFAULT_CLUSTER;
use crate::commands::Context;
use crate::error::{Error, ExitCode, Result};
use crate::image::node::{self, NodeImageRecord};
use crate::output::{self, Format, Listed};

/// How much of an ID a table shows.
const SHORT_ID_LENGTH: usize = 12;

/// Arguments of `kd image list`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The cluster's name.
    #[arg(long, short, value_name = "NAME", default_value = DEFAULT_CLUSTER)]
    cluster: String,
    /// The form of the list.
    #[arg(long, short, value_enum, default_value_t)]
    output: Format,
}

/// One name of an image, with the nodes that know it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedImage {
    name: String,
    id: String,
    size_bytes: u64,
    nodes: Vec<String>,
}

/// Lists the images of a cluster.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let engine = context.engine().await?;
    let cluster = inventory::existing(&engine, &arguments.cluster).await?;
    let running: Vec<_> = cluster.nodes.iter().filter(|node| node.is_running()).collect();
    if running.is_empty() {
        let message = format!("no node of the cluster {:?} runs", cluster.name);
        return Err(Error::new(ExitCode::NotFound, message)
            .hint(format!("start it: kd cluster start {}", cluster.name)));
    }
    let lists = try_join_all(running.iter().map(|node| node::list(&engine, node))).await?;
    let by_node = running.iter().map(|node| node.name.clone()).zip(lists);
    context.ui.data(&output::render(&gather(by_node), arguments.output)?);
    Ok(())
}

fn gather(by_node: impl Iterator<Item = (String, Vec<NodeImageRecord>)>) -> Vec<ListedImage> {
    let mut images = BTreeMap::<(String, String), ListedImage>::new();
    for (node, records) in by_node {
        for record in records {
            for name in names(&record) {
                let key = (name.clone(), record.id.clone());
                let image = images.entry(key).or_insert_with(|| ListedImage {
                    name,
                    id: record.id.clone(),
                    size_bytes: record.size_bytes,
                    nodes: Vec::new(),
                });
                image.nodes.push(node.clone());
            }
        }
    }
    images.into_values().collect()
}

fn names(record: &NodeImageRecord) -> Vec<String> {
    [&record.repo_tags, &record.repo_digests]
        .into_iter()
        .find(|names| !names.is_empty())
        .cloned()
        .unwrap_or_else(|| vec![record.id.clone()])
}

impl Listed for ListedImage {
    const HEADERS: &'static [&'static str] = &["IMAGE", "ID", "SIZE", "NODES"];

    fn row(&self) -> Vec<String> {
        let id = self.id.strip_prefix("sha256:").unwrap_or(&self.id);
        let short = id.get(..SHORT_ID_LENGTH).unwrap_or(id);
        let size = format!("{:.1} MB", self.size_bytes as f64 / 1e6);
        vec![self.name.clone(), short.to_owned(), size, self.nodes.len().to_string()]
    }

    fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_a_name() {
        let record = |id: &str, tags: &[&str]| NodeImageRecord {
            id: id.to_owned(),
            repo_tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            repo_digests: Vec::new(),
            size_bytes: 2_500_000,
        };
        let a =
            ("a".to_owned(), vec![record("sha256:1", &["x:1", "x:2"]), record("sha256:2", &[])]);
        let b = ("b".to_owned(), vec![record("sha256:1", &["x:1"])]);
        let rows: Vec<_> = gather([a, b].into_iter()).iter().map(Listed::row).collect();
        assert_eq!(
            rows,
            [
                ["sha256:2", "2", "2.5 MB", "1"],
                ["x:1", "1", "2.5 MB", "2"],
                ["x:2", "1", "2.5 MB", "1"]
            ]
        );
    }
}
