//! Published ports as they are shown: by `port`, `ps` and `inspect`, in docker's and podman's forms.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

use crate::name::port::{ExposedPorts, HostPorts, PortRequest, Protocol, Published};
use crate::state::schema::container::ConnectionRecord;

/// A port of the container, and one of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    /// The container's port.
    pub container: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The address of the host.
    pub host_ip: IpAddr,
    /// The port of the host.
    pub host: u16,
}

impl Binding {
    /// `80/tcp`.
    pub fn inside(&self) -> String {
        format!("{}/{}", self.container, self.protocol)
    }

    /// `0.0.0.0:8080`.
    pub fn outside(&self) -> String {
        match self.host_ip {
            IpAddr::V4(ip) => format!("{ip}:{}", self.host),
            IpAddr::V6(ip) => format!("[{ip}]:{}", self.host),
        }
    }
}

/// What a container that runs publishes, in order; nothing of one that does not run.
pub fn bindings(connection: Option<&ConnectionRecord>) -> Vec<Binding> {
    let Some(connection) = connection else { return Vec::new() };
    let mut all = Vec::new();
    for Published { host_ip, host_port, container_port, protocol } in &connection.ports {
        let binding = |host_ip| Binding { container: *container_port, protocol: *protocol, host_ip, host: *host_port };
        all.push(binding(host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into())));
        if host_ip.is_none() && connection.publishes_both {
            all.push(binding(Ipv6Addr::UNSPECIFIED.into()));
        }
    }
    all.sort();
    all
}

/// `NetworkSettings.Ports`: each exposed or published port, and where it is published.
pub fn settings(request: &PortRequest, connection: Option<&ConnectionRecord>) -> BTreeMap<String, Value> {
    let mut all: BTreeMap<String, Value> = exposed(request).map(|port| (port, Value::Null)).collect();
    for binding in bindings(connection) {
        let shown = json!({"HostIp": binding.host_ip.to_string(), "HostPort": binding.host.to_string()});
        match all.entry(binding.inside()).or_insert(Value::Null) {
            Value::Array(list) => list.push(shown),
            other => *other = json!([shown]),
        }
    }
    all
}

/// `HostConfig.PortBindings`: what was asked for.
pub fn asked(request: &PortRequest) -> BTreeMap<String, Value> {
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for mapping in &request.published {
        let ExposedPorts { ports, protocol } = mapping.container;
        for (index, container) in ports.ports().enumerate() {
            let host = match mapping.host {
                HostPorts::Free => String::new(),
                HostPorts::Range(range) => (u32::from(range.first) + index as u32).to_string(),
                HostPorts::FirstFree(range) => range.to_string(),
            };
            let ip = mapping.host_ip.map(|ip| ip.to_string()).unwrap_or_default();
            let shown = json!({"HostIp": ip, "HostPort": host});
            if let Value::Array(list) = all.entry(format!("{container}/{protocol}")).or_insert_with(|| json!([])) {
                list.push(shown);
            }
        }
    }
    all
}

/// `80/tcp` of each exposed port.
pub fn exposed(request: &PortRequest) -> impl Iterator<Item = String> {
    request.exposed.iter().flat_map(|exposed| {
        let protocol = exposed.protocol;
        exposed.ports.ports().map(move |port| format!("{port}/{protocol}"))
    })
}

/// The column of `ps`: `0.0.0.0:8080->80/tcp, 443/tcp`, ports in a row together.
pub fn column(request: &PortRequest, connection: Option<&ConnectionRecord>) -> String {
    let mut words = Vec::new();
    let bindings = bindings(connection);
    let mut by_address: Vec<&Binding> = bindings.iter().collect();
    by_address.sort_by_key(|binding| (binding.host_ip, binding.protocol, binding.host, binding.container));
    let mut rest = &by_address[..];
    while let [first, ..] = rest {
        let follows = |(index, binding): &(usize, &&Binding)| {
            let index = *index as u32;
            (binding.host_ip, binding.protocol) == (first.host_ip, first.protocol)
                && u32::from(binding.host) == u32::from(first.host) + index
                && u32::from(binding.container) == u32::from(first.container) + index
        };
        let count = rest.iter().enumerate().take_while(follows).count();
        let last = rest[count - 1];
        let range = |first: u16, last: u16| if first == last { first.to_string() } else { format!("{first}-{last}") };
        let address = first.outside();
        let address = address.rsplit_once(':').map_or("", |(address, _)| address);
        let (host, inside) = (range(first.host, last.host), range(first.container, last.container));
        words.push(format!("{address}:{host}->{inside}/{}", first.protocol));
        rest = &rest[count..];
    }
    let is_published = |port: &String| bindings.iter().any(|binding| binding.inside() == *port);
    words.extend(exposed(request).filter(|port| !is_published(port)));
    words.join(", ")
}

/// `Ports` of `ps --format json`, podman's.
pub fn items(connection: Option<&ConnectionRecord>) -> Value {
    let Some(connection) = connection.filter(|connection| !connection.ports.is_empty()) else { return Value::Null };
    let item = |port: &Published| {
        json!({
            "host_ip": port.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            "container_port": port.container_port,
            "host_port": port.host_port,
            "range": 1,
            "protocol": port.protocol.as_str(),
        })
    };
    connection.ports.iter().map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(ports: &[(Option<&str>, u16, u16, Protocol)]) -> ConnectionRecord {
        let ports = ports.iter().map(|&(ip, host_port, container_port, protocol)| Published {
            host_ip: ip.map(|ip| ip.parse().unwrap()),
            host_port,
            container_port,
            protocol,
        });
        ConnectionRecord {
            helper: "pasta".into(),
            pid: 1,
            device: "eth0".into(),
            address: "10.0.2.100".parse().unwrap(),
            prefix_length: 24,
            gateway: "10.0.2.2".parse().unwrap(),
            ports: ports.collect(),
            publishes_both: true,
            deaths: 0,
            error: None,
        }
    }

    #[test]
    fn columns_and_settings() {
        let request = PortRequest {
            published: vec!["127.0.0.1:8080-8081:80-81".parse().unwrap(), "53/udp".parse().unwrap()],
            all: false,
            exposed: vec!["80".parse().unwrap(), "443".parse().unwrap()],
        };
        let connection = connection(&[
            (Some("127.0.0.1"), 8080, 80, Protocol::Tcp),
            (Some("127.0.0.1"), 8081, 81, Protocol::Tcp),
            (None, 40_000, 53, Protocol::Udp),
        ]);
        assert_eq!(
            column(&request, Some(&connection)),
            "0.0.0.0:40000->53/udp, 127.0.0.1:8080-8081->80-81/tcp, [::]:40000->53/udp, 443/tcp"
        );
        assert_eq!(column(&request, None), "80/tcp, 443/tcp");
        let shown = serde_json::to_value(settings(&request, Some(&connection))).unwrap();
        assert_eq!(shown["80/tcp"], json!([{"HostIp": "127.0.0.1", "HostPort": "8080"}]));
        assert_eq!(shown["443/tcp"], Value::Null);
        assert_eq!(shown["53/udp"].as_array().unwrap().len(), 2);
        let asked = serde_json::to_value(asked(&request)).unwrap();
        assert_eq!(asked["81/tcp"], json!([{"HostIp": "127.0.0.1", "HostPort": "8081"}]));
        assert_eq!(asked["53/udp"], json!([{"HostIp": "", "HostPort": ""}]));
        assert_eq!(items(Some(&connection))[0]["host_port"], 8080);
        assert_eq!(items(None), Value::Null);
    }
}
