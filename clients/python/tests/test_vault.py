"""Against a running vault."""

import contextlib
import os
import pathlib
import shutil
import tempfile
import time
import unittest
import uuid

import grpc
from harness import ADDRESS, FOLDER, UNKNOWN, create, fetches, vault

from credvault import Credential, Vault, VaultError
from credvault.v1.admin_service_pb2 import CreateTenantRequest
from credvault.v1.error_pb2 import ErrorReason
from credvault.v1.keys_pb2 import RotateTenantKeyRequest
from credvault.v1.vault_service_pb2 import FetchCredentialRequest

CANARY = "CANARY of the client for Python"


class Fetching(unittest.TestCase):
    def setUp(self) -> None:
        self.vault = self.enterContext(vault())
        self.caller = self.vault.caller(tenant="demo")

    def test_a_credential_is_ready_for_use_and_shows_no_secret(self) -> None:
        credential = self.caller.fetch(connection_id=create(self.caller, CANARY))
        self.assertEqual(credential.fields, {"token": CANARY})
        self.assertIn(CANARY, credential.headers["Authorization"])
        self.assertEqual(len(credential.trace_id), 32)
        self.assertNotIn(CANARY, f"{credential} {credential!r} {vars(type(credential))}")

    def test_it_is_kept_for_one_caller_and_one_purpose(self) -> None:
        connection = create(self.caller, CANARY)
        first = self.caller.fetch(connection_id=connection)
        self.assertIs(self.vault.caller(tenant="demo").fetch(connection_id=connection), first)
        self.assertEqual(fetches(self.caller, connection), 1)
        self.caller.fetch(connection_id=connection, purpose="another")
        self.assertEqual(fetches(self.caller, connection), 2)
        with self.assertRaises(VaultError):
            self.vault.caller(tenant="globex").fetch(connection_id=connection)

    def test_a_rejected_one_is_forgotten(self) -> None:
        connection = create(self.caller, CANARY)
        first = self.caller.fetch(connection_id=connection)
        elsewhere = self.caller.fetch(connection_id=connection, purpose="elsewhere")
        second = self.caller.rejected(first)
        self.assertEqual(second.tag, first.tag, "the provider has no test, so the vault gives the same again")
        self.assertTrue(second.message.HasField("rejection"))
        self.assertEqual(second.request.rejected_tag, "")
        self.assertIs(self.caller.fetch(connection_id=connection), second)
        self.assertIsNot(self.caller.fetch(connection_id=connection, purpose="elsewhere"), elsewhere)
        self.assertEqual(fetches(self.caller, connection), 4)

    def test_many_come_in_as_many_calls_as_they_need(self) -> None:
        # Answers end at about 3 MiB; these are 6 MB.
        large = [create(self.caller, "x" * 60_000) for _ in range(50)]
        requests = [FetchCredentialRequest(connection_id=connection) for connection in large]
        requests.insert(1, FetchCredentialRequest(connection_id=UNKNOWN))
        outcomes = self.caller.fetch_all(requests)
        refused = outcomes.pop(1)
        self.assertIsInstance(refused, VaultError)
        self.assertEqual((refused.reason, len(refused.trace_id)), ("CONNECTION_NOT_FOUND", 32))
        self.assertEqual([isinstance(outcome, Credential) for outcome in outcomes], [True] * 50)
        self.assertEqual([outcome.message.connection_id for outcome in outcomes], large)


