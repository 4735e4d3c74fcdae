"""A fetched credential."""

from __future__ import annotations

from credvault.v1 import credential_pb2, vault_service_pb2


class Credential:
    """A credential, ready for use. Its text, in logs for example, shows no secret.

    message   all that the vault has said, as `credvault.v1.Credential`; do not print it
    request   the request that it answers, without `rejected_tag`
    trace_id  under which the vault's audit log knows the fetch
    """

    __slots__ = ("message", "request", "trace_id")

    def __init__(
        self,
        message: credential_pb2.Credential,
        request: vault_service_pb2.FetchCredentialRequest,
        trace_id: str,
    ) -> None:
        self.message = message
        self.request = request
        self.trace_id = trace_id

    @property
    def fields(self) -> dict[str, str]:
        """The secret fields, by name."""
        return dict(self.message.fields)

    @property
    def base_url(self) -> str:
        """The beginning of every URL, without a slash at the end; empty if the provider has none."""
        return self.message.request_auth.base_url

    @property
    def headers(self) -> dict[str, str]:
        """The headers that every request to the provider needs."""
        return dict(self.message.request_auth.headers)

    @property
    def query(self) -> dict[str, str]:
        """The query parameters that every request to the provider needs, not yet percent-encoded."""
        return dict(self.message.request_auth.query)

    @property
    def tag(self) -> str:
        """Which credential this is, for `Caller.rejected`. It reveals nothing."""
        return self.message.tag

    def __repr__(self) -> str:
        message = self.message
        return f"<Credential {message.provider} {message.connection_id} version {message.version}>"
