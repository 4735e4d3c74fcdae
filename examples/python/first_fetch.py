"""A first fetch, against the vault that `credvault dev` runs in this folder.

docs/clients.md says how to make the modules under `credvault.v1` from the protos.
"""

import pathlib
import sys

import grpc

from credvault.v1 import vault_service_pb2, vault_service_pb2_grpc


def main() -> int:
    folder = pathlib.Path("credvault-dev")
    # mTLS: the authority that vouches for the vault, and the certificate that says which service calls.
    credentials = grpc.ssl_channel_credentials(
        root_certificates=(folder / "ca.pem").read_bytes(),
        private_key=(folder / "app.key").read_bytes(),
        certificate_chain=(folder / "app.pem").read_bytes(),
    )
    with grpc.secure_channel("localhost:7443", credentials) as channel:
        vault = vault_service_pb2_grpc.VaultServiceStub(channel)
        request = vault_service_pb2.FetchCredentialRequest(provider="shopify")
        try:
            answer = vault.FetchCredential(request, metadata=[("x-tenant-id", "demo")], timeout=10)
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()}", file=sys.stderr)
            return 1

    credential = answer.credential
    print(f"connection {credential.connection_id}, version {credential.version}")
    print(f"base URL   {credential.request_auth.base_url}")
    # The values are secret: a program sets them on its request, and never prints them.
    print(f"headers    {', '.join(sorted(credential.request_auth.headers))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
