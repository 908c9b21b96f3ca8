//! A pod network of somebody's CNI plugins (<https://www.cni.dev/docs/spec/>): the first configuration of
//! a directory, its plugins run one after the other, and what they answered kept for taking pods off.

mod attachment;
mod configuration;
mod plugin;
mod watch;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use ipnet::IpNet;
use rtnetlink::{LinkMessageBuilder, LinkUnspec};
use tokio::sync::watch::{Receiver, Sender};

use crate::{Error, OtherNode, PodLink, PodNetwork, Result, ServicePort, namespace};
use attachment::{Attachment, Attachments};
use configuration::Configuration;
use plugin::Command;

/// Where configurations, plugins and the answers of plugins are.
#[derive(Clone, Debug)]
pub struct CniPaths {
    /// Configurations; `/etc/cni/net.d` by custom.
    pub configurations: PathBuf,
    /// Plugins; `/opt/cni/bin` by custom.
    pub plugins: PathBuf,
    /// What is remembered of pods over restarts.
    pub state: PathBuf,
}

/// Pods on the network that a configuration describes.
pub struct CniNetwork {
    plugins: PathBuf,
    attachments: Attachments,
    configuration: Arc<Mutex<Option<Configuration>>>,
    ready: Sender<bool>,
}

impl CniNetwork {
    /// Follows the configurations until the process ends. Pods of an earlier process are known.
    pub async fn open(paths: CniPaths) -> Result<CniNetwork> {
        let network = CniNetwork {
            attachments: Attachments::open(paths.state)?,
            plugins: paths.plugins,
            configuration: Arc::default(),
            ready: Sender::new(false),
        };
        let (known, ready) = (network.configuration.clone(), network.ready.clone());
        let mut changes = watch::Directory::open(&paths.configurations)?;
        let directory = paths.configurations;
        let update = move || {
            let found = configuration::first_of(&directory);
            let is_there = found.is_some();
            *known.lock().unwrap_or_else(PoisonError::into_inner) = found;
            ready.send_if_modified(|ready| std::mem::replace(ready, is_there) != is_there);
        };
        update();
        network.settle().await;
        tokio::spawn(async move {
            while let Ok(()) = changes.changed().await {
                update();
            }
            tracing::error!("CNI configurations are not followed any more");
        });
        Ok(network)
    }

    fn configuration(&self) -> Option<Configuration> {
        self.configuration.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// After a restart: whether pods are still as they were made, and what plugins may forget.
    async fn settle(&self) {
        let attachments = self.attachments.all();
        for attachment in &attachments {
            if let Err(error) = attachment.check(&self.plugins).await {
                tracing::warn!(pod = attachment.uid, %error, "the pod's network is damaged");
            }
        }
        if let Some(configuration) = self.configuration()
            && let Err(error) = collect(&configuration, &self.plugins, &attachments).await
        {
            tracing::warn!(%error, "CNI plugins could not clean up");
        }
    }
}

/// `GC`: plugins forget all but these pods of theirs.
async fn collect(
    configuration: &Configuration,
    plugins: &std::path::Path,
    attachments: &[Attachment],
) -> Result<()> {
    if !configuration.collects_garbage() {
        return Ok(());
    }
    let valid: Vec<_> = attachments
        .iter()
        .filter(|attachment| attachment.configuration.name() == configuration.name())
        .map(Attachment::identity)
        .collect();
    for index in 0..configuration.len() {
        let mut input = configuration.input(index, None, None);
        input["cni.dev/valid-attachments"] = valid.clone().into();
        let command = Command { name: "GC", plugins, environment: Vec::new() };
        command.run(configuration.plugin(index), &input).await.map_err(Error::of("collect"))?;
    }
    Ok(())
}

#[async_trait]
impl PodNetwork for CniNetwork {
    fn own_addresses(&self) -> Option<Receiver<bool>> {
        Some(self.ready.subscribe())
    }

    async fn attach(&self, pod: &PodLink) -> Result<Vec<IpAddr>> {
        let operation = format!("failed to setup network for sandbox {:?}", pod.sandbox);
        self.detach(&pod.uid).await?;
        let Some(configuration) = self.configuration() else {
            return Err(Error::of(operation)(std::io::Error::other("cni plugin not initialized")));
        };
        let inside = namespace::connect_in(&pod.netns).await?;
        let loopback = LinkMessageBuilder::<LinkUnspec>::new().index(1).up().build();
        let up = inside.link().set(loopback).execute().await;
        up.map_err(Error::netlink("bring the pod's loopback up"))?;
        let mut attachment = Attachment::new(configuration, pod);
        // Written before anything is done: whoever comes after a crash can undo it.
        self.attachments.write(&attachment)?;
        match attachment.add(&self.plugins).await {
            Ok(()) => {
                self.attachments.write(&attachment)?;
                Ok(attachment.addresses())
            }
            Err(source) => {
                if let Err(error) = self.detach(&pod.uid).await {
                    tracing::warn!(pod = pod.uid, %error, "cannot undo half of an attachment");
                }
                Err(Error { operation, source })
            }
        }
    }

    async fn detach(&self, pod: &str) -> Result<()> {
        let Some(attachment) = self.attachments.read(pod) else { return Ok(()) };
        let removed = attachment.remove(&self.plugins).await;
        let operation = format!("failed to destroy network for sandbox {:?}", attachment.sandbox);
        removed.map_err(Error::of(operation))?;
        self.attachments.forget(pod)
    }

    async fn attached(&self) -> Result<Vec<(String, Vec<IpAddr>)>> {
        let all = self.attachments.all().into_iter();
        let whole = all.filter(|attachment| attachment.result.is_some());
        Ok(whole.map(|attachment| (attachment.uid.clone(), attachment.addresses())).collect())
    }

    /// The plugins' own matter.
    async fn set_nodes(&self, _: &[IpNet], _: &[OtherNode]) -> Result<()> {
        Ok(())
    }

    /// The plugins' own matter.
    async fn set_masquerade(&self, _: &[IpNet], _: &[IpNet]) -> Result<()> {
        Ok(())
    }

    /// Plugins are told of a pod's ports when it is attached.
    async fn set_host_ports(&self, _: Vec<ServicePort>) -> Result<()> {
        Ok(())
    }
}
