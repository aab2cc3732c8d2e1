//! Messages as JSON objects, with the RFCs' names in snake case and the wire's integers.
//!
//! The keys stand in a fixed order: `type`, `name`, `flags`, `length`, `ppid` (null where the message did not come over SCTP),
//! then the body. Lists that a message of the type can have are always there, single values only where the message has them.
//! Bytes without a meaning here are hexadecimal digits. At the end, `unrecognized` has the parameters that were skipped and
//! whose sender wants to hear of them, and `trailing` the number of bytes behind the message.

use rserpool_core::wire::enrp::MessageBody;
use rserpool_core::wire::{
    Cause, Decoded, List, Policy, PoolElement, SctpTransport, ServerInformation, Span, Transport,
    asap, enrp,
};
use rserpool_core::{PoolHandle, Ppid, ServerId};
use serde_json::{Map, Value, json};

/// The two protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Aggregate Server Access Protocol.
    Asap,
    /// Endpoint Handlespace Redundancy Protocol.
    Enrp,
}

impl Protocol {
    /// Its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Asap => "ASAP",
            Self::Enrp => "ENRP",
        }
    }

    /// Its registered port (RFC 5352 §8.3, RFC 5353 §5.3).
    pub(super) const fn port(self) -> u16 {
        match self {
            Self::Asap => 3863,
            Self::Enrp => 9901,
        }
    }

    /// The protocol of a port.
    pub(super) fn of_port(port: u16) -> Option<Self> {
        [Self::Asap, Self::Enrp]
            .into_iter()
            .find(|protocol| protocol.port() == port)
    }

    /// The protocol of an SCTP payload protocol identifier.
    pub(super) const fn of_ppid(ppid: u32) -> Option<Self> {
        match Ppid(ppid) {
            Ppid::ASAP => Some(Self::Asap),
            Ppid::ENRP => Some(Self::Enrp),
            _ => None,
        }
    }

    /// The letters of the flags that a message has set.
    pub(super) fn flag_letters(self, message_type: u8, flags: u8) -> String {
        use asap::message_type as asap_type;
        use enrp::message_type as enrp_type;
        let known = match (self, message_type) {
            (Self::Asap, asap_type::REGISTRATION_RESPONSE) => "R",
            (Self::Asap, asap_type::HANDLE_RESOLUTION) => "S",
            (Self::Asap, asap_type::HANDLE_RESOLUTION_RESPONSE) => "A",
            (Self::Asap, asap_type::ENDPOINT_KEEP_ALIVE) => "H",
            (Self::Enrp, enrp_type::PRESENCE | enrp_type::LIST_RESPONSE) => "R",
            (Self::Enrp, enrp_type::HANDLE_TABLE_REQUEST) => "W",
            (Self::Enrp, enrp_type::HANDLE_TABLE_RESPONSE) => "RM",
            (Self::Enrp, enrp_type::HANDLE_UPDATE) => "T",
            _ => "",
        };
        let set = |bit: &usize| flags >> bit & 1 != 0;
        let letter = |bit| known.chars().nth(bit).unwrap_or('?');
        (0..8).filter(set).map(letter).collect()
    }
}

/// Why bytes are no message, and where in them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// What is wrong.
    pub(super) error: String,
    /// Offset of the fault in the message.
    pub(super) offset: usize,
}

/// Decodes a message; the object begins with `type`.
pub(super) fn decode(
    protocol: Protocol,
    ppid: Option<u32>,
    bytes: &[u8],
) -> Result<Map<String, Value>, Fault> {
    let fault = |error: rserpool_core::wire::DecodeError| Fault {
        error: error.kind().to_string(),
        offset: error.offset(),
    };
    let mut object = Map::new();
    match protocol {
        Protocol::Asap => {
            let decoded = asap::decode(bytes).map_err(fault)?;
            let kind = decoded.message.message_type();
            head(
                &mut object,
                kind,
                asap::Message::name_of(kind),
                ppid,
                &decoded,
                bytes,
            );
            asap_body(&mut object, &decoded.message);
            tail(&mut object, &decoded, bytes);
        }
        Protocol::Enrp => {
            let decoded = enrp::decode(bytes).map_err(fault)?;
            let kind = decoded.message.message_type();
            head(
                &mut object,
                kind,
                enrp::Message::name_of(kind),
                ppid,
                &decoded,
                bytes,
            );
            object.put("sender_id", decoded.message.sender.0);
            object.put("receiver_id", decoded.message.receiver.0);
            enrp_body(&mut object, &decoded.message.body);
            tail(&mut object, &decoded, bytes);
        }
    }
    Ok(object)
}

fn head<M>(
    object: &mut Map<String, Value>,
    kind: u8,
    name: Option<&str>,
    ppid: Option<u32>,
    decoded: &Decoded<M>,
    bytes: &[u8],
) {
    object.put("type", kind);
    object.put("name", name);
    object.put("flags", decoded.flags);
    object.put("length", super::network::be16(bytes, 2));
    object.put("ppid", ppid);
}

