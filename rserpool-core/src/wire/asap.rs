//! The Aggregate Server Access Protocol's messages (RFC 5352 §2.2).

use bytes::BytesMut;

use super::body::{Body, Kinds};
use super::element::PoolElement;
use super::error::{Cause, DecodeError, EncodeError};
use super::list::List;
use super::param::{Params, kind};
use super::policy::Policy;
use super::reader::{Reader, Unrecognized};
use super::transport::Transport;
use super::writer::{self, Writer, header, pair};
use super::{Decoded, Header};
use crate::ids::{PeId, ServerId};

/// The message types (RFC 5352 §8.1).
pub mod message_type {
    /// ASAP_REGISTRATION.
    pub const REGISTRATION: u8 = 0x01;
    /// ASAP_DEREGISTRATION.
    pub const DEREGISTRATION: u8 = 0x02;
    /// ASAP_REGISTRATION_RESPONSE.
    pub const REGISTRATION_RESPONSE: u8 = 0x03;
    /// ASAP_DEREGISTRATION_RESPONSE.
    pub const DEREGISTRATION_RESPONSE: u8 = 0x04;
    /// ASAP_HANDLE_RESOLUTION.
    pub const HANDLE_RESOLUTION: u8 = 0x05;
    /// ASAP_HANDLE_RESOLUTION_RESPONSE.
    pub const HANDLE_RESOLUTION_RESPONSE: u8 = 0x06;
    /// ASAP_ENDPOINT_KEEP_ALIVE.
    pub const ENDPOINT_KEEP_ALIVE: u8 = 0x07;
    /// ASAP_ENDPOINT_KEEP_ALIVE_ACK.
    pub const ENDPOINT_KEEP_ALIVE_ACK: u8 = 0x08;
    /// ASAP_ENDPOINT_UNREACHABLE.
    pub const ENDPOINT_UNREACHABLE: u8 = 0x09;
    /// ASAP_SERVER_ANNOUNCE.
    pub const SERVER_ANNOUNCE: u8 = 0x0a;
    /// ASAP_COOKIE.
    pub const COOKIE: u8 = 0x0b;
    /// ASAP_COOKIE_ECHO.
    pub const COOKIE_ECHO: u8 = 0x0c;
    /// ASAP_BUSINESS_CARD.
    pub const BUSINESS_CARD: u8 = 0x0d;
    /// ASAP_ERROR.
    pub const ERROR: u8 = 0x0e;
}

/// The one flag that each message with a flag has: R, S, A or H.
const FLAG: u8 = 0x01;

