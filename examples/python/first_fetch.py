"""A first fetch, against the vault that `credvault dev` runs in this folder.

docs/clients.md says how to install the package `credvault`, which is in clients/python.
"""

import pathlib
import sys

from credvault import Vault, VaultError


def main() -> int:
    folder = pathlib.Path("credvault-dev")
    # mTLS: the authority that vouches for the vault, and the certificate that says which service calls.
    vault = Vault(
        "localhost:7443",
        authority=folder / "ca.pem",
        certificate=folder / "app.pem",
        key=folder / "app.key",
    )
    with vault:
        try:
            credential = vault.caller(tenant="demo").fetch(provider="shopify")
        except VaultError as error:
            print(error, file=sys.stderr)
            return 1

    print(f"connection {credential.message.connection_id}, version {credential.message.version}")
    print(f"base URL   {credential.base_url}")
    # The values are secret: a program sets them on its request, and never prints them.
    print(f"headers    {', '.join(sorted(credential.headers))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
