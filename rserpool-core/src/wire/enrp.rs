//! The Endpoint Handlespace Redundancy Protocol's messages (RFC 5353 §2).

use bytes::BytesMut;

use super::asap::{param_len, write_causes};
use super::body::{Body, Kinds, pool_handle};
use super::element::{PoolElement, ServerInformation};
use super::error::{Cause, DecodeError, DecodeErrorKind, EncodeError};
use super::list::{List, ListItem};
use super::param::{Params, kind};
use super::reader::{Reader, Unrecognized};
use super::writer::{self, Writer, length_field};
use super::{Decoded, Header};
use crate::ids::ServerId;

/// The message types (RFC 5353 §2).
pub mod message_type {
    /// ENRP_PRESENCE.
    pub const PRESENCE: u8 = 0x01;
    /// ENRP_HANDLE_TABLE_REQUEST.
    pub const HANDLE_TABLE_REQUEST: u8 = 0x02;
    /// ENRP_HANDLE_TABLE_RESPONSE.
    pub const HANDLE_TABLE_RESPONSE: u8 = 0x03;
    /// ENRP_HANDLE_UPDATE.
    pub const HANDLE_UPDATE: u8 = 0x04;
    /// ENRP_LIST_REQUEST.
    pub const LIST_REQUEST: u8 = 0x05;
    /// ENRP_LIST_RESPONSE.
    pub const LIST_RESPONSE: u8 = 0x06;
    /// ENRP_INIT_TAKEOVER.
    pub const INIT_TAKEOVER: u8 = 0x07;
    /// ENRP_INIT_TAKEOVER_ACK.
    pub const INIT_TAKEOVER_ACK: u8 = 0x08;
    /// ENRP_TAKEOVER_SERVER.
    pub const TAKEOVER_SERVER: u8 = 0x09;
    /// ENRP_ERROR.
    pub const ERROR: u8 = 0x0a;
}

/// The first flag: R of a presence, W of a table request, R of a response, T of an update.
const FLAG: u8 = 0x01;
/// M of a table response: more will follow.
const MORE: u8 = 0x02;

/// What an update does (RFC 5353 §2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateAction {
    /// ADD_PE: add the element, or replace what is known of it.
    Add,
    /// DEL_PE: delete the element.
    Delete,
}

impl UpdateAction {
    /// The field's value.
    pub const fn to_wire(self) -> u16 {
        match self {
            Self::Add => 0,
            Self::Delete => 1,
        }
    }
}

/// A pool and elements of it, as a handle table has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pool<'a> {
    /// The pool.
    pub pool_handle: &'a [u8],
    /// At least one of its elements.
    pub pool_elements: List<'a, PoolElement<'a>>,
}

impl<'a> ListItem<'a> for Pool<'a> {
    /// A handle and the elements up to the next handle (RFC 5353 §2.3).
    fn next(
        params: &mut Params<'a>,
        unrecognized: &mut Unrecognized,
    ) -> Result<Option<Self>, DecodeError> {
        let handle = loop {
            match params.next().transpose()? {
                None => return Ok(None),
                Some(param) if param.kind == kind::POOL_HANDLE => break param,
                Some(param) => param.pass_over(unrecognized)?,
            }
        };
        let start = params.rest();
        let mut count = 0;
        loop {
            let before = *params;
            match params.next().transpose()? {
                Some(param) if param.kind == kind::POOL_ELEMENT => {
                    PoolElement::decode(&param, unrecognized)?;
                    count += 1;
                }
                Some(param) if param.kind != kind::POOL_HANDLE => param.pass_over(unrecognized)?,
                next => {
                    if next.is_some() {
                        *params = before;
                    }
                    let length = start.len() - params.rest().len();
                    if count == 0 {
                        return Err(
                            handle.error(DecodeErrorKind::MissingParameter(kind::POOL_ELEMENT))
                        );
                    }
                    return Ok(Some(Self {
                        pool_handle: pool_handle(&handle)?,
                        pool_elements: List::checked(&start[..length], count),
                    }));
                }
            }
        }
    }

    fn encoded_len(&self) -> usize {
        param_len(self.pool_handle) + self.pool_elements.encoded_len()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.param(kind::POOL_HANDLE, self.pool_handle);
        self.pool_elements.write(writer);
    }
}

