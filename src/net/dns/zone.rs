//! What a network's resolver knows, and its answers. Pure.

use std::net::IpAddr;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use ipnet::IpNet;

use crate::name::container::ContainerId;
use crate::state::schema::network::LeaseRecord;

/// The domain to which all members belong: podman's.
pub const DOMAIN: &str = "dns.podman";

/// How long an answer may be kept, in seconds: an address may belong to somebody else at once.
const KEEP: u32 = 0;

/// A member of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The container.
    pub id: ContainerId,
    /// Its names, in lower case, its own first.
    pub names: Vec<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whom it wants to be asked about names that the network does not have; who is asked for all where there are none.
    pub name_servers: Vec<IpAddr>,
}

impl Member {
    /// The one that has this lease.
    pub fn of(lease: &LeaseRecord) -> Self {
        let own = [lease.name.as_str(), lease.id.short()];
        let names = own.into_iter().chain(lease.aliases.iter().map(String::as_str)).chain([lease.id.as_str()]);
        Self {
            id: lease.id.clone(),
            names: names.map(str::to_ascii_lowercase).collect(),
            addresses: lease.addresses.iter().map(IpNet::addr).collect(),
            name_servers: lease.name_servers.clone(),
        }
    }
}

/// What a resolver knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// The members of its network.
    pub members: Vec<Member>,
    /// Whether they find each other by name.
    pub has_names: bool,
    /// Whether nobody outside is asked.
    pub is_internal: bool,
    /// Who is asked instead of the name servers of the host.
    pub name_servers: Vec<IpAddr>,
    /// The addresses of the network: nobody outside has names for them.
    pub subnets: Vec<IpNet>,
}

/// What is done about a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is answered.
    Answer(Box<Message>),
    /// These are asked; the name servers of the host where there are none.
    Forward(Vec<IpAddr>),
    /// Nobody answers: it is none, or none that a client of a resolver asks.
    Ignore,
}

impl Zone {
    /// What is done about `question`, which `from` asks. `elsewhere` gives the members of the other networks in which a container
    /// is; it is asked only about names that this network does not have.
    pub fn judge(
        &self,
        question: &Message,
        from: IpAddr,
        elsewhere: impl FnOnce(&ContainerId) -> Vec<Member>,
    ) -> Verdict {
        if question.metadata.message_type != MessageType::Query {
            return Verdict::Ignore;
        }
        if question.metadata.op_code != OpCode::Query {
            return refuse(question, ResponseCode::NotImp);
        }
        let [query] = question.queries.as_slice() else { return refuse(question, ResponseCode::FormErr) };
        let asker = self.members.iter().find(|member| member.addresses.contains(&from));
        if self.has_names && query.query_class() == DNSClass::IN {
            let others = || asker.map(|asker| elsewhere(&asker.id)).unwrap_or_default();
            if let Some(answer) = self.know(question, query, others) {
                return Verdict::Answer(Box::new(answer));
            }
        }
        if self.is_internal {
            return refuse(question, ResponseCode::NXDomain);
        }
        let own = asker.map(|asker| asker.name_servers.clone()).filter(|servers| !servers.is_empty());
        Verdict::Forward(own.unwrap_or_else(|| self.name_servers.clone()))
    }

