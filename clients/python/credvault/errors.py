"""What a vault says when it refuses a call."""

from __future__ import annotations

import dataclasses

import grpc
from google.rpc import error_details_pb2, status_pb2

TRACE_ID = "x-trace-id"
STATUS_DETAILS = "grpc-status-details-bin"

_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclasses.dataclass(frozen=True)
class Violation:
    """A field of the request that breaks a rule."""

    field: str
    rule: str


class VaultError(Exception):
    """A call that failed, or an item of a batch.

    code         the gRPC status code
    reason       a name of `ErrorReason` without ERROR_REASON_, such as "CONNECTION_NOT_FOUND"; empty if the vault was not
                 reached, or did not answer in time
    message      what happened and what to do; never a secret
    metadata     facts for programs, such as the provider
    violations   the fields that are wrong, each with its rule
    retry_delay  after how many seconds another attempt makes sense; None if waiting does not help
    trace_id     under which the vault's log and audit log know the call; empty if the vault was not reached
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        metadata: dict[str, str] | None = None,
        violations: tuple[Violation, ...] = (),
        retry_delay: float | None = None,
        trace_id: str = "",
    ) -> None:
        super().__init__(f"{code.name} {reason}: {message}" if reason else f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.reason = reason
        self.metadata = metadata or {}
        self.violations = violations
        self.retry_delay = retry_delay
        self.trace_id = trace_id

    @classmethod
    def of_status(cls, status: status_pb2.Status) -> VaultError:
        """The error of a `google.rpc.Status`, such as that of an item of a batch."""
        info = _detail(status, error_details_pb2.ErrorInfo())
        wrong = _detail(status, error_details_pb2.BadRequest())
        retry = _detail(status, error_details_pb2.RetryInfo())
        metadata = dict(info.metadata) if info else {}
        trace_id = metadata.pop("trace_id", "")
        return cls(
            _CODES.get(status.code, grpc.StatusCode.UNKNOWN),
            status.message,
            reason=info.reason if info else "",
            metadata=metadata,
            violations=tuple(
                Violation(violation.field, violation.description)
                for violation in (wrong.field_violations if wrong else ())
            ),
            retry_delay=retry.retry_delay.ToTimedelta().total_seconds() if retry else None,
            trace_id=trace_id,
        )

    @classmethod
    def of_call(cls, error: grpc.RpcError) -> VaultError:
        """The error of a call that grpcio has raised."""
        metadata = dict(error.initial_metadata() or ()) | dict(error.trailing_metadata() or ())
        encoded = metadata.get(STATUS_DETAILS)
        if encoded is not None:
            return cls.of_status(status_pb2.Status.FromString(encoded))
        return cls(error.code(), error.details() or "", trace_id=metadata.get(TRACE_ID, ""))


def _detail(status, message):
    """The detail of the type of `message`, or None."""
    return next((message for detail in status.details if detail.Unpack(message)), None)