/// An ENRP message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Message<'a> {
    /// The sending registrar.
    pub sender: ServerId,
    /// The receiving registrar, 0 for all.
    pub receiver: ServerId,
    /// What it says.
    pub body: MessageBody<'a>,
}

/// What an ENRP message says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MessageBody<'a> {
    /// A registrar is there (RFC 5353 §2.1).
    Presence {
        /// The R flag: answer with a presence of your own.
        reply_required: bool,
        /// The checksum of the elements that the sender owns.
        checksum: Option<u16>,
        /// Where the sender is.
        server: Option<ServerInformation<'a>>,
    },
    /// A question for the handle table (RFC 5353 §2.2).
    HandleTableRequest {
        /// The W flag: only the elements that the receiver owns.
        own_only: bool,
    },
    /// A part of the handle table (RFC 5353 §2.3).
    HandleTableResponse {
        /// The R flag.
        rejected: bool,
        /// The M flag: ask again for the next part.
        more: bool,
        /// The pools.
        pools: List<'a, Pool<'a>>,
    },
    /// An element has come, changed or gone (RFC 5353 §2.4).
    HandleUpdate {
        /// What to do.
        action: UpdateAction,
        /// The T flag, an extension of the reference implementation: the receiver may take the element over.
        takeover_suggested: bool,
        /// Which pool.
        pool_handle: &'a [u8],
        /// The element.
        pool_element: PoolElement<'a>,
    },
    /// A question for the known registrars (RFC 5353 §2.5).
    ListRequest,
    /// The known registrars (RFC 5353 §2.6).
    ListResponse {
        /// The R flag.
        rejected: bool,
        /// The registrars.
        servers: List<'a, ServerInformation<'a>>,
    },
    /// The sender is about to take over the target's elements (RFC 5353 §2.7).
    InitTakeover {
        /// The registrar that is thought dead.
        target: ServerId,
    },
    /// No objection to it (RFC 5353 §2.8).
    InitTakeoverAck {
        /// The registrar that is thought dead.
        target: ServerId,
    },
    /// The sender has taken over the target's elements (RFC 5353 §2.9).
    TakeoverServer {
        /// The registrar that is thought dead.
        target: ServerId,
    },
    /// What was wrong with a message (RFC 5353 §2.10).
    Error {
        /// The causes.
        causes: List<'a, Cause<'a>>,
    },
}

/// The parameters that a message of each type has: at most once, and any number of times. A handle table has a walk of its
/// own.
const fn parameters(message_type: u8) -> Option<(Kinds, Kinds)> {
    let (once, many): (&[u16], &[u16]) = match message_type {
        message_type::PRESENCE => (&[kind::PE_CHECKSUM, kind::SERVER_INFORMATION], &[]),
        message_type::HANDLE_UPDATE => (&[kind::POOL_HANDLE, kind::POOL_ELEMENT], &[]),
        message_type::LIST_RESPONSE => (&[], &[kind::SERVER_INFORMATION]),
        message_type::ERROR => (&[kind::OPERATION_ERROR], &[]),
        message_type::HANDLE_TABLE_REQUEST
        | message_type::HANDLE_TABLE_RESPONSE
        | message_type::LIST_REQUEST
        | message_type::INIT_TAKEOVER
        | message_type::INIT_TAKEOVER_ACK
        | message_type::TAKEOVER_SERVER => (&[], &[]),
        _ => return None,
    };
    Some((Kinds::of(once), Kinds::of(many)))
}