    /// The answer, if it is known here.
    fn know(&self, question: &Message, query: &Query, others: impl FnOnce() -> Vec<Member>) -> Option<Message> {
        let text = query.name().to_ascii().to_ascii_lowercase();
        let text = text.strip_suffix('.').unwrap_or(&text);
        if let Some(address) = reversed(text) {
            let is_ours = self.subnets.iter().any(|subnet| subnet.contains(&address));
            let owner = self.members.iter().find(|member| member.addresses.contains(&address));
            return match (owner.and_then(|owner| owner.names.first()), is_ours) {
                (Some(name), _) if query.query_type() == RecordType::PTR => {
                    let target = Name::from_ascii(format!("{name}.")).ok()?;
                    Some(answered(question, vec![record(query.name(), RData::PTR(PTR(target)))]))
                }
                (Some(_), _) => Some(answered(question, Vec::new())),
                (None, true) => Some(refused(question, ResponseCode::NXDomain)),
                (None, false) => None,
            };
        }
        let (name, is_qualified) = match text.strip_suffix(DOMAIN).and_then(|name| name.strip_suffix('.')) {
            Some(name) => (name, true),
            None => (text, false),
        };
        let mut found = addresses(&self.members, name);
        if found.is_empty() {
            found = addresses(&others(), name);
        }
        if found.is_empty() {
            return is_qualified.then(|| refused(question, ResponseCode::NXDomain));
        }
        let records = found.into_iter().filter_map(|address| match (address, query.query_type()) {
            (IpAddr::V4(address), RecordType::A | RecordType::ANY) => Some(RData::A(A(address))),
            (IpAddr::V6(address), RecordType::AAAA | RecordType::ANY) => Some(RData::AAAA(AAAA(address))),
            _ => None,
        });
        Some(answered(question, records.map(|data| record(query.name(), data)).collect()))
    }

    /// Whether an answer from outside gives a name to an address of this network: then a page from outside could speak with
    /// members as if it came from them (DNS rebinding).
    pub fn is_rebinding(&self, answer: &Message) -> bool {
        answer.answers.iter().any(|record| {
            let address = match record.data {
                RData::A(A(address)) => IpAddr::V4(address),
                RData::AAAA(AAAA(address)) => IpAddr::V6(address),
                _ => return false,
            };
            self.subnets.iter().any(|subnet| subnet.contains(&address))
        })
    }
}

fn addresses(members: &[Member], name: &str) -> Vec<IpAddr> {
    let named = members.iter().filter(|member| member.names.iter().any(|other| other == name));
    named.flat_map(|member| member.addresses.iter().copied()).collect()
}

/// The address that a name of reverse lookups stands for (RFC 1035, 3.5; RFC 3596, 2.5).
fn reversed(name: &str) -> Option<IpAddr> {
    if let Some(octets) = name.strip_suffix(".in-addr.arpa") {
        let octets: Vec<&str> = octets.rsplit('.').collect();
        return octets.join(".").parse().ok().map(IpAddr::V4);
    }
    let nibbles: Vec<&str> = name.strip_suffix(".ip6.arpa")?.rsplit('.').collect();
    let is_whole = nibbles.len() == 32 && nibbles.iter().all(|nibble| nibble.len() == 1);
    let groups: Vec<String> = nibbles.chunks(4).map(<[&str]>::concat).collect();
    groups.join(":").parse().ok().filter(|_| is_whole).map(IpAddr::V6)
}

fn record(name: &Name, data: RData) -> Record {
    Record::from_rdata(name.clone(), KEEP, data)
}

fn answered(question: &Message, records: Vec<Record>) -> Message {
    let mut answer = refused(question, ResponseCode::NoError);
    answer.metadata.authoritative = true;
    answer.add_answers(records);
    answer
}

fn refuse(question: &Message, code: ResponseCode) -> Verdict {
    Verdict::Answer(Box::new(refused(question, code)))
}

