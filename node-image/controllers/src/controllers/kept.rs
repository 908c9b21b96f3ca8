//! What controllers keep of Secrets and ConfigMaps: those that some controller reads, in full; of the
//! rest their metadata. A View has one rule per resource, so the rules stand together.

use kd_client::{Interest, Keep, Metadata, resources};

use super::{bootstrap_signer, root_ca};

/// The type of Secrets that hold a ServiceAccount's token.
pub(super) const ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";
/// How the names of bootstrap tokens' Secrets begin.
pub(super) const BOOTSTRAP_TOKEN_PREFIX: &str = "bootstrap-token-";
/// Where bootstrap tokens are.
pub(super) const BOOTSTRAP_NAMESPACE: &str = "kube-system";

/// Secrets: bootstrap tokens and ServiceAccount tokens in full.
pub(super) fn secrets() -> Interest {
    Interest { keep: Keep::Only(keeps_secret), ..Interest::full(&resources::SECRETS) }
}

/// ConfigMaps: the CA bundles and `cluster-info` in full.
pub(super) fn config_maps() -> Interest {
    let keep = Keep::Only(|metadata, _| {
        metadata.name == root_ca::NAME || metadata.name == bootstrap_signer::CLUSTER_INFO
    });
    Interest { keep, ..Interest::full(&resources::CONFIG_MAPS) }
}

fn keeps_secret(metadata: &Metadata, json: &[u8]) -> bool {
    let bootstrap = metadata.namespace == BOOTSTRAP_NAMESPACE
        && metadata.name.starts_with(BOOTSTRAP_TOKEN_PREFIX);
    // A Secret that merely mentions the type is kept for nothing; that harms nobody.
    bootstrap || json.windows(ACCOUNT_TOKEN.len()).any(|part| part == ACCOUNT_TOKEN.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_are_read() {
        let check = |namespace: &str, name: &str, json: &str, expect: bool| {
            let metadata =
                Metadata { namespace: namespace.into(), name: name.into(), ..Metadata::default() };
            assert_eq!(keeps_secret(&metadata, json.as_bytes()), expect, "{namespace}/{name}");
        };
        check("kube-system", "bootstrap-token-abcdef", "{}", true);
        check("default", "bootstrap-token-abcdef", "{}", false);
        check("a", "t", r#"{"type":"kubernetes.io/service-account-token"}"#, true);
        check("a", "t", r#"{"type":"Opaque"}"#, false);
    }
}