class Refusals(unittest.TestCase):
    def refused(self, call, *arguments, **named) -> VaultError:
        with self.assertRaises(VaultError) as raised:
            call(*arguments, **named)
        return raised.exception

    def test_an_error_says_what_a_program_needs(self) -> None:
        caller = self.enterContext(vault()).caller(tenant="demo")
        unknown = self.refused(caller.fetch, connection_id=UNKNOWN)
        self.assertEqual((unknown.code, unknown.reason), (grpc.StatusCode.NOT_FOUND, "CONNECTION_NOT_FOUND"))
        self.assertIn(f"ERROR_REASON_{unknown.reason}", ErrorReason.keys())
        self.assertEqual(len(unknown.trace_id), 32)
        self.assertIn(unknown.message, str(unknown))
        wrong = self.refused(caller.fetch, provider="Wrong Provider")
        self.assertEqual([violation.field for violation in wrong.violations], ["provider"])
        missing = self.refused(caller.fetch, provider="stripe")
        self.assertEqual((missing.reason, missing.metadata), ("CREDENTIAL_NOT_CONFIGURED", {"provider": "stripe"}))
        self.assertIsNone(missing.retry_delay)

    def test_a_user_whose_id_no_header_can_carry_is_refused_before_anything_is_sent(self) -> None:
        shared = self.enterContext(vault())
        for user in ["jürgen@shop.example", " u1", "u\n1"]:
            wrong = self.refused(shared.caller(tenant="demo", user=user).fetch, provider="shopify")
            self.assertEqual((wrong.code, wrong.reason), (grpc.StatusCode.INVALID_ARGUMENT, "FIELDS_INVALID"))
            self.assertEqual([violation.field for violation in wrong.violations], ["x-user-id"])
            self.assertTrue(wrong.message.startswith("the header x-user-id must be printable ASCII"), wrong.message)
            self.assertNotIn(user, wrong.message)
        shared.caller(tenant="demo", user="a b@shop.example").fetch(provider="shopify")

    def test_the_certificate_says_who_calls(self) -> None:
        caller = self.enterContext(vault("reporter")).caller(tenant="demo")
        denied = self.refused(caller.fetch, provider="shopify")
        self.assertEqual(denied.reason, "POLICY_DENIED")
        self.assertEqual(denied.metadata["service"], "spiffe://dev.local/reporter")
        with self.assertRaisesRegex(AttributeError, "there is no RPC Fetch; there are .*FetchCredential"):
            caller.vault.Fetch

    def test_a_stream_gives_its_responses_one_by_one(self) -> None:
        admin = self.enterContext(vault("operator")).caller().admin
        tenant = f"python-{uuid.uuid4()}"
        admin.CreateTenant(CreateTenantRequest(tenant_id=tenant))
        *_, last = admin.RotateTenantKey(RotateTenantKeyRequest(tenant_id=tenant))
        self.assertFalse(last.progress.running)
        watched = admin.RotateTenantKey(RotateTenantKeyRequest(tenant_id=tenant, watch=True))
        self.assertTrue(next(watched).HasField("progress"))
        watched.close()
        unknown = self.refused(list, admin.RotateTenantKey(RotateTenantKeyRequest(tenant_id="nowhere")))
        self.assertEqual(unknown.reason, "TENANT_NOT_FOUND")

    def test_a_call_ends_at_its_deadline(self) -> None:
        slow = self.enterContext(vault(timeout=0.000_001)).caller(tenant="demo")
        self.assertEqual(self.refused(slow.fetch, provider="shopify").code, grpc.StatusCode.DEADLINE_EXCEEDED)

    def test_a_vault_that_is_not_there_is_unavailable(self) -> None:
        files = {"authority": FOLDER / "ca.pem", "certificate": FOLDER / "app.pem", "key": FOLDER / "app.key"}
        with contextlib.closing(Vault("127.0.0.1:1", **files)) as nowhere:
            error = self.refused(nowhere.caller(tenant="demo").fetch, provider="shopify")
        self.assertEqual((error.code, error.reason), (grpc.StatusCode.UNAVAILABLE, ""))


class Certificates(unittest.TestCase):
    def test_renewed_files_are_read(self) -> None:
        place = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        files = {name: place / name for name in ("authority", "certificate", "key")}

        def write(service: str) -> None:
            named = ("ca.pem", f"{service}.pem", f"{service}.key")
            for source, target in zip(named, files.values()):
                unfinished = place / "unfinished"
                shutil.copyfile(FOLDER / source, unfinished)
                os.replace(unfinished, target)

        write("reporter")
        with Vault(ADDRESS, **files) as changing:
            caller = changing.caller(tenant="demo")
            with self.assertRaises(VaultError):
                caller.fetch(provider="shopify")
            files["authority"].unlink()
            with self.assertRaises(VaultError, msg="the files of before serve on"):
                caller.fetch(provider="shopify")
            write("app")
            end = time.monotonic() + 20
            while True:
                try:
                    credential = caller.fetch(provider="shopify")
                    break
                except VaultError as error:
                    self.assertEqual(error.reason, "POLICY_DENIED")
                    self.assertLess(time.monotonic(), end)
                    time.sleep(0.1)
            self.assertEqual(credential.message.provider, "shopify")

    def test_files_that_are_no_pair_are_refused(self) -> None:
        files = {"authority": FOLDER / "ca.pem", "certificate": FOLDER / "app.pem", "key": FOLDER / "server.key"}
        with self.assertRaises(OSError):
            Vault(ADDRESS, **files)
        with self.assertRaisesRegex(OSError, "none.key"):
            Vault(ADDRESS, **files | {"key": FOLDER / "none.key"})


if __name__ == "__main__":
    unittest.main()
