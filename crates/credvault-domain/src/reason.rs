//! The stable, machine-readable reasons that errors and audit records carry.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The reason of a refusal or failure. The text is part of the public contract.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The reason as the wire and the audit spell it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Reads what [`Reason::as_str`] wrote.
            pub fn from_stored(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == text)
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
    /// The tenant was not erased.
    ErasureNotFound = "ERASURE_NOT_FOUND",
    /// There is no such connection for this caller.
    ConnectionNotFound = "CONNECTION_NOT_FOUND",
    /// There is no such version, or it was destroyed.
    VersionNotFound = "VERSION_NOT_FOUND",
    /// The tenant has no such event endpoint.
    EventEndpointNotFound = "EVENT_ENDPOINT_NOT_FOUND",
    /// The tenant has no such delivery of an event.
    EventDeliveryNotFound = "EVENT_DELIVERY_NOT_FOUND",
    /// The owner has no such config of a service.
    ServiceConfigNotFound = "SERVICE_CONFIG_NOT_FOUND",
    /// No tool of this name has registered what it requires.
    ToolNotFound = "TOOL_NOT_FOUND",
    /// The catalog has no such provider.
    ProviderUnknown = "PROVIDER_UNKNOWN",
    /// Neither the user, the tenant nor the platform has stored a credential for this provider.
    CredentialNotConfigured = "CREDENTIAL_NOT_CONFIGURED",
    /// Fields of the request break their rules.
    FieldsInvalid = "FIELDS_INVALID",
    /// A requirement names a provider or an auth mode that the catalog does not have.
    RequirementUnknown = "REQUIREMENT_UNKNOWN",
    /// The audit log has no records from that index on, or does not keep them any more.
    AuditPositionInvalid = "AUDIT_POSITION_INVALID",
    /// The page token is not one of this tenant and query.
    PageTokenInvalid = "PAGE_TOKEN_INVALID",
    /// The connection is disabled.
    ConnectionDisabled = "CONNECTION_DISABLED",
    /// The customer must give consent again.
    ReauthorizationRequired = "REAUTHORIZATION_REQUIRED",
    /// The tenant has as many of these objects as its quota allows.
    QuotaExceeded = "QUOTA_EXCEEDED",
    /// The provider did not answer, or its answer was lost.
    ProviderUnavailable = "PROVIDER_UNAVAILABLE",
    /// The provider limits the rate of requests.
    ProviderRateLimited = "PROVIDER_RATE_LIMITED",
    /// The tenant is suspended.
    TenantSuspended = "TENANT_SUSPENDED",
    /// The credential has expired.
    CredentialExpired = "CREDENTIAL_EXPIRED",
    /// A rotation of this key, or of this credential, is in progress.
    RotationRunning = "ROTATION_RUNNING",
    /// The provider has no call that makes another key, so a person has to.
    RotationByHand = "ROTATION_BY_HAND",
    /// The provider's key of that version was revoked by a rotation.
    KeyRevoked = "KEY_REVOKED",
    /// The provider does not make another key with this credential, or the new one does not work.
    RotationRefused = "ROTATION_REFUSED",
    /// The vault, or another replica of it, is not configured with the root key that is asked for.
    RootKeyUnknown = "ROOT_KEY_UNKNOWN",
    /// The vault is not configured with an external store of that name.
    SecretStoreUnknown = "SECRET_STORE_UNKNOWN",
    /// The external store does not accept the vault, or this replica is not configured with it.
    SecretStoreRefused = "SECRET_STORE_REFUSED",
    /// The tenant may not refer to a secret of that name.
    ReferenceDenied = "REFERENCE_DENIED",
    /// The secret that a connection refers to cannot be used.
    ReferenceBroken = "REFERENCE_BROKEN",
    /// The resource is not in a state that allows this.
    StateInvalid = "STATE_INVALID",
    /// The confirmation token is not the newest one for this caller, tenant and state of the tenant, or was used.
    ConfirmationInvalid = "CONFIRMATION_INVALID",
    /// The time of the confirmation token is over.
    ConfirmationExpired = "CONFIRMATION_EXPIRED",
    /// A callback has no state, and the browser's cookie does not name its consent. This reason and the next six appear in
    /// audit records only; callers receive STATE_INVALID or REAUTHORIZATION_REQUIRED.
    StateMissing = "STATE_MISSING",
    /// The time for the consent, or of the connect session, has run out.
    StateExpired = "STATE_EXPIRED",
    /// The state was used before.
    StateReplayed = "STATE_REPLAYED",
    /// The state, or the connect session, came from another browser, session or user, or by another way than it was sent.
    StateForeign = "STATE_FOREIGN",
    /// The state came to the callback of another provider.
    ProviderMismatch = "PROVIDER_MISMATCH",
    /// The account's owner has declined.
    ConsentDenied = "CONSENT_DENIED",
    /// The provider reported an error, or its callback lacks what a consent needs.
    ConsentFailed = "CONSENT_FAILED",
    /// The session of the connect page does not allow this. This reason appears in audit records and on pages only.
    SessionLimited = "SESSION_LIMITED",
    /// A connection with this owner, provider and account name exists.
    ConnectionExists = "CONNECTION_EXISTS",
    /// A tenant with this id exists.
    TenantExists = "TENANT_EXISTS",
    /// A tenant with this id was erased, so the id is not usable any more.
    TenantErased = "TENANT_ERASED",
    /// The resource changed since it was read.
    EtagMismatch = "ETAG_MISMATCH",
    /// The credential changed since it was read.
    VersionMismatch = "VERSION_MISMATCH",
    /// The caller exceeds its rate limit.
    RateLimited = "RATE_LIMITED",
    /// The answer to a batch has reached the size that clients accept.
    AnswerFull = "ANSWER_FULL",
    /// The database did not answer.
    StoreUnavailable = "STORE_UNAVAILABLE",
    /// The audit record could not be made durable.
    AuditUnavailable = "AUDIT_UNAVAILABLE",
    /// The tenant's key could not be unwrapped or made.
    KeyUnavailable = "KEY_UNAVAILABLE",
    /// The key manager does not permit this to the vault, or cannot use the key.
    KeyManagerRefused = "KEY_MANAGER_REFUSED",
    /// A sealed value in the database does not open.
    IntegrityFailure = "INTEGRITY_FAILURE",
    /// The audit log has no such record in the caller's reach.
    AuditRecordNotFound = "AUDIT_RECORD_NOT_FOUND",
    /// The audit record is durable and waits for its place in the log.
    AuditRecordWaiting = "AUDIT_RECORD_WAITING",
    /// The call's deadline has passed.
    DeadlineExceeded = "DEADLINE_EXCEEDED",
    /// The vault itself failed.
    Internal = "INTERNAL",
}