/// Decodes one message. Bytes after it and its padding are counted, not looked at.
pub fn decode(bytes: &[u8]) -> Result<Decoded<Message<'_>>, DecodeError> {
    let header = Header::decode(bytes)?;
    let Some((once, many)) = parameters(header.kind) else {
        return Err(header.unknown());
    };
    let mut unrecognized = Unrecognized::default();
    let mut reader = Reader::new(&header.message[4..], 4);
    let sender = ServerId(reader.u32()?);
    let receiver = ServerId(reader.u32()?);
    let body = match header.kind {
        message_type::HANDLE_TABLE_RESPONSE => MessageBody::HandleTableResponse {
            rejected: header.flags & FLAG != 0,
            more: header.flags & MORE != 0,
            pools: List::decode(reader, &mut unrecognized)?,
        },
        message_type::HANDLE_UPDATE => {
            let action = update_action(&mut reader)?;
            let body = Body::decode(reader, once, many, &mut unrecognized)?;
            MessageBody::HandleUpdate {
                action,
                takeover_suggested: header.flags & FLAG != 0,
                pool_handle: body.pool_handle()?,
                pool_element: body.pool_element()?,
            }
        }
        message_type::INIT_TAKEOVER
        | message_type::INIT_TAKEOVER_ACK
        | message_type::TAKEOVER_SERVER => {
            let target = ServerId(reader.u32()?);
            Body::decode(reader, Kinds::NONE, Kinds::NONE, &mut unrecognized)?;
            match header.kind {
                message_type::INIT_TAKEOVER => MessageBody::InitTakeover { target },
                message_type::INIT_TAKEOVER_ACK => MessageBody::InitTakeoverAck { target },
                _ => MessageBody::TakeoverServer { target },
            }
        }
        _ => assemble(
            &header,
            &Body::decode(reader, once, many, &mut unrecognized)?,
        )?,
    };
    Ok(Decoded {
        message: Message {
            sender,
            receiver,
            body,
        },
        flags: header.flags,
        unrecognized,
        trailing: header.trailing,
    })
}

fn update_action(reader: &mut Reader<'_>) -> Result<UpdateAction, DecodeError> {
    let offset = reader.offset();
    let action = match reader.u16()? {
        0 => UpdateAction::Add,
        1 => UpdateAction::Delete,
        _ => return Err(DecodeError::at(DecodeErrorKind::InvalidField, offset)),
    };
    reader.u16()?;
    Ok(action)
}

fn assemble<'a>(header: &Header<'a>, body: &Body<'a>) -> Result<MessageBody<'a>, DecodeError> {
    let flag = header.flags & FLAG != 0;
    Ok(match header.kind {
        message_type::PRESENCE => MessageBody::Presence {
            reply_required: flag,
            checksum: body.checksum,
            server: body.server,
        },
        message_type::HANDLE_TABLE_REQUEST => MessageBody::HandleTableRequest { own_only: flag },
        message_type::LIST_REQUEST => MessageBody::ListRequest,
        message_type::LIST_RESPONSE => MessageBody::ListResponse {
            rejected: flag,
            servers: body.list(),
        },
        message_type::ERROR => MessageBody::Error {
            causes: body.causes()?,
        },
        _ => return Err(header.unknown()),
    })
}

