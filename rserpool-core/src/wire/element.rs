//! The Pool Element and Server Information parameters (RFC 5354 §3.10, §3.11).

use super::error::{DecodeError, DecodeErrorKind};
use super::list::ListItem;
use super::param::{Param, Params, kind};
use super::policy::Policy;
use super::reader::Unrecognized;
use super::transport::{SctpTransport, Transport};
use super::writer::Writer;
use crate::ids::{PeId, ServerId};

/// A pool element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolElement<'a> {
    /// Its identifier within the pool.
    pub id: PeId,
    /// Its home registrar; 0 while it has none.
    pub home_id: ServerId,
    /// The Registration Life field; what it means is a matter of the [dialect](crate::Dialect::life_from_wire).
    pub life: i32,
    /// Where it serves users.
    pub user_transport: Transport<'a>,
    /// The pool's policy and its values for it.
    pub policy: Policy<'a>,
    /// Where its registrar reaches it by ASAP. Elements leave it out, registrars fill it in.
    pub asap_transport: Option<SctpTransport<'a>>,
}

impl<'a> PoolElement<'a> {
    /// Decodes the parameter. The first transport is the user's; a second one must be SCTP and is ASAP's.
    pub(crate) fn decode(
        param: &Param<'a>,
        unrecognized: &mut Unrecognized,
    ) -> Result<Self, DecodeError> {
        let mut reader = param.reader();
        let invalid = |_| param.invalid();
        let id = PeId(reader.u32().map_err(invalid)?);
        let home_id = ServerId(reader.u32().map_err(invalid)?);
        let life = reader.u32().map_err(invalid)?.cast_signed();
        let (mut user_transport, mut asap_transport, mut policy) = (None, None, None);
        for inner in Params::of(reader) {
            let inner = inner?;
            if let Some(transport) = Transport::decode(&inner, unrecognized)? {
                match (user_transport, asap_transport, transport) {
                    (None, ..) => user_transport = Some(transport),
                    (_, None, Transport::Sctp(sctp)) => asap_transport = Some(sctp),
                    (_, None, _) => return Err(inner.invalid()),
                    _ => return Err(inner.duplicate()),
                }
            } else if inner.kind == kind::POLICY {
                let value = Policy::decode(&inner)?;
                if policy.replace(value).is_some() {
                    return Err(inner.duplicate());
                }
            } else {
                inner.pass_over(unrecognized)?;
            }
        }
        let missing = |kind| param.error(DecodeErrorKind::MissingParameter(kind));
        Ok(Self {
            id,
            home_id,
            life,
            user_transport: user_transport.ok_or_else(|| missing(kind::SCTP_TRANSPORT))?,
            policy: policy.ok_or_else(|| missing(kind::POLICY))?,
            asap_transport,
        })
    }

    fn value_len(&self) -> usize {
        12 + self.user_transport.encoded_len()
            + self.policy.encoded_len()
            + self
                .asap_transport
                .map_or(0, |sctp| Transport::Sctp(sctp).encoded_len())
    }
}

impl<'a> ListItem<'a> for PoolElement<'a> {
    fn next(
        params: &mut Params<'a>,
        unrecognized: &mut Unrecognized,
    ) -> Result<Option<Self>, DecodeError> {
        // The message's own decoder has looked at what stands between the elements.
        while let Some(param) = params.next().transpose()? {
            if param.kind == kind::POOL_ELEMENT {
                return Self::decode(&param, unrecognized).map(Some);
            }
        }
        Ok(None)
    }

    fn encoded_len(&self) -> usize {
        4 + self.value_len()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.param_header(kind::POOL_ELEMENT, self.value_len());
        writer.u32(self.id.0);
        writer.u32(self.home_id.0);
        writer.u32(self.life.cast_unsigned());
        self.user_transport.write(writer);
        self.policy.write(writer);
        if let Some(sctp) = self.asap_transport {
            Transport::Sctp(sctp).write(writer);
        }
    }
}

/// What a registrar tells of itself or of a peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServerInformation<'a> {
    /// The registrar.
    pub id: ServerId,
    /// Where it speaks ENRP.
    pub transport: SctpTransport<'a>,
}

impl<'a> ServerInformation<'a> {
    pub(crate) fn decode(
        param: &Param<'a>,
        unrecognized: &mut Unrecognized,
    ) -> Result<Self, DecodeError> {
        let mut reader = param.reader();
        let id = ServerId(reader.u32().map_err(|_| param.invalid())?);
        let mut transport = None;
        for inner in Params::of(reader) {
            let inner = inner?;
            match Transport::decode(&inner, unrecognized)? {
                Some(Transport::Sctp(sctp)) if transport.is_none() => transport = Some(sctp),
                Some(Transport::Sctp(_)) => return Err(inner.duplicate()),
                Some(_) => return Err(inner.invalid()),
                None => inner.pass_over(unrecognized)?,
            }
        }
        let transport = transport
            .ok_or_else(|| param.error(DecodeErrorKind::MissingParameter(kind::SCTP_TRANSPORT)))?;
        Ok(Self { id, transport })
    }
}

impl<'a> ListItem<'a> for ServerInformation<'a> {
    fn next(
        params: &mut Params<'a>,
        unrecognized: &mut Unrecognized,
    ) -> Result<Option<Self>, DecodeError> {
        while let Some(param) = params.next().transpose()? {
            if param.kind == kind::SERVER_INFORMATION {
                return Self::decode(&param, unrecognized).map(Some);
            }
        }
        Ok(None)
    }

    fn encoded_len(&self) -> usize {
        8 + Transport::Sctp(self.transport).encoded_len()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        let transport = Transport::Sctp(self.transport);
        writer.param_header(kind::SERVER_INFORMATION, 4 + transport.encoded_len());
        writer.u32(self.id.0);
        transport.write(writer);
    }
}
