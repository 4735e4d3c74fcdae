"""Against servers of this file's own, which are no vaults: what happens over several replicas, and at errors."""

import concurrent.futures
import threading
import time
import unittest

import grpc
from harness import FOLDER

from credvault import Vault, VaultError
from credvault.v1.vault_service_pb2 import (
    FetchCredentialRequest,
    FetchCredentialResponse,
    PutCredentialRequest,
    PutCredentialResponse,
)


class Replica(grpc.GenericRpcHandler):
    """Answers fetches and puts; is unavailable for the first calls if it shall."""

    def __init__(self, port: int = 0) -> None:
        self.unavailable = 0
        self.calls = 0
        self.lock = threading.Lock()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers((self,))
        read = lambda name: (FOLDER / name).read_bytes()
        credentials = grpc.ssl_server_credentials(
            [(read("server.key"), read("server.pem"))], read("ca.pem"), require_client_auth=True
        )
        self.port = self.server.add_secure_port(f"127.0.0.1:{port}", credentials)
        self.server.start()

    def service(self, details):
        kinds = {
            "/credvault.v1.VaultService/FetchCredential": (FetchCredentialRequest, FetchCredentialResponse),
            "/credvault.v1.VaultService/PutCredential": (PutCredentialRequest, PutCredentialResponse),
        }
        request, response = kinds[details.method]
        return grpc.unary_unary_rpc_method_handler(
            lambda _, context: self.answer(context, response()), request.FromString, response.SerializeToString
        )

    def answer(self, context, response):
        with self.lock:
            self.calls += 1
            if self.unavailable > 0:
                self.unavailable -= 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return response


class Replicas(unittest.TestCase):
    def start(self, count: int) -> list[Replica]:
        replicas = [Replica() for _ in range(count)]
        for replica in replicas:
            self.addCleanup(replica.server.stop, None)
        target = "ipv4:" + ",".join(f"127.0.0.1:{replica.port}" for replica in replicas)
        files = {"authority": FOLDER / "ca.pem", "certificate": FOLDER / "app.pem", "key": FOLDER / "app.key"}
        self.caller = self.enterContext(Vault(target, server_name="localhost", **files)).caller(tenant="demo")
        return replicas

    def test_calls_go_to_every_replica(self) -> None:
        replicas = self.start(2)
        for _ in range(200):
            self.caller.fetch(provider="shopify")
            if all(replica.calls > 10 for replica in replicas):
                return
        self.fail(f"{[replica.calls for replica in replicas]}")

    def test_reads_are_repeated_while_a_replica_is_unavailable(self) -> None:
        (replica,) = self.start(1)
        replica.unavailable = 2
        self.caller.fetch(provider="shopify")
        self.assertEqual(replica.calls, 3)

    def test_changes_are_not(self) -> None:
        (replica,) = self.start(1)
        replica.unavailable = 1
        with self.assertRaises(VaultError) as raised:
            self.caller.vault.PutCredential(PutCredentialRequest())
        self.assertEqual((raised.exception.message, replica.calls), ("not now", 1))

    def test_the_first_read_after_a_restart_is_served(self) -> None:
        (replica,) = self.start(1)
        self.caller.fetch(provider="shopify")
        replica.server.stop(None).wait()
        # The pauses between attempts to connect get longer meanwhile, as far as they may.
        end = time.monotonic() + 3
        while time.monotonic() < end:
            with self.assertRaises(VaultError) as raised:
                self.caller.fetch(provider="xero")
            self.assertEqual(raised.exception.code, grpc.StatusCode.UNAVAILABLE)
        restarted = Replica(replica.port)
        self.addCleanup(restarted.server.stop, None)
        self.caller.fetch(provider="xero")
        self.assertEqual(restarted.calls, 1)


if __name__ == "__main__":
    unittest.main()