/// An ASAP message.
///
/// ```
/// use rserpool_core::wire::asap::{self, Message};
///
/// let question = Message::HandleResolution { subscribe: true, pool_handle: b"EchoPool", items: None };
/// let bytes = question.to_bytes()?;
/// assert_eq!(asap::decode(&bytes)?.message, question);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Message<'a> {
    /// An element joins a pool or renews its registration (RFC 5352 §2.2.1).
    Registration {
        /// Which pool.
        pool_handle: &'a [u8],
        /// The element.
        pool_element: PoolElement<'a>,
    },
    /// An element leaves its pool (RFC 5352 §2.2.2).
    Deregistration {
        /// Which pool.
        pool_handle: &'a [u8],
        /// The element.
        pe_id: PeId,
    },
    /// The answer to a registration (RFC 5352 §2.2.3).
    RegistrationResponse {
        /// The R flag.
        rejected: bool,
        /// Which pool.
        pool_handle: &'a [u8],
        /// The element.
        pe_id: PeId,
        /// Why it was rejected, or a warning.
        error: Option<List<'a, Cause<'a>>>,
    },
    /// The answer to a de-registration, or the notice that a registration's life has ended (RFC 5352 §2.2.4).
    DeregistrationResponse {
        /// Which pool.
        pool_handle: &'a [u8],
        /// The element.
        pe_id: PeId,
        /// Why it was rejected.
        error: Option<List<'a, Cause<'a>>>,
    },
    /// A question for the elements of a pool (RFC 5352 §2.2.5).
    HandleResolution {
        /// The S flag: send updates as the pool changes.
        subscribe: bool,
        /// Which pool.
        pool_handle: &'a [u8],
        /// How many elements are wanted at most; an extension, see [`kind::ITEM_COUNT`].
        items: Option<u32>,
    },
    /// The answer to it (RFC 5352 §2.2.6).
    HandleResolutionResponse {
        /// The A flag: updates will be sent.
        accepted: bool,
        /// Which pool.
        pool_handle: &'a [u8],
        /// The pool's policy; Round Robin where it is missing.
        policy: Option<Policy<'a>>,
        /// Its elements.
        pool_elements: List<'a, PoolElement<'a>>,
        /// Where present, the question was refused.
        error: Option<List<'a, Cause<'a>>>,
    },
    /// A registrar asks whether an element is there (RFC 5352 §2.2.7).
    EndpointKeepAlive {
        /// The H flag: the sender wants to be the element's home.
        home: bool,
        /// The registrar.
        server_id: ServerId,
        /// Which pool.
        pool_handle: &'a [u8],
        /// Which element; an extension of the reference implementation.
        pe_id: Option<PeId>,
    },
    /// The answer to it (RFC 5352 §2.2.8).
    EndpointKeepAliveAck {
        /// Which pool.
        pool_handle: &'a [u8],
        /// The element.
        pe_id: PeId,
    },
    /// A report that an element cannot be reached (RFC 5352 §2.2.9).
    EndpointUnreachable {
        /// Which pool.
        pool_handle: &'a [u8],
        /// The element.
        pe_id: PeId,
    },
    /// A registrar announces itself (RFC 5352 §2.2.10).
    ServerAnnounce {
        /// The registrar.
        server_id: ServerId,
        /// Where it speaks ASAP, by SCTP and TCP.
        transports: List<'a, Transport<'a>>,
    },
    /// An element gives a user its state to keep (RFC 5352 §2.2.11).
    Cookie {
        /// The state.
        cookie: &'a [u8],
    },
    /// A user hands the state to the next element (RFC 5352 §2.2.12).
    CookieEcho {
        /// The state.
        cookie: &'a [u8],
    },
    /// Which pool the sender is of, and whom it recommends after it (RFC 5352 §2.2.13).
    BusinessCard {
        /// The sender's pool.
        pool_handle: &'a [u8],
        /// The elements in the order to fail over to.
        pool_elements: List<'a, PoolElement<'a>>,
    },
    /// What was wrong with a message (RFC 5352 §2.2.14).
    Error {
        /// The causes.
        causes: List<'a, Cause<'a>>,
    },
}

/// The parameters that a message of each type has: at most once, and any number of times.
const fn parameters(message_type: u8) -> Option<(Kinds, Kinds)> {
    const REGISTRATION: Kinds = Kinds::of(&[kind::POOL_HANDLE, kind::POOL_ELEMENT]);
    const HANDLE_AND_ID: Kinds = Kinds::of(&[kind::POOL_HANDLE, kind::PE_IDENTIFIER]);
    const RESPONSE: Kinds = Kinds::of(&[
        kind::POOL_HANDLE,
        kind::PE_IDENTIFIER,
        kind::OPERATION_ERROR,
    ]);
    const RESOLUTION: Kinds = Kinds::of(&[kind::POOL_HANDLE, kind::ITEM_COUNT]);
    const RESOLUTION_RESPONSE: Kinds =
        Kinds::of(&[kind::POOL_HANDLE, kind::POLICY, kind::OPERATION_ERROR]);
    const HANDLE: Kinds = Kinds::of(&[kind::POOL_HANDLE]);
    const COOKIE: Kinds = Kinds::of(&[kind::COOKIE]);
    const ERROR: Kinds = Kinds::of(&[kind::OPERATION_ERROR]);
    const ELEMENTS: Kinds = Kinds::of(&[kind::POOL_ELEMENT]);
    const TRANSPORTS: Kinds = Kinds::of(&[kind::SCTP_TRANSPORT, kind::TCP_TRANSPORT]);
    Some(match message_type {
        message_type::REGISTRATION => (REGISTRATION, Kinds::NONE),
        message_type::REGISTRATION_RESPONSE | message_type::DEREGISTRATION_RESPONSE => {
            (RESPONSE, Kinds::NONE)
        }
        message_type::HANDLE_RESOLUTION => (RESOLUTION, Kinds::NONE),
        message_type::HANDLE_RESOLUTION_RESPONSE => (RESOLUTION_RESPONSE, ELEMENTS),
        message_type::DEREGISTRATION
        | message_type::ENDPOINT_KEEP_ALIVE
        | message_type::ENDPOINT_KEEP_ALIVE_ACK
        | message_type::ENDPOINT_UNREACHABLE => (HANDLE_AND_ID, Kinds::NONE),
        message_type::SERVER_ANNOUNCE => (Kinds::NONE, TRANSPORTS),
        message_type::COOKIE | message_type::COOKIE_ECHO => (COOKIE, Kinds::NONE),
        message_type::BUSINESS_CARD => (HANDLE, ELEMENTS),
        message_type::ERROR => (ERROR, Kinds::NONE),
        _ => return None,
    })
}

