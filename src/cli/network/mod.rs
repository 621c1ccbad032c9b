//! `network ...`.

pub mod connect;
pub mod create;
pub mod inspect;
pub mod list;
pub mod prune;
pub mod remove;
pub mod update;

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use crate::container::networks::Summary;
use crate::container::summary::time as moment;
use crate::state::schema::network::{LeaseRecord, NetworkRecord};

/// What listings and `inspect` show, under podman's and docker's names.
fn value(summary: &Summary) -> Value {
    let record = &summary.record;
    let created = moment(record.created).to_string();
    let has_ipv6 = record.subnets.iter().any(|subnet| subnet.subnet.addr().is_ipv6());
    json!({
        "name": record.name,
        "id": record.id,
        "driver": record.driver,
        "network_interface": record.device,
        "created": created,
        "subnets": subnets(record),
        "routes": record.routes,
        "ipv6_enabled": has_ipv6,
        "internal": record.internal,
        "dns_enabled": record.dns,
        "network_dns_servers": record.name_servers,
        "labels": record.labels,
        "options": record.options,
        "ipam_options": { "driver": "host-local" },
        "containers": members(&summary.members, member),
        "Name": record.name,
        "Id": record.id,
        "ID": record.id,
        "Created": created,
        "Scope": "local",
        "Driver": record.driver,
        "EnableIPv6": has_ipv6,
        "IPAM": { "Driver": "default", "Options": {}, "Config": ipam(record) },
        "Internal": record.internal,
        "Attachable": false,
        "Ingress": false,
        "ConfigFrom": { "Network": "" },
        "ConfigOnly": false,
        "Containers": members(&summary.members, docker_member),
        "Options": record.options,
        "Labels": record.labels,
        "NetworkInterface": record.device,
        "Subnets": subnets(record),
        "IPv6Enabled": has_ipv6,
        "DNSEnabled": record.dns,
        "NetworkDNSServers": record.name_servers,
    })
}

fn subnets(record: &NetworkRecord) -> Vec<Value> {
    let shown = record.subnets.iter().map(|subnet| {
        let mut shown = json!({ "subnet": subnet.subnet });
        if let Some(gateway) = subnet.gateway {
            shown["gateway"] = json!(gateway);
        }
        if let Some((first, last)) = subnet.range {
            shown["lease_range"] = json!({ "start_ip": first, "end_ip": last });
        }
        shown
    });
    shown.collect()
}

fn ipam(record: &NetworkRecord) -> Vec<Value> {
    let shown = record.subnets.iter().map(|subnet| {
        let mut shown = json!({ "Subnet": subnet.subnet });
        if let Some(gateway) = subnet.gateway {
            shown["Gateway"] = json!(gateway);
        }
        shown
    });
    shown.collect()
}

fn members(members: &[LeaseRecord], show: fn(&LeaseRecord) -> Value) -> Map<String, Value> {
    members.iter().map(|lease| (lease.id.to_string(), show(lease))).collect()
}

fn member(lease: &LeaseRecord) -> Value {
    let device = lease.device.as_ref().map_or("eth0", |device| device.as_str());
    let subnets: Vec<Value> = lease.addresses.iter().map(|address| json!({ "ipnet": address })).collect();
    json!({ "name": lease.name, "interfaces": { device: { "subnets": subnets, "mac_address": lease.mac } } })
}

fn docker_member(lease: &LeaseRecord) -> Value {
    let address = |is_wanted: fn(&IpAddr) -> bool| {
        let found = lease.addresses.iter().find(|address| is_wanted(&address.addr()));
        found.map(IpNet::to_string).unwrap_or_default()
    };
    json!({
        "Name": lease.name,
        "EndpointID": lease.id,
        "MacAddress": lease.mac,
        "IPv4Address": address(IpAddr::is_ipv4),
        "IPv6Address": address(IpAddr::is_ipv6),
    })
}
