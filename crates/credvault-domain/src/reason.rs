//! The stable, machine-readable reasons that errors and audit records carry.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a call was refused or failed. The text is part of the public contract.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The reason as the wire and the audit spell it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// The client certificate holds no acceptable SPIFFE ID, or is no longer valid.
    ClientCertificateInvalid = "CLIENT_CERTIFICATE_INVALID",
    /// The bearer token does not verify.
    TokenInvalid = "TOKEN_INVALID",
    /// The call names no tenant.
    TenantMissing = "TENANT_MISSING",
    /// No policy permits the call, or one forbids it.
    PolicyDenied = "POLICY_DENIED",
    /// Token and headers name different tenants or users.
    TenantMismatch = "TENANT_MISMATCH",
    /// There is no such tenant.
    TenantNotFound = "TENANT_NOT_FOUND",
    /// There is no such connection for this caller.
    ConnectionNotFound = "CONNECTION_NOT_FOUND",
    /// There is no such version, or it was destroyed.
    VersionNotFound = "VERSION_NOT_FOUND",
    /// This space has no such event endpoint.
    EventEndpointNotFound = "EVENT_ENDPOINT_NOT_FOUND",
    /// This space has no such delivery of an event.
    EventDeliveryNotFound = "EVENT_DELIVERY_NOT_FOUND",
    /// The catalog has no such provider.
    ProviderUnknown = "PROVIDER_UNKNOWN",
    /// Nobody has stored a credential for this provider.
    CredentialNotConfigured = "CREDENTIAL_NOT_CONFIGURED",
    /// Fields of the request break their rules.
    FieldsInvalid = "FIELDS_INVALID",
    /// The page token is not one of this tenant and query.
    PageTokenInvalid = "PAGE_TOKEN_INVALID",
    /// The connection is switched off.
    ConnectionDisabled = "CONNECTION_DISABLED",
    /// The customer must give consent again.
    ReauthorizationRequired = "REAUTHORIZATION_REQUIRED",
    /// As many as there may be.
    QuotaExceeded = "QUOTA_EXCEEDED",
    /// The provider does not answer, or nobody knows what it answered.
    ProviderUnavailable = "PROVIDER_UNAVAILABLE",
    /// The provider wants fewer calls.
    ProviderRateLimited = "PROVIDER_RATE_LIMITED",
    /// The tenant is suspended.
    TenantSuspended = "TENANT_SUSPENDED",
    /// The credential's time is over.
    CredentialExpired = "CREDENTIAL_EXPIRED",
    /// The resource is not in a state that allows this.
    StateInvalid = "STATE_INVALID",
    /// A callback has no state, and the browser's cookie does not say which consent it is of. In records only, as the
    /// next six: callers read STATE_INVALID or REAUTHORIZATION_REQUIRED.
    StateMissing = "STATE_MISSING",
    /// The time of the consent is over.
    StateExpired = "STATE_EXPIRED",
    /// The state has come back before.
    StateReplayed = "STATE_REPLAYED",
    /// Another browser, session or user brings the state, or it comes back in another way than it went.
    StateForeign = "STATE_FOREIGN",
    /// The state comes back to the callback of another provider.
    ProviderMismatch = "PROVIDER_MISMATCH",
    /// The account's owner has declined.
    ConsentDenied = "CONSENT_DENIED",
    /// The provider reports an error, or sends nothing that could be completed.
    ConsentFailed = "CONSENT_FAILED",
    /// A connection with this owner, provider and account name exists.
    ConnectionExists = "CONNECTION_EXISTS",
    /// A tenant with this id exists.
    TenantExists = "TENANT_EXISTS",
    /// The resource changed since it was read.
    EtagMismatch = "ETAG_MISMATCH",
    /// The credential changed since it was read.
    VersionMismatch = "VERSION_MISMATCH",
    /// Too many calls.
    RateLimited = "RATE_LIMITED",
    /// The answer to a batch is as large as clients take.
    AnswerFull = "ANSWER_FULL",
    /// The database did not answer.
    StoreUnavailable = "STORE_UNAVAILABLE",
    /// The audit record could not be made durable.
    AuditUnavailable = "AUDIT_UNAVAILABLE",
    /// The tenant's key could not be unwrapped or made.
    KeyUnavailable = "KEY_UNAVAILABLE",
    /// A stored value does not open.
    IntegrityFailure = "INTEGRITY_FAILURE",
    /// The call's time was over.
    DeadlineExceeded = "DEADLINE_EXCEEDED",
    /// The vault is at fault.
    Internal = "INTERNAL",
}
