"""A client of credvault: fetches credentials and keeps them as long as the vault allows, follows renewed certificates, and
raises errors that programs can read. `credvault.v1` has the messages of all RPCs."""

from credvault.credential import Credential
from credvault.errors import VaultError, Violation
from credvault.vault import Caller, Vault

__all__ = ["Caller", "Credential", "Vault", "VaultError", "Violation"]
