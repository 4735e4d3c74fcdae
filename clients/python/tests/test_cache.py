"""How long a credential is kept, by a clock of the test's own."""

import unittest

from credvault import Credential
from credvault.cache import Cache
from credvault.v1.credential_pb2 import Credential as Message
from credvault.v1.vault_service_pb2 import FetchCredentialRequest


def credential(tag: str, seconds: int) -> Credential:
    message = Message(tag=tag)
    message.cache_duration.FromSeconds(seconds)
    return Credential(message, FetchCredentialRequest(), "")


class Keeping(unittest.TestCase):
    def setUp(self) -> None:
        self.now = 100.0
        self.cache = Cache(2, lambda: self.now)

    def test_until_its_time_is_over_and_no_longer(self) -> None:
        kept = credential("a", 60)
        self.cache.put("key", kept)
        self.now += 59.9
        self.assertIs(self.cache.get("key"), kept)
        self.now += 0.1
        self.assertIsNone(self.cache.get("key"))

    def test_not_at_all_if_the_vault_says_so(self) -> None:
        self.cache.put("key", credential("a", 60))
        self.cache.put("key", credential("b", 0))
        self.assertIsNone(self.cache.get("key"))

    def test_no_more_than_the_limit_the_eldest_goes_first(self) -> None:
        self.cache.put("over", credential("a", 1))
        self.cache.put("old", credential("b", 60))
        self.now += 1
        self.cache.put("new", credential("c", 60))
        self.assertIsNotNone(self.cache.get("old"), "the place of what is over was free")
        self.cache.put("newest", credential("d", 60))
        self.assertIsNone(self.cache.get("old"))
        self.assertIsNotNone(self.cache.get("new"))

    def test_a_dropped_one_is_gone_under_every_key(self) -> None:
        self.cache.put("one", credential("a", 60))
        self.cache.put("two", credential("a", 60))
        self.cache.drop("a")
        self.assertEqual([self.cache.get("one"), self.cache.get("two")], [None, None])


if __name__ == "__main__":
    unittest.main()
