//! Protobuf over gRPC, as tonic's own codec, except for messages that do not decode: they are the caller's mistake and
//! answered as such, not as an internal error.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status};

/// What an encoder begins with: most answers fit.
const BUFFER: usize = 1024;
/// From how many bytes on a stream's messages are sent without waiting for more.
const YIELD: usize = 32 * 1024;

/// The codec of every RPC.
#[derive(Debug)]
pub(crate) struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + Send + 'static, U: Message + Default + Send + 'static> tonic::codec::Codec for Codec<T, U> {
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

/// Encodes one message into as many bytes as it has: a buffer that grows by doubling would hold up to twice as many for
/// as long as the answer is unread.
#[derive(Debug)]
pub(crate) struct ProtobufEncoder<T>(PhantomData<T>);

impl<T: Message> Encoder for ProtobufEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.encoded_len());
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, YIELD)
    }
}

/// Decodes one message.
#[derive(Debug)]
pub(crate) struct ProtobufDecoder<U>(PhantomData<U>);

impl<U: Message + Default> Decoder for ProtobufDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // prost's message names fields, never values; the frame around each call adds the details.
        U::decode(buffer).map(Some).map_err(|error| Status::new(Code::InvalidArgument, error.to_string()))
    }
}