fn tail<M>(object: &mut Map<String, Value>, decoded: &Decoded<M>, bytes: &[u8]) {
    let spans = decoded.unrecognized.spans();
    if !spans.is_empty() {
        let parameter = |span: &Span| hexadecimal(span.of(bytes));
        object.put(
            "unrecognized",
            spans.iter().map(parameter).collect::<Vec<_>>(),
        );
    }
    if decoded.trailing > 0 {
        object.put("trailing", decoded.trailing);
    }
}

fn asap_body(object: &mut Map<String, Value>, message: &asap::Message<'_>) {
    use asap::Message as M;
    asap_names(object, message);
    match *message {
        M::Deregistration { .. }
        | M::EndpointKeepAlive { .. }
        | M::EndpointKeepAliveAck { .. }
        | M::EndpointUnreachable { .. } => {}
        M::Registration { pool_element, .. } => {
            object.put("pool_elements", [element(&pool_element)]);
        }
        M::RegistrationResponse { error, .. } | M::DeregistrationResponse { error, .. } => {
            object.causes(error);
        }
        M::HandleResolution { items, .. } => object.put_some("items", items),
        M::HandleResolutionResponse {
            policy,
            pool_elements,
            error,
            ..
        } => {
            object.put_some("policy", policy.as_ref().map(self::policy));
            object.put("pool_elements", elements(pool_elements));
            object.causes(error);
        }
        M::ServerAnnounce { transports, .. } => {
            let transports: Vec<_> = transports.iter().map(|one| transport(&one)).collect();
            object.put("transports", transports);
        }
        M::Cookie { cookie } | M::CookieEcho { cookie } => {
            object.put("cookie", hexadecimal(cookie));
        }
        M::BusinessCard { pool_elements, .. } => {
            object.put("pool_elements", elements(pool_elements));
        }
        M::Error { causes } => object.causes(Some(causes)),
    }
}

/// What an ASAP message is about: server, pool and element.
fn asap_names(object: &mut Map<String, Value>, message: &asap::Message<'_>) {
    use asap::Message as M;
    match *message {
        M::Registration { pool_handle, .. }
        | M::HandleResolution { pool_handle, .. }
        | M::HandleResolutionResponse { pool_handle, .. }
        | M::BusinessCard { pool_handle, .. } => object.handle(pool_handle),
        M::Deregistration { pool_handle, pe_id }
        | M::RegistrationResponse {
            pool_handle, pe_id, ..
        }
        | M::DeregistrationResponse {
            pool_handle, pe_id, ..
        }
        | M::EndpointKeepAliveAck { pool_handle, pe_id }
        | M::EndpointUnreachable { pool_handle, pe_id } => {
            object.handle(pool_handle);
            object.put("pe_id", pe_id.0);
        }
        M::EndpointKeepAlive {
            server_id,
            pool_handle,
            pe_id,
            ..
        } => {
            object.put("server_id", server_id.0);
            object.handle(pool_handle);
            object.put_some("pe_id", pe_id.map(|pe_id| pe_id.0));
        }
        M::ServerAnnounce { server_id, .. } => object.put("server_id", server_id.0),
        M::Cookie { .. } | M::CookieEcho { .. } | M::Error { .. } => {}
    }
}

fn enrp_body(object: &mut Map<String, Value>, body: &MessageBody<'_>) {
    match *body {
        MessageBody::Presence {
            checksum,
            server: information,
            ..
        } => {
            let servers: Vec<_> = information.iter().map(server).collect();
            object.put_some("checksum", checksum);
            object.put("servers", servers);
        }
        MessageBody::HandleTableRequest { .. } | MessageBody::ListRequest => {}
        MessageBody::HandleTableResponse { pools, .. } => {
            let pool = |pool: enrp::Pool<'_>| {
                let mut object = Map::new();
                object.handle(pool.pool_handle);
                object.put("pool_elements", elements(pool.pool_elements));
                Value::from(object)
            };
            object.put("pools", pools.iter().map(pool).collect::<Vec<_>>());
        }
        MessageBody::HandleUpdate {
            action,
            pool_handle,
            pool_element,
            ..
        } => {
            object.put("update_action", action.to_wire());
            object.handle(pool_handle);
            object.put("pool_elements", [element(&pool_element)]);
        }
        MessageBody::ListResponse { servers, .. } => {
            let servers: Vec<_> = servers.iter().map(|one| server(&one)).collect();
            object.put("servers", servers);
        }
        MessageBody::InitTakeover {
            target: ServerId(id),
        }
        | MessageBody::InitTakeoverAck {
            target: ServerId(id),
        }
        | MessageBody::TakeoverServer {
            target: ServerId(id),
        } => object.put("target_id", id),
        MessageBody::Error { causes } => object.causes(Some(causes)),
    }
}

