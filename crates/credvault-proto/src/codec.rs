//! Protobuf over gRPC, as tonic's own codec does it, with two differences. A request that does not decode is the caller's
//! mistake and is answered with `INVALID_ARGUMENT`; a response that does not decode stays `INTERNAL`. An encoder reserves
//! exactly the bytes that its message needs.

use std::marker::PhantomData;

use prost::{DecodeError, Message, Name};
use tonic::codec::{BufferSettings, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status};

/// The size of a new buffer. Most answers fit.
const INITIAL_BUFFER_BYTES: usize = 1024;
/// A stream sends what it has encoded once it has this many bytes.
const SEND_THRESHOLD_BYTES: usize = 32 * 1024;

/// The codec of every RPC, in clients and servers.
#[derive(Debug)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + Send + 'static, U: Name + Default + Send + 'static> tonic::codec::Codec for Codec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = ProtobufEncoder<T>;
    type Decoder = ProtobufDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProtobufEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProtobufDecoder(PhantomData)
    }
}

/// Encodes one message into a buffer of exactly its size. A buffer that grows by doubling would hold up to twice as
/// many bytes for as long as the answer is unread.
#[derive(Debug)]
pub struct ProtobufEncoder<T>(PhantomData<T>);

impl<T: Message> Encoder for ProtobufEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.encoded_len());
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(INITIAL_BUFFER_BYTES, SEND_THRESHOLD_BYTES)
    }
}

/// Decodes one message from the bytes of a frame.
#[derive(Debug)]
pub struct ProtobufDecoder<U>(PhantomData<U>);

impl<U: Name + Default> Decoder for ProtobufDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        U::decode(buffer).map(Some).map_err(|error| undecodable::<U>(&error))
    }
}

/// The status of bytes that are no `U`. A server decodes requests and a client responses, and the names of the protos'
/// messages end so.
fn undecodable<U: Name>(error: &DecodeError) -> Status {
    let code = if U::NAME.ends_with("Response") { Code::Internal } else { Code::InvalidArgument };
    // prost's message names fields, never values; the frame around each call adds the details.
    Status::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    #[test]
    fn only_a_request_that_does_not_decode_is_the_callers_mistake() {
        // The first field as a text of 6 bytes that is cut off: the length, and part of the word.
        let error = v1::FetchCredentialRequest::decode(&b"\x0a\x06CAN"[..]).expect_err("cut off");
        assert_eq!(undecodable::<v1::FetchCredentialRequest>(&error).code(), Code::InvalidArgument);
        assert_eq!(undecodable::<v1::FetchCredentialResponse>(&error).code(), Code::Internal);
    }
}
