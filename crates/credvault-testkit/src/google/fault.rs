//! Faults of the server that plays Google Cloud.

/// What a server of Google's may do instead of its work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GoogleFault {
    /// It answers UNAVAILABLE to each call.
    Unavailable,
    /// It answers RESOURCE_EXHAUSTED to each call.
    Exhausted,
    /// It answers PERMISSION_DENIED to each call.
    Denied,
    /// It accepts each call and never answers.
    Silent,
    /// It answers INTERNAL, with the whole request in the message.
    Talkative,
    /// A bit of each answer's bytes is flipped on its way.
    CorruptAnswer,
    /// A bit of each request's bytes is flipped on its way, and the server notices.
    CorruptRequest,
    /// The checksums of each request are lost on their way.
    LostChecksum,
    /// The secret in its answer has 300 KiB.
    Large,
    /// It makes new versions of keys at once, but says only at the second look that they are ready.
    SlowGeneration,
}
