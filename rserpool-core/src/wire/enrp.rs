//! The Endpoint Handlespace Redundancy Protocol's messages (RFC 5353 §2).

use bytes::BytesMut;

use super::asap::write_causes;
use super::body::{Body, Kinds, pool_handle};
use super::element::{PoolElement, ServerInformation};
use super::error::{Cause, DecodeError, DecodeErrorKind, EncodeError};
use super::list::{List, ListItem};
use super::param::{Params, kind};
use super::reader::{Reader, Unrecognized, Walk, place};
use super::writer::{self, Writer, pair};
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

impl Pool<'_> {
    /// The bytes of a table before its first pool.
    pub(crate) const TABLE_HEADER: usize = 12;

    /// The bytes of a pool before its first element.
    pub(crate) fn header(pool_handle: &[u8]) -> usize {
        writer::write_to(&mut [], |writer| {
            writer.param(kind::POOL_HANDLE, pool_handle);
        })
    }
}

impl<'a> ListItem<'a> for Pool<'a> {
    /// A handle and the elements up to the next handle (RFC 5353 §2.3).
    fn next<W: Walk>(params: &mut Params<'a>, walk: &mut W) -> Result<Option<Self>, DecodeError> {
        let handle = loop {
            match params.step()? {
                None => return Ok(None),
                Some(param) if param.kind == kind::POOL_HANDLE => break param,
                Some(param) => param.pass_over(walk)?,
            }
        };
        let pool_handle = pool_handle(&handle)?;
        let start = params.rest();
        let mut empty = true;
        loop {
            let before = *params;
            match params.step()? {
                Some(param) if param.kind == kind::POOL_ELEMENT => {
                    if !W::CHECKED {
                        PoolElement::decode(&param, walk)?;
                    }
                    empty = false;
                }
                Some(param) if param.kind != kind::POOL_HANDLE => param.pass_over(walk)?,
                _ if empty => return Err(handle.lacks(kind::POOL_ELEMENT)),
                _ => {
                    *params = before;
                    let length = start.len() - params.rest().len();
                    return Ok(Some(Self {
                        pool_handle,
                        pool_elements: List::checked(&start[..length]),
                    }));
                }
            }
        }
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
    const PRESENCE: Kinds = Kinds::of(&[kind::PE_CHECKSUM, kind::SERVER_INFORMATION]);
    const HANDLE_UPDATE: Kinds = Kinds::of(&[kind::POOL_HANDLE, kind::POOL_ELEMENT]);
    const ERROR: Kinds = Kinds::of(&[kind::OPERATION_ERROR]);
    const SERVERS: Kinds = Kinds::of(&[kind::SERVER_INFORMATION]);
    Some(match message_type {
        message_type::PRESENCE => (PRESENCE, Kinds::NONE),
        message_type::HANDLE_UPDATE => (HANDLE_UPDATE, Kinds::NONE),
        message_type::LIST_RESPONSE => (Kinds::NONE, SERVERS),
        message_type::ERROR => (ERROR, Kinds::NONE),
        message_type::HANDLE_TABLE_REQUEST
        | message_type::HANDLE_TABLE_RESPONSE
        | message_type::LIST_REQUEST
        | message_type::INIT_TAKEOVER
        | message_type::INIT_TAKEOVER_ACK
        | message_type::TAKEOVER_SERVER => (Kinds::NONE, Kinds::NONE),
        _ => return None,
    })
}

/// Decodes one message. Bytes after it and its padding are counted, not looked at.
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
    let sender = ServerId(reader.u32()?);
    let receiver = ServerId(reader.u32()?);
    let mut body = Body::default();
    let body = match header.kind {
        message_type::HANDLE_TABLE_RESPONSE => MessageBody::HandleTableResponse {
            rejected: header.flags & FLAG != 0,
            more: header.flags & MORE != 0,
            pools: List::decode(reader, &mut unrecognized)?,
        },
        message_type::HANDLE_UPDATE => {
            let action = update_action(&mut reader)?;
            body.read(reader, once, many, &mut unrecognized)?;
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
            body.read(reader, once, many, &mut unrecognized)?;
            match header.kind {
                message_type::INIT_TAKEOVER => MessageBody::InitTakeover { target },
                message_type::INIT_TAKEOVER_ACK => MessageBody::InitTakeoverAck { target },
                _ => MessageBody::TakeoverServer { target },
            }
        }
        _ => {
            body.read(reader, once, many, &mut unrecognized)?;
            assemble(&header, &body)?
        }
    };
    Ok(Decoded {
        message: Message {
            sender,
            receiver,
            body,
        },
        flags: header.flags,
        unrecognized: unrecognized.within(bytes),
        trailing: header.trailing,
    })
}

fn update_action(reader: &mut Reader<'_>) -> Result<UpdateAction, DecodeError> {
    let place = place(reader.rest());
    match reader.pair()? {
        (0, _) => Ok(UpdateAction::Add),
        (1, _) => Ok(UpdateAction::Delete),
        _ => Err(DecodeError::at(DecodeErrorKind::InvalidField, place)),
    }
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
        match self.table_room() {
            Some(room) => writer::append_about(target, room, |writer| self.write(writer)),
            None => writer::append(target, |writer| self.write(writer)),
        }
    }

    /// The message as bytes of its own.
    pub fn to_bytes(&self) -> Result<bytes::Bytes, EncodeError> {
        if self.table_room().is_some() {
            let mut bytes = BytesMut::new();
            return self.encode(&mut bytes).map(|()| bytes.freeze());
        }
        writer::fresh(|writer| self.write(writer))
    }

    /// The same, in memory that is shared with other messages.
    pub(crate) fn cut_from(
        &self,
        blocks: &mut writer::Blocks,
    ) -> Result<bytes::Bytes, EncodeError> {
        blocks.cut(|writer| self.write(writer))
    }

    /// How many bytes a table that is to be sent needs, where its elements have one IPv4 address.
    fn table_room(&self) -> Option<usize> {
        const ELEMENT: usize = 64;
        let MessageBody::HandleTableResponse {
            pools: List::Slice(pools),
            ..
        } = self.body
        else {
            return None;
        };
        let elements = |pool: &Pool<'_>| match pool.pool_elements {
            List::Slice(elements) => elements.len(),
            List::Wire(_) => 1,
        };
        let room = |pool| ELEMENT * elements(pool) + pool.pool_handle.len() + 8;
        Some((12 + pools.iter().map(room).sum::<usize>()).min(super::MAX_MESSAGE))
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

    fn write(&self, writer: &mut Writer<'_>) {
        let type_and_flags = u16::from(self.message_type()) << 8 | u16::from(self.flags());
        let header = pair(type_and_flags, 0);
        let message = writer.open([header, self.sender.0, self.receiver.0]);
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
                writer.words([pair(action.to_wire(), 0)]);
                writer.param(kind::POOL_HANDLE, pool_handle);
                pool_element.write(writer);
            }
            MessageBody::ListResponse { servers, .. } => servers.write(writer),
            MessageBody::InitTakeover { target }
            | MessageBody::InitTakeoverAck { target }
            | MessageBody::TakeoverServer { target } => writer.words([target.0]),
            MessageBody::Error { causes } => write_causes(writer, Some(*causes)),
            MessageBody::HandleTableRequest { .. } | MessageBody::ListRequest => {}
        }
        writer.close(message);
    }
}
