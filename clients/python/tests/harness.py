"""The vault that `scripts/clients` runs: CREDVAULT_DEV names the folder of `credvault dev`, CREDVAULT_ADDRESS its port."""

import os
import pathlib
import uuid

from credvault import Caller, Vault
from credvault.v1 import audit_service_pb2, connection_service_pb2

FOLDER = pathlib.Path(os.environ["CREDVAULT_DEV"])
ADDRESS = os.environ["CREDVAULT_ADDRESS"]
UNKNOWN = "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e"


def vault(service: str = "app", **settings) -> Vault:
    return Vault(
        ADDRESS,
        authority=FOLDER / "ca.pem",
        certificate=FOLDER / f"{service}.pem",
        key=FOLDER / f"{service}.key",
        **settings,
    )


def create(caller: Caller, secret: str) -> str:
    """A new connection of the tenant with this secret, by its id."""
    request = connection_service_pb2.CreateConnectionRequest(
        provider="generic", account_name=f"python-{uuid.uuid4()}", auth_mode="bearer"
    )
    request.credential.fields["token"] = secret
    return caller.connections.CreateConnection(request).connection.id


def fetches(caller: Caller, connection_id: str) -> int:
    """How often the vault has recorded a fetch of the connection."""
    request = audit_service_pb2.ListAuditEventsRequest(page_size=500)
    events = caller.audit.ListAuditEvents(request).events
    return sum(event.action == "FetchCredential" and event.connection_id == connection_id for event in events)