impl Message<'_> {
    /// Its type.
    pub const fn message_type(&self) -> u8 {
        match self.body {
            MessageBody::Presence { .. } => message_type::PRESENCE,
            MessageBody::HandleTableRequest { .. } => message_type::HANDLE_TABLE_REQUEST,
            MessageBody::HandleTableResponse { .. } => message_type::HANDLE_TABLE_RESPONSE,
            MessageBody::HandleUpdate { .. } => message_type::HANDLE_UPDATE,
            MessageBody::ListRequest => message_type::LIST_REQUEST,
            MessageBody::ListResponse { .. } => message_type::LIST_RESPONSE,
            MessageBody::InitTakeover { .. } => message_type::INIT_TAKEOVER,
            MessageBody::InitTakeoverAck { .. } => message_type::INIT_TAKEOVER_ACK,
            MessageBody::TakeoverServer { .. } => message_type::TAKEOVER_SERVER,
            MessageBody::Error { .. } => message_type::ERROR,
        }
    }

    /// The name of a message type (RFC 5353 §2), for those that have one.
    pub const fn name_of(message_type: u8) -> Option<&'static str> {
        Some(match message_type {
            message_type::PRESENCE => "ENRP_PRESENCE",
            message_type::HANDLE_TABLE_REQUEST => "ENRP_HANDLE_TABLE_REQUEST",
            message_type::HANDLE_TABLE_RESPONSE => "ENRP_HANDLE_TABLE_RESPONSE",
            message_type::HANDLE_UPDATE => "ENRP_HANDLE_UPDATE",
            message_type::LIST_REQUEST => "ENRP_LIST_REQUEST",
            message_type::LIST_RESPONSE => "ENRP_LIST_RESPONSE",
            message_type::INIT_TAKEOVER => "ENRP_INIT_TAKEOVER",
            message_type::INIT_TAKEOVER_ACK => "ENRP_INIT_TAKEOVER_ACK",
            message_type::TAKEOVER_SERVER => "ENRP_TAKEOVER_SERVER",
            message_type::ERROR => "ENRP_ERROR",
            _ => return None,
        })
    }

    /// Appends the message to `target`; on an error nothing is appended.
    pub fn encode(&self, target: &mut BytesMut) -> Result<(), EncodeError> {
        let length = self.encoded_len();
        writer::append(target, length, |writer| self.write(writer, length))
    }

    /// The message as bytes of its own.
    pub fn to_bytes(&self) -> Result<bytes::Bytes, EncodeError> {
        let mut bytes = BytesMut::new();
        self.encode(&mut bytes)?;
        Ok(bytes.freeze())
    }

    const fn flags(&self) -> u8 {
        let (flag, more) = match self.body {
            MessageBody::Presence {
                reply_required: flag,
                ..
            }
            | MessageBody::HandleTableRequest { own_only: flag }
            | MessageBody::HandleUpdate {
                takeover_suggested: flag,
                ..
            }
            | MessageBody::ListResponse { rejected: flag, .. } => (flag, false),
            MessageBody::HandleTableResponse { rejected, more, .. } => (rejected, more),
            _ => (false, false),
        };
        let first = if flag { FLAG } else { 0 };
        if more { first | MORE } else { first }
    }

    fn encoded_len(&self) -> usize {
        12 + match &self.body {
            MessageBody::Presence {
                checksum, server, ..
            } => checksum.map_or(0, |_| 8) + server.map_or(0, |server| server.encoded_len()),
            MessageBody::HandleTableResponse { pools, .. } => pools.encoded_len(),
            MessageBody::HandleUpdate {
                pool_handle,
                pool_element,
                ..
            } => 4 + param_len(pool_handle) + pool_element.encoded_len(),
            MessageBody::ListResponse { servers, .. } => servers.encoded_len(),
            MessageBody::InitTakeover { .. }
            | MessageBody::InitTakeoverAck { .. }
            | MessageBody::TakeoverServer { .. } => 4,
            MessageBody::Error { causes } => 4 + causes.encoded_len(),
            MessageBody::HandleTableRequest { .. } | MessageBody::ListRequest => 0,
        }
    }

    fn write(&self, writer: &mut Writer<'_>, length: usize) {
        let header = u16::from(self.message_type()) << 8 | u16::from(self.flags());
        writer.pair(header, length_field(length));
        writer.u32(self.sender.0);
        writer.u32(self.receiver.0);
        match &self.body {
            MessageBody::Presence {
                checksum, server, ..
            } => {
                if let Some(checksum) = checksum {
                    writer.param(kind::PE_CHECKSUM, &checksum.to_be_bytes());
                }
                if let Some(server) = server {
                    server.write(writer);
                }
            }
            MessageBody::HandleTableResponse { pools, .. } => pools.write(writer),
            MessageBody::HandleUpdate {
                action,
                pool_handle,
                pool_element,
                ..
            } => {
                writer.pair(action.to_wire(), 0);
                writer.param(kind::POOL_HANDLE, pool_handle);
                pool_element.write(writer);
            }
            MessageBody::ListResponse { servers, .. } => servers.write(writer),
            MessageBody::InitTakeover { target }
            | MessageBody::InitTakeoverAck { target }
            | MessageBody::TakeoverServer { target } => writer.u32(target.0),
            MessageBody::Error { causes } => write_causes(writer, Some(*causes)),
            MessageBody::HandleTableRequest { .. } | MessageBody::ListRequest => {}
        }
    }
}