/// Adding to an object.
trait Put {
    fn put<V>(&mut self, key: &str, value: V)
    where
        Value: From<V>;

    fn put_some<V>(&mut self, key: &str, value: Option<V>)
    where
        Value: From<V>,
    {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn handle(&mut self, pool_handle: &[u8]) {
        self.put("pool_handle", PoolHandle::from(pool_handle).to_string());
    }

    fn causes(&mut self, causes: Option<List<'_, Cause<'_>>>) {
        let cause = |cause: Cause<'_>| {
            json!({
                "code": cause.code.0,
                "name": cause.code.name(),
                "info": hexadecimal(cause.info),
            })
        };
        let causes = causes.map(|causes| causes.iter().map(cause).collect::<Vec<_>>());
        self.put_some("causes", causes);
    }
}

impl Put for Map<String, Value> {
    fn put<V>(&mut self, key: &str, value: V)
    where
        Value: From<V>,
    {
        self.insert(key.to_owned(), Value::from(value));
    }
}

fn elements(elements: List<'_, PoolElement<'_>>) -> Vec<Value> {
    elements.iter().map(|one| element(&one)).collect()
}

/// A pool element as an object.
pub(crate) fn element(element: &PoolElement<'_>) -> Value {
    let mut object = Map::new();
    object.put("id", element.id.0);
    object.put("home_id", element.home_id.0);
    object.put("life", element.life);
    object.put("user_transport", transport(&element.user_transport));
    object.put("policy", policy(&element.policy));
    object.put_some("asap_transport", element.asap_transport.as_ref().map(sctp));
    object.into()
}

/// A registrar as an object.
pub(crate) fn server(server: &ServerInformation<'_>) -> Value {
    json!({ "id": server.id.0, "transport": sctp(&server.transport) })
}

fn sctp(transport: &SctpTransport<'_>) -> Value {
    self::transport(&Transport::Sctp(*transport))
}

fn transport(transport: &Transport<'_>) -> Value {
    let mut object = Map::new();
    object.put(
        "protocol",
        match transport {
            Transport::Dccp { .. } => "DCCP",
            Transport::Sctp(_) => "SCTP",
            Transport::Tcp { .. } => "TCP",
            Transport::Udp { .. } => "UDP",
            Transport::UdpLite { .. } => "UDP-Lite",
            Transport::Opaque(_) => "opaque",
        },
    );
    object.put_some("port", transport.port());
    match transport {
        Transport::Sctp(SctpTransport { transport_use, .. })
        | Transport::Tcp { transport_use, .. } => object.put("use", transport_use.0),
        Transport::Dccp { service_code, .. } => object.put("service_code", *service_code),
        Transport::Opaque(data) => object.put("data", hexadecimal(data)),
        Transport::Udp { .. } | Transport::UdpLite { .. } => {}
    }
    if transport.port().is_some() {
        let addresses: Vec<_> = transport.addresses().map(|one| one.to_string()).collect();
        object.put("addresses", addresses);
    }
    object.into()
}

fn policy(policy: &Policy<'_>) -> Value {
    let mut object = Map::new();
    object.put("type", policy.policy_type().0);
    object.put("name", policy.policy_type().name());
    match *policy {
        Policy::RoundRobin | Policy::Random => {}
        Policy::WeightedRoundRobin { weight } | Policy::WeightedRandom { weight } => {
            object.put("weight", weight);
        }
        Policy::Priority { priority } => object.put("priority", priority),
        Policy::LeastUsed { load } | Policy::RandomizedLeastUsed { load } => {
            object.put("load", load);
        }
        Policy::LeastUsedDegradation {
            load,
            load_degradation,
        }
        | Policy::PriorityLeastUsed {
            load,
            load_degradation,
        } => {
            object.put("load", load);
            object.put("load_degradation", load_degradation);
        }
        Policy::Other { policy_type, data } => {
            if let Some((name, fields)) = private_policy(policy_type.0)
                && data.len() >= 4 * fields.len()
            {
                object.put("name", name);
                for (field, word) in fields.iter().zip(data.chunks(4)) {
                    object.put_some(field, super::network::be32(word, 0));
                }
            }
            object.put("data", hexadecimal(data));
        }
    }
    object.into()
}

/// The reference implementation's own policies, of the range for private use: their names and the words of their data.
const fn private_policy(policy_type: u32) -> Option<(&'static str, &'static [&'static str])> {
    Some(match policy_type {
        0xb000_2001 => (
            "Weighted Random with Delay Penalty Factor",
            &["weight", "weight_dpf", "distance"],
        ),
        0xb000_2002 => (
            "Least Used with Delay Penalty Factor",
            &["load", "load_dpf", "distance"],
        ),
        _ => return None,
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 0x0f)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}
