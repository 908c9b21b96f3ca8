//! Patches of containerd's configuration, as far as they are about registries: the rest has no
//! meaning without containerd.

use kd_contract::registries::{
    REGISTRY_HOSTS_DIRECTORY, Registries, RegistryCredentials, RegistryTls, TomlValue, parse_toml,
};

/// The plugins whose configuration holds registries, in both versions of the file.
const PLUGINS: [&str; 2] = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"];

/// Follows a patch. The error says what cannot be followed.
pub(super) fn apply(patch: &str, registries: &mut Registries) -> Result<(), String> {
    for (key, value) in parse_toml(patch)?.entries() {
        match (key.as_str(), value) {
            ("version", _) => {}
            ("plugins", plugins) => {
                for (name, plugin) in plugins.entries() {
                    match PLUGINS.contains(&name.as_str()) {
                        true => of_plugin(plugin, registries)?,
                        false => return Err(unknown(&format!("plugins.{name:?}"))),
                    }
                }
            }
            (other, _) => return Err(unknown(other)),
        }
    }
    Ok(())
}

fn unknown(what: &str) -> String {
    format!("{what}: kd has no containerd; what is followed are registries")
}

fn of_plugin(plugin: &TomlValue, registries: &mut Registries) -> Result<(), String> {
    for (key, value) in plugin.entries() {
        if key != "registry" {
            return Err(unknown(key));
        }
        for (key, value) in value.entries() {
            match key.as_str() {
                "config_path" if *value == TomlValue::Text(REGISTRY_HOSTS_DIRECTORY.into()) => {}
                "config_path" => {
                    return Err(format!("registry.config_path: it is {REGISTRY_HOSTS_DIRECTORY}"));
                }
                "mirrors" => mirrors(value, registries)?,
                "configs" => configs(value, registries)?,
                other => return Err(unknown(&format!("registry.{other}"))),
            }
        }
    }
    Ok(())
}

fn mirrors(all: &TomlValue, registries: &mut Registries) -> Result<(), String> {
    for (registry, fields) in all.entries() {
        for (key, value) in fields.entries() {
            let (true, TomlValue::List(endpoints)) = (key == "endpoint", value) else {
                return Err(unknown(&format!("registry.mirrors.{registry:?}.{key}")));
            };
            let texts: Result<Vec<String>, String> =
                endpoints.iter().map(|endpoint| text("endpoint", endpoint)).collect();
            registries.mirrors.entry(registry.clone()).or_default().endpoints = texts?;
        }
    }
    Ok(())
}

/// Files that it names are the nodes'.
fn configs(all: &TomlValue, registries: &mut Registries) -> Result<(), String> {
    for (host, fields) in all.entries() {
        let access = registries.configs.entry(host.clone()).or_default();
        for (key, value) in fields.entries() {
            match key.as_str() {
                "tls" => access.tls = Some(tls(value)?),
                "auth" => access.auth = Some(auth(value)?),
                other => return Err(unknown(&format!("registry.configs.{host:?}.{other}"))),
            }
        }
    }
    Ok(())
}

fn tls(fields: &TomlValue) -> Result<RegistryTls, String> {
    let mut tls = RegistryTls::default();
    for (key, value) in fields.entries() {
        match key.as_str() {
            "ca_file" => tls.ca_file = text(key, value)?,
            "cert_file" => tls.cert_file = text(key, value)?,
            "key_file" => tls.key_file = text(key, value)?,
            "insecure_skip_verify" => {
                tls.insecure_skip_verify = *value == TomlValue::Bool(true);
            }
            other => return Err(unknown(&format!("tls.{other}"))),
        }
    }
    Ok(tls)
}

fn auth(fields: &TomlValue) -> Result<RegistryCredentials, String> {
    let mut auth = RegistryCredentials::default();
    for (key, value) in fields.entries() {
        let into = match key.as_str() {
            "username" => &mut auth.username,
            "password" => &mut auth.password,
            "auth" => &mut auth.auth,
            "identitytoken" => &mut auth.identity_token,
            other => return Err(unknown(&format!("auth.{other}"))),
        };
        *into = text(key, value)?;
    }
    Ok(auth)
}

fn text(name: &str, value: &TomlValue) -> Result<String, String> {
    match value {
        TomlValue::Text(text) => Ok(text.clone()),
        _ => Err(format!("{name} is a text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_of_kind_users() {
        let mut registries = Registries::default();
        let mut patch = |text: &str| apply(text, &mut registries);
        patch("[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d\"")
            .unwrap();
        patch(
            "version = 2
[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"localhost:5001\"]
  endpoint = [\"http://kind-registry:5000\"]
[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"r.example\".tls]
  insecure_skip_verify = true
[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"r.example\".auth]
  username = \"u\"
",
        )
        .unwrap();
        for (text, reason) in [
            (
                "[plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"x\"",
                "containerd: kd has no",
            ),
            ("[debug]\nlevel = \"debug\"", "debug: kd has no containerd"),
            ("[plugins.\"x\"]", "plugins.\"x\": kd has no"),
            (
                "[plugins.\"io.containerd.cri.v1.images\".registry]\nconfig_path = \"/x\"",
                "/etc/containerd/certs.d",
            ),
        ] {
            let error = patch(text).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        assert_eq!(registries.mirrors["localhost:5001"].endpoints, ["http://kind-registry:5000"]);
        let access = &registries.configs["r.example"];
        assert!(access.tls.as_ref().unwrap().insecure_skip_verify);
        assert_eq!(access.auth.as_ref().unwrap().username, "u");
    }
}