/// An answer without records.
pub fn refused(question: &Message, code: ResponseCode) -> Message {
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.metadata.response_code = code;
    answer.add_queries(question.queries.iter().cloned());
    if let Some(edns) = &question.edns {
        let mut ours = hickory_proto::op::Edns::new();
        ours.set_max_payload(edns.max_payload().clamp(512, 1232));
        answer.set_edns(ours);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(digit: char, names: &[&str], addresses: &[&str]) -> Member {
        Member {
            id: digit.to_string().repeat(64).parse().unwrap(),
            names: names.iter().map(ToString::to_string).collect(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            name_servers: Vec::new(),
        }
    }

    fn zone() -> Zone {
        Zone {
            members: vec![
                member('a', &["web", "www", "a.b"], &["10.89.0.2", "fd00::2"]),
                member('b', &["db"], &["10.89.0.3"]),
                member('c', &["www"], &["10.89.0.4"]),
            ],
            has_names: true,
            subnets: vec!["10.89.0.0/24".parse().unwrap(), "fd00::/64".parse().unwrap()],
            ..Zone::default()
        }
    }

    fn ask(zone: &Zone, name: &str, kind: RecordType) -> String {
        let mut question = Message::query();
        question.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let elsewhere = |id: &ContainerId| match id.as_str().starts_with('b') {
            true => vec![member('d', &["cache"], &["10.90.0.9"])],
            false => Vec::new(),
        };
        match zone.judge(&question, "10.89.0.3".parse().unwrap(), elsewhere) {
            Verdict::Answer(answer) => {
                let records: Vec<String> = answer.answers.iter().map(|record| record.data.to_string()).collect();
                format!("{:?} {}", answer.metadata.response_code, records.join(" ")).trim().to_owned()
            }
            Verdict::Forward(servers) => format!("{servers:?}"),
            Verdict::Ignore => "ignored".to_owned(),
        }
    }

    #[test]
    fn names_and_addresses() {
        let zone = zone();
        for (name, kind, expected) in [
            ("web.", RecordType::A, "NoError 10.89.0.2"),
            ("WEB.", RecordType::A, "NoError 10.89.0.2"),
            ("web.dns.podman.", RecordType::A, "NoError 10.89.0.2"),
            ("a.b.", RecordType::A, "NoError 10.89.0.2"),
            ("web.", RecordType::AAAA, "NoError fd00::2"),
            ("www.", RecordType::A, "NoError 10.89.0.2 10.89.0.4"),
            ("db.", RecordType::AAAA, "NoError"),
            ("db.", RecordType::MX, "NoError"),
            ("cache.", RecordType::A, "NoError 10.90.0.9"),
            ("nobody.dns.podman.", RecordType::A, "NXDomain"),
            ("nobody.", RecordType::A, "[]"),
            ("example.org.", RecordType::A, "[]"),
            ("2.0.89.10.in-addr.arpa.", RecordType::PTR, "NoError web."),
            ("9.0.89.10.in-addr.arpa.", RecordType::PTR, "NXDomain"),
            ("9.0.88.10.in-addr.arpa.", RecordType::PTR, "[]"),
            (
                "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
                RecordType::PTR,
                "NoError web.",
            ),
        ] {
            assert_eq!(ask(&zone, name, kind), expected, "{name} {kind}");
        }
    }

    #[test]
    fn an_internal_network_asks_nobody() {
        let zone = Zone { is_internal: true, ..zone() };
        assert_eq!(ask(&zone, "example.org.", RecordType::A), "NXDomain");
        assert_eq!(ask(&zone, "web.", RecordType::A), "NoError 10.89.0.2");
    }

    #[test]
    fn without_names_everything_is_asked_elsewhere() {
        let zone = Zone { has_names: false, name_servers: vec!["192.0.2.1".parse().unwrap()], ..zone() };
        assert_eq!(ask(&zone, "web.", RecordType::A), "[192.0.2.1]");
    }

    #[test]
    fn answers_from_outside_do_not_name_members() {
        let mut answer = Message::response(1, OpCode::Query);
        let name = Name::from_ascii("evil.example.").unwrap();
        answer.add_answer(record(&name, RData::A(A("192.0.2.7".parse().unwrap()))));
        assert!(!zone().is_rebinding(&answer));
        answer.add_answer(record(&name, RData::A(A("10.89.0.2".parse().unwrap()))));
        assert!(zone().is_rebinding(&answer));
    }

    #[test]
    fn what_is_no_question_is_not_answered() {
        let mut response = Message::response(1, OpCode::Query);
        let none = |_: &ContainerId| Vec::new();
        assert_eq!(zone().judge(&response, "10.89.0.3".parse().unwrap(), none), Verdict::Ignore);
        response.metadata.message_type = MessageType::Query;
        response.metadata.op_code = OpCode::Update;
        let Verdict::Answer(answer) = zone().judge(&response, "10.89.0.3".parse().unwrap(), none) else { panic!() };
        assert_eq!(answer.metadata.response_code, ResponseCode::NotImp);
    }
}