/// Decodes one message. Bytes after it and its padding are counted, not looked at.
///
/// ```
/// use rserpool_core::wire::asap::{self, Message};
///
/// fn describe(bytes: &[u8]) -> String {
///     match asap::decode(bytes) {
///         Ok(decoded) => match decoded.message {
///             Message::HandleResolution { pool_handle, .. } => format!("asks for {pool_handle:?}"),
///             other => format!("{other:?}"),
///         },
///         Err(error) => error.to_string(),
///     }
/// }
/// ```
pub fn decode(bytes: &[u8]) -> Result<Decoded<Message<'_>>, DecodeError> {
    let mut decoded = decode_in_place(bytes);
    if let Err(error) = &mut decoded {
        *error = error.within(bytes);
    }
    decoded
}

/// Decodes with [places](super::reader::place) for offsets.
fn decode_in_place(bytes: &[u8]) -> Result<Decoded<Message<'_>>, DecodeError> {
    let header = Header::decode(bytes)?;
    let Some((once, many)) = parameters(header.kind) else {
        return Err(header.unknown());
    };
    let mut unrecognized = Unrecognized::default();
    let mut reader = Reader::new(header.value);
    let server_id = match header.kind {
        message_type::ENDPOINT_KEEP_ALIVE | message_type::SERVER_ANNOUNCE => {
            ServerId(reader.u32()?)
        }
        _ => ServerId::default(),
    };
    let mut body = Body::default();
    body.read(reader, once, many, &mut unrecognized)?;
    Ok(Decoded {
        message: assemble(&header, server_id, &body)?,
        flags: header.flags,
        unrecognized: unrecognized.within(bytes),
        trailing: header.trailing,
    })
}

fn assemble<'a>(
    header: &Header<'a>,
    server_id: ServerId,
    body: &Body<'a>,
) -> Result<Message<'a>, DecodeError> {
    let flag = header.flags & FLAG != 0;
    Ok(match header.kind {
        message_type::REGISTRATION => Message::Registration {
            pool_handle: body.pool_handle()?,
            pool_element: body.pool_element()?,
        },
        message_type::DEREGISTRATION => Message::Deregistration {
            pool_handle: body.pool_handle()?,
            pe_id: body.pe_id()?,
        },
        message_type::REGISTRATION_RESPONSE => Message::RegistrationResponse {
            rejected: flag,
            pool_handle: body.pool_handle()?,
            pe_id: body.pe_id()?,
            error: body.error,
        },
        message_type::DEREGISTRATION_RESPONSE => Message::DeregistrationResponse {
            pool_handle: body.pool_handle()?,
            pe_id: body.pe_id()?,
            error: body.error,
        },
        message_type::HANDLE_RESOLUTION => Message::HandleResolution {
            subscribe: flag,
            pool_handle: body.pool_handle()?,
            items: body.items,
        },
        message_type::HANDLE_RESOLUTION_RESPONSE => Message::HandleResolutionResponse {
            accepted: flag,
            pool_handle: body.pool_handle()?,
            policy: body.policy,
            pool_elements: body.list(),
            error: body.error,
        },
        message_type::ENDPOINT_KEEP_ALIVE => Message::EndpointKeepAlive {
            home: flag,
            server_id,
            pool_handle: body.pool_handle()?,
            pe_id: body.optional_pe_id(),
        },
        message_type::ENDPOINT_KEEP_ALIVE_ACK => Message::EndpointKeepAliveAck {
            pool_handle: body.pool_handle()?,
            pe_id: body.pe_id()?,
        },
        message_type::ENDPOINT_UNREACHABLE => Message::EndpointUnreachable {
            pool_handle: body.pool_handle()?,
            pe_id: body.pe_id()?,
        },
        message_type::SERVER_ANNOUNCE => Message::ServerAnnounce {
            server_id,
            transports: body.list(),
        },
        message_type::COOKIE => Message::Cookie {
            cookie: body.cookie()?,
        },
        message_type::COOKIE_ECHO => Message::CookieEcho {
            cookie: body.cookie()?,
        },
        message_type::BUSINESS_CARD => Message::BusinessCard {
            pool_handle: body.pool_handle()?,
            pool_elements: body.list_of(kind::POOL_ELEMENT)?,
        },
        message_type::ERROR => Message::Error {
            causes: body.causes()?,
        },
        _ => return Err(header.unknown()),
    })
}

