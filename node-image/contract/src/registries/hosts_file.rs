//! containerd's hosts.toml
//! (<https://github.com/containerd/containerd/blob/main/docs/hosts.md>).

use super::toml::{self, Value};

/// Where a registry's content is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostsFile {
    /// Mirrors, in the order in which they are tried.
    pub hosts: Vec<Host>,
    /// The registry itself; its address is empty when the file does not name it.
    pub server: Host,
}

/// A server, and how it is spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Its address, with scheme and path as written.
    pub address: String,
    /// What it is asked: `pull`, `resolve`, `push`. Everything when empty.
    pub capabilities: Vec<String>,
    /// Files of authorities.
    pub authorities: Vec<String>,
    /// Files of the client's certificate and key; both may be in one.
    pub client: Option<(String, Option<String>)>,
    /// Any certificate will do.
    pub skip_verify: bool,
    /// The path of the address is where the API begins.
    pub override_path: bool,
    /// More headers.
    pub headers: Vec<(String, String)>,
}

impl HostsFile {
    /// Reads a file. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<HostsFile, String> {
        let file = toml::parse(text)?;
        let address = match file.get("server") {
            Some(value) => text_of("server", value)?,
            None => String::new(),
        };
        let server = host(address, &file, &["server", "host"])?;
        let hosts = file.get("host").map_or(&[][..], Value::entries);
        let hosts: Result<Vec<Host>, String> = hosts
            .iter()
            .map(|(address, fields)| {
                host(address.clone(), fields, &[])
                    .map_err(|reason| format!("host {address:?}: {reason}"))
            })
            .collect();
        Ok(HostsFile { hosts: hosts?, server })
    }
}

impl Host {
    /// Whether it may be asked what a tag means.
    pub fn resolves(&self) -> bool {
        self.can("resolve")
    }

    /// Whether it has content.
    pub fn pulls(&self) -> bool {
        self.can("pull")
    }

    fn can(&self, capability: &str) -> bool {
        self.capabilities.is_empty() || self.capabilities.iter().any(|known| known == capability)
    }
}

fn host(address: String, fields: &Value, elsewhere: &[&str]) -> Result<Host, String> {
    let mut host = Host { address, ..Host::default() };
    for (name, value) in fields.entries() {
        match name.as_str() {
            "capabilities" => host.capabilities = capabilities(value)?,
            "ca" => host.authorities = texts(name, value)?,
            "client" => host.client = client(value)?,
            "skip_verify" => host.skip_verify = flag(name, value)?,
            "override_path" => host.override_path = flag(name, value)?,
            "header" => {
                for (header, value) in value.entries() {
                    let values = texts(header, value)?;
                    host.headers.extend(values.into_iter().map(|text| (header.clone(), text)));
                }
            }
            // kd's own bound on connecting is in force.
            "dial_timeout" => {}
            other if elsewhere.contains(&other) => {}
            other => return Err(format!("unknown field {other:?}")),
        }
    }
    Ok(host)
}

fn capabilities(value: &Value) -> Result<Vec<String>, String> {
    let all = texts("capabilities", value)?;
    let all: Vec<String> = all.iter().map(|text| text.to_lowercase()).collect();
    match all.iter().find(|text| !matches!(text.as_str(), "pull" | "resolve" | "push")) {
        Some(other) => Err(format!("{other:?} is no capability")),
        None => Ok(all),
    }
}

/// A file, a list of files, or a list of pairs of files; one pair is taken.
fn client(value: &Value) -> Result<Option<(String, Option<String>)>, String> {
    let Value::List(all) = value else { return Ok(Some((text_of("client", value)?, None))) };
    match all.as_slice() {
        [] => Ok(None),
        [pair @ Value::List(_)] => match texts("client", pair)?.as_slice() {
            [certificate, key] if key.is_empty() => Ok(Some((certificate.clone(), None))),
            [certificate, key] => Ok(Some((certificate.clone(), Some(key.clone())))),
            _ => Err("client: a pair is a certificate and a key".to_owned()),
        },
        [one] => Ok(Some((text_of("client", one)?, None))),
        _ => Err("client: one certificate is shown, not several".to_owned()),
    }
}

fn flag(name: &str, value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        _ => Err(format!("{name} is true or false")),
    }
}

fn text_of(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::Text(text) => Ok(text.clone()),
        _ => Err(format!("{name} is a text")),
    }
}

fn texts(name: &str, value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::List(all) => all.iter().map(|value| text_of(name, value)).collect(),
        one => Ok(vec![text_of(name, one)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files() {
        let file = HostsFile::parse(
            r#"
server = "https://r.example"
ca = "r.crt"
[host."http://a:5000"]
  capabilities = ["pull", "Resolve"]
  skip_verify = true
[host."b/v2/proxy"]
  capabilities = ["pull"]
  ca = ["x.pem", "y.pem"]
  client = [["c.cert", "c.key"]]
  override_path = true
  dial_timeout = "1s"
[host."b/v2/proxy".header]
  x-a = ["1", "2"]
  x-b = "3"
"#,
        )
        .unwrap();
        assert_eq!((file.server.address.as_str(), file.hosts.len()), ("https://r.example", 2));
        assert_eq!(file.server.authorities, ["r.crt"]);
        assert_eq!(file.hosts[0].address, "http://a:5000");
        assert!(file.hosts[0].resolves() && file.hosts[0].pulls() && file.hosts[0].skip_verify);
        let second = &file.hosts[1];
        assert!(!second.resolves() && second.pulls() && second.override_path);
        assert_eq!(second.client, Some(("c.cert".into(), Some("c.key".into()))));
        let headers: Vec<_> = second.headers.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(headers, ["x-a=1", "x-a=2", "x-b=3"]);
        assert_eq!(HostsFile::parse("").unwrap(), HostsFile::default());
    }

    #[test]
    fn mistakes() {
        let check = |text: &str, expect: &str| {
            let reason = HostsFile::parse(text).unwrap_err();
            assert!(reason.contains(expect), "{text:?}: {reason}");
        };
        check("[host.\"a\"]\ncapabilities = [\"fly\"]", "host \"a\": \"fly\" is no capability");
        check("[host.\"a\"]\nca_file = \"x\"", "unknown field \"ca_file\"");
        check("skip_verify = \"yes\"", "true or false");
        check("server = 1", "server is a text");
        check("client = [[\"a\"]]", "a pair");
        check("client = [\"a\", \"b\"]", "not several");
        check("host = [", "line 1");
    }
}
