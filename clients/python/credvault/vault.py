"""Calls to a vault, for a tenant and user."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from credvault.cache import Cache
from credvault.channel import Channel, File
from credvault.credential import Credential
from credvault.errors import TRACE_ID, VaultError, Violation
from credvault.v1 import admin_service_pb2, audit_service_pb2, connection_service_pb2, vault_service_pb2
from credvault.v1.vault_service_pb2 import BatchFetchCredentialsRequest, FetchCredentialRequest

MAX_BATCH = 100

Headers = tuple[tuple[str, str], ...]
Token = str | Callable[[], str]


class Vault:
    """One vault, reached with a service's certificate. Safe for threads; make one for a process, after it has forked.

    target       "HOST:PORT", or "dns:///HOST:PORT" to spread calls over all addresses of a name
    authority    the file of the authorities that vouch for the vault, PEM
    certificate  the file of the service's certificate with its chain, PEM; the vault knows the service by it
    key          the file of its private key, PEM
    server_name  the name in the vault's certificate, if it is not that of the target
    timeout      how many seconds a call may take, if it does not say
    cached       how many credentials to keep in memory at most; 0 keeps none

    The files are read anew when they change. Raises OSError if one cannot be read, or if certificate and key are no pair.
    """

    def __init__(
        self,
        target: str,
        *,
        authority: File,
        certificate: File,
        key: File,
        server_name: str = "",
        timeout: float = 10.0,
        cached: int = 1000,
    ) -> None:
        self._channel = Channel(target, (authority, certificate, key), server_name)
        self._cache = Cache(cached)
        self._timeout = timeout

    def caller(self, *, tenant: str = "", user: str = "", token: Token = "") -> Caller:
        """Calls for a tenant and user: by name, for a service that policy trusts with it, or by a token, which is a text or
        a function that returns a current one. Cheap: make one for each request that you answer. The id of a user is
        printable ASCII; with another one every call raises VaultError."""
        return Caller(self._channel, self._cache, self._timeout, tenant, user, token)

    def close(self) -> None:
        """Ends the connection and all calls on it."""
        self._channel.close()

    def __enter__(self) -> Vault:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Caller:
    """Calls for one tenant and user.

    `vault`, `connections`, `audit` and `admin` have every RPC of their service, by name:
    `caller.connections.ListConnections(request, timeout=5)`. They raise `VaultError`.
    """

    def __init__(
        self, channel: Channel, cache: Cache, timeout: float, tenant: str, user: str, token: Token
    ) -> None:
        self._cache = cache
        self._identity = (tenant, user, token)
        services = {
            "vault": vault_service_pb2.DESCRIPTOR.services_by_name["VaultService"],
            "connections": connection_service_pb2.DESCRIPTOR.services_by_name["ConnectionService"],
            "audit": audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"],
            "admin": admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"],
        }
        self.vault, self.connections, self.audit, self.admin = (
            Service(service, channel, self._headers, timeout) for service in services.values()
        )

    def fetch(
        self,
        *,
        connection_id: str = "",
        provider: str = "",
        account_name: str = "",
        user_id: str = "",
        version: int = 0,
        purpose: str = "",
        timeout: float | None = None,
    ) -> Credential:
        """A credential, from memory if one is kept there. `FetchCredentialRequest` in the protos explains the arguments.

        Raises VaultError.
        """
        request = FetchCredentialRequest(
            connection_id=connection_id,
            provider=provider,
            account_name=account_name,
            user_id=user_id,
            version=version,
            purpose=purpose,
        )
        headers = self._headers()
        kept = self._cache.get(_key(headers, request))
        return kept if kept is not None else self._fetch(request, "", timeout, headers)

    def rejected(self, credential: Credential, *, timeout: float | None = None) -> Credential:
        """What to use after the provider has answered 401 to `credential`, which is forgotten. `message.rejection` of the
        result says whether to repeat the request to the provider.

        Raises VaultError: with the reason REAUTHORIZATION_REQUIRED if the account's owner has to connect again.
        """
        self._cache.drop(credential.tag)
        return self._fetch(credential.request, credential.tag, timeout, self._headers())

    def fetch_all(
        self, requests: Iterable[FetchCredentialRequest], *, timeout: float | None = None
    ) -> list[Credential | VaultError]:
        """An outcome for each request, in their order; in as many calls as their number and size take. Nothing comes from
        memory, and nothing is kept there.

        Raises VaultError if a call as a whole fails.
        """
        wanted = list(requests)
        outcomes: list[Credential | VaultError] = []
        while len(outcomes) < len(wanted):
            asked = wanted[len(outcomes) : len(outcomes) + MAX_BATCH]
            batch = BatchFetchCredentialsRequest(requests=asked)
            response, trace_id = self.vault.call("BatchFetchCredentials", batch, timeout)
            for request, result in zip(asked, response.results):
                if result.HasField("credential"):
                    outcomes.append(Credential(result.credential, request, trace_id))
                    continue
                error = VaultError.of_status(result.status)
                # The answer is full: what follows comes with the next call. The first of a call always fits.
                if error.reason == "ANSWER_FULL" and request is not asked[0]:
                    break
                outcomes.append(error)
        return outcomes

    def _fetch(
        self, request: FetchCredentialRequest, rejected_tag: str, timeout: float | None, headers: Headers
    ) -> Credential:
        asked = FetchCredentialRequest()
        asked.CopyFrom(request)
        asked.rejected_tag = rejected_tag
        response, trace_id = self.vault.call("FetchCredential", asked, timeout, headers)
        credential = Credential(response.credential, request, trace_id)
        self._cache.put(_key(headers, request), credential)
        return credential

    def _headers(self) -> Headers:
        tenant, user, token = self._identity
        token = token() if callable(token) else token
        headers = (("x-tenant-id", tenant), ("x-user-id", user), ("authorization", token and f"Bearer {token}"))
        return tuple((name, _checked(name, value)) for name, value in headers if value)


class Service:
    """The RPCs of one service, by name."""

    def __init__(
        self,
        service: ServiceDescriptor,
        channel: Channel,
        headers: Callable[[], Headers],
        timeout: float,
    ) -> None:
        self._methods = service.methods_by_name
        self._channel = channel
        self._headers = headers
        self._timeout = timeout

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = self._methods.get(name)
        if method is None:
            raise AttributeError(f"there is no RPC {name}; there are {', '.join(self._methods)}")
        if method.server_streaming:
            return lambda request, timeout=None: self._stream(method, request, timeout)
        return lambda request, timeout=None: self.call(name, request, timeout)[0]

    def call(
        self, name: str, request: Message, timeout: float | None, headers: Headers | None = None
    ) -> tuple[Message, str]:
        """The response of an RPC, and the id of its trace."""
        method = self._methods[name]
        callable_ = self._channel.get().unary_unary(*_path(method), **_codecs(method))
        try:
            response, call = callable_.with_call(request, **self._terms(timeout, headers))
        except grpc.RpcError as error:
            raise VaultError.of_call(error) from None
        return response, dict(call.initial_metadata()).get(TRACE_ID, "")

    def _stream(self, method: MethodDescriptor, request: Message, timeout: float | None) -> Iterator[Message]:
        callable_ = self._channel.get().unary_stream(*_path(method), **_codecs(method))
        call = callable_(request, **self._terms(timeout))
        try:
            yield from call
        except grpc.RpcError as error:
            raise VaultError.of_call(error) from None
        finally:
            call.cancel()

    def _terms(self, timeout: float | None, headers: Headers | None = None) -> dict[str, object]:
        return {
            "metadata": self._headers() if headers is None else headers,
            "timeout": self._timeout if timeout is None else timeout,
        }


def _checked(name: str, value: str) -> str:
    """The value of a header. One that gRPC cannot send, or would send without its blanks, raises VaultError."""
    if value.isascii() and value.isprintable() and value.strip() == value:
        return value
    rule = "must be printable ASCII characters without a blank at either end"
    message = f"the header {name} {rule}; use an id of that form, or encode it"
    violations = (Violation(name, rule),)
    raise VaultError(grpc.StatusCode.INVALID_ARGUMENT, message, reason="FIELDS_INVALID", violations=violations)


def _key(headers: Headers, request: FetchCredentialRequest) -> tuple[Headers, bytes]:
    """What a kept credential depends on: who asks, and what for. With another token it is fetched again, for the token may
    be another user's."""
    return headers, request.SerializeToString(deterministic=True)


def _path(method: MethodDescriptor) -> tuple[str]:
    return (f"/{method.containing_service.full_name}/{method.name}",)


def _codecs(method: MethodDescriptor) -> dict[str, Callable[..., object]]:
    response = message_factory.GetMessageClass(method.output_type)
    return {
        "request_serializer": lambda request: request.SerializeToString(),
        "response_deserializer": response.FromString,
    }