/// What a registration that cannot be decoded was about, as far as it can be seen: with it the rejection reaches the right
/// request (RFC 5352 §3.1).
pub fn salvage_registration(bytes: &[u8]) -> Option<(&[u8], PeId)> {
    let header = Header::decode(bytes).ok()?;
    if header.kind != message_type::REGISTRATION {
        return None;
    }
    let (mut pool_handle, mut pe_id) = (None, None);
    for param in Params::new(header.value).map_while(Result::ok) {
        match param.kind {
            kind::POOL_HANDLE if pool_handle.is_none() => pool_handle = Some(param.value),
            kind::POOL_ELEMENT if pe_id.is_none() => pe_id = param.reader().u32().ok(),
            _ => {}
        }
    }
    let pool_handle = pool_handle.filter(|handle| !handle.is_empty())?;
    Some((pool_handle, PeId(pe_id?)))
}

impl Message<'_> {
    /// Its type.
    pub const fn message_type(&self) -> u8 {
        match self {
            Self::Registration { .. } => message_type::REGISTRATION,
            Self::Deregistration { .. } => message_type::DEREGISTRATION,
            Self::RegistrationResponse { .. } => message_type::REGISTRATION_RESPONSE,
            Self::DeregistrationResponse { .. } => message_type::DEREGISTRATION_RESPONSE,
            Self::HandleResolution { .. } => message_type::HANDLE_RESOLUTION,
            Self::HandleResolutionResponse { .. } => message_type::HANDLE_RESOLUTION_RESPONSE,
            Self::EndpointKeepAlive { .. } => message_type::ENDPOINT_KEEP_ALIVE,
            Self::EndpointKeepAliveAck { .. } => message_type::ENDPOINT_KEEP_ALIVE_ACK,
            Self::EndpointUnreachable { .. } => message_type::ENDPOINT_UNREACHABLE,
            Self::ServerAnnounce { .. } => message_type::SERVER_ANNOUNCE,
            Self::Cookie { .. } => message_type::COOKIE,
            Self::CookieEcho { .. } => message_type::COOKIE_ECHO,
            Self::BusinessCard { .. } => message_type::BUSINESS_CARD,
            Self::Error { .. } => message_type::ERROR,
        }
    }

    /// The name of a message type (RFC 5352 §8.1), for those that have one.
    pub const fn name_of(message_type: u8) -> Option<&'static str> {
        Some(match message_type {
            message_type::REGISTRATION => "ASAP_REGISTRATION",
            message_type::DEREGISTRATION => "ASAP_DEREGISTRATION",
            message_type::REGISTRATION_RESPONSE => "ASAP_REGISTRATION_RESPONSE",
            message_type::DEREGISTRATION_RESPONSE => "ASAP_DEREGISTRATION_RESPONSE",
            message_type::HANDLE_RESOLUTION => "ASAP_HANDLE_RESOLUTION",
            message_type::HANDLE_RESOLUTION_RESPONSE => "ASAP_HANDLE_RESOLUTION_RESPONSE",
            message_type::ENDPOINT_KEEP_ALIVE => "ASAP_ENDPOINT_KEEP_ALIVE",
            message_type::ENDPOINT_KEEP_ALIVE_ACK => "ASAP_ENDPOINT_KEEP_ALIVE_ACK",
            message_type::ENDPOINT_UNREACHABLE => "ASAP_ENDPOINT_UNREACHABLE",
            message_type::SERVER_ANNOUNCE => "ASAP_SERVER_ANNOUNCE",
            message_type::COOKIE => "ASAP_COOKIE",
            message_type::COOKIE_ECHO => "ASAP_COOKIE_ECHO",
            message_type::BUSINESS_CARD => "ASAP_BUSINESS_CARD",
            message_type::ERROR => "ASAP_ERROR",
            _ => return None,
        })
    }

    /// Appends the message to `target`; on an error nothing is appended.
    pub fn encode(&self, target: &mut BytesMut) -> Result<(), EncodeError> {
        writer::append(target, |writer| self.write(writer))
    }

    /// The message as bytes of its own.
    pub fn to_bytes(&self) -> Result<bytes::Bytes, EncodeError> {
        writer::fresh(|writer| self.write(writer))
    }

    /// The same, in memory that is shared with other messages.
    pub(crate) fn cut_from(
        &self,
        blocks: &mut writer::Blocks,
    ) -> Result<bytes::Bytes, EncodeError> {
        blocks.cut(|writer| self.write(writer))
    }

    const fn flag(&self) -> bool {
        match *self {
            Self::RegistrationResponse { rejected: flag, .. }
            | Self::HandleResolution {
                subscribe: flag, ..
            }
            | Self::HandleResolutionResponse { accepted: flag, .. }
            | Self::EndpointKeepAlive { home: flag, .. } => flag,
            _ => false,
        }
    }

    fn write(&self, writer: &mut Writer<'_>) {
        let type_and_flags = u16::from(self.message_type()) << 8 | u16::from(self.flag());
        let message = writer.open([pair(type_and_flags, 0)]);
        match self {
            Self::Registration {
                pool_handle,
                pool_element,
            } => {
                writer.param(kind::POOL_HANDLE, pool_handle);
                super::ListItem::write(pool_element, writer);
            }
            Self::Deregistration { pool_handle, pe_id }
            | Self::EndpointKeepAliveAck { pool_handle, pe_id }
            | Self::EndpointUnreachable { pool_handle, pe_id } => {
                writer.param(kind::POOL_HANDLE, pool_handle);
                writer.words([header(kind::PE_IDENTIFIER, 4), pe_id.0]);
            }
            Self::RegistrationResponse {
                pool_handle,
                pe_id,
                error,
                ..
            }
            | Self::DeregistrationResponse {
                pool_handle,
                pe_id,
                error,
            } => {
                writer.param(kind::POOL_HANDLE, pool_handle);
                writer.words([header(kind::PE_IDENTIFIER, 4), pe_id.0]);
                write_causes(writer, *error);
            }
            Self::HandleResolution {
                pool_handle, items, ..
            } => {
                writer.param(kind::POOL_HANDLE, pool_handle);
                if let Some(items) = items {
                    writer.words([header(kind::ITEM_COUNT, 4), *items]);
                }
            }
            Self::HandleResolutionResponse {
                pool_handle,
                policy,
                pool_elements,
                error,
                ..
            } => {
                writer.param(kind::POOL_HANDLE, pool_handle);
                if let Some(policy) = policy {
                    policy.write(writer);
                }
                pool_elements.write(writer);
                write_causes(writer, *error);
            }
            Self::EndpointKeepAlive {
                server_id,
                pool_handle,
                pe_id,
                ..
            } => {
                writer.words([server_id.0]);
                writer.param(kind::POOL_HANDLE, pool_handle);
                if let Some(pe_id) = pe_id {
                    writer.words([header(kind::PE_IDENTIFIER, 4), pe_id.0]);
                }
            }
            Self::ServerAnnounce {
                server_id,
                transports,
            } => {
                writer.words([server_id.0]);
                transports.write(writer);
            }
            Self::Cookie { cookie } | Self::CookieEcho { cookie } => {
                writer.param(kind::COOKIE, cookie);
            }
            Self::BusinessCard {
                pool_handle,
                pool_elements,
            } => {
                writer.param(kind::POOL_HANDLE, pool_handle);
                pool_elements.write(writer);
            }
            Self::Error { causes } => write_causes(writer, Some(*causes)),
        }
        writer.close(message);
    }
}

pub(super) fn write_causes(writer: &mut Writer<'_>, causes: Option<List<'_, Cause<'_>>>) {
    if let Some(causes) = causes {
        let error = writer.open([pair(kind::OPERATION_ERROR, 0)]);
        causes.write(writer);
        writer.close_unpadded(error);
    }
}
