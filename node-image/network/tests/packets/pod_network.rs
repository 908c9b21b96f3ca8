//! Pods on the network, and what leaves the cluster.

use kd_network::{HostRoutes, PodNetwork};

use crate::world::{Namespace, address, ask, attach, outside, serve, with_node};

#[test]
fn pods_reach_each_other_and_are_found_again() {
    with_node(async |network: HostRoutes| {
        let (a, b) = (Namespace::new(), Namespace::new());
        attach(&network, &a, "uid-a", &["10.244.0.2"]).await;
        attach(&network, &b, "uid-b", &["10.244.0.3"]).await;
        serve(&a, 80, "a");
        assert_eq!(ask(&b, "10.244.0.2:80").unwrap(), "a 10.244.0.3");

        let mut attached = network.attached().await.unwrap();
        attached.sort();
        let expected = [("uid-a", "10.244.0.2"), ("uid-b", "10.244.0.3")]
            .map(|(pod, ip)| (pod.to_owned(), vec![address(ip)]));
        assert_eq!(attached, expected);

        network.detach("uid-a").await.unwrap();
        network.detach("uid-a").await.unwrap();
        assert_eq!(network.attached().await.unwrap().len(), 1);
    });
}

#[test]
fn what_leaves_the_cluster_has_the_nodes_address() {
    with_node(async |network: HostRoutes| {
        let (pod, outside) = (Namespace::new(), outside(&network).await);
        attach(&network, &pod, "uid-a", &["10.244.0.2"]).await;
        network.set_masquerade(&["10.244.0.0/16".parse().unwrap()], &[]).await.unwrap();
        serve(&outside, 80, "outside");
        let answer = ask(&pod, "192.0.2.1:80").unwrap();
        assert!(answer.starts_with("outside ") && answer != "outside 10.244.0.2", "{answer}");
    });
}
