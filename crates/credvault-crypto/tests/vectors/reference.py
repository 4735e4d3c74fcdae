#!/usr/bin/env python3
"""A second implementation of the envelope, written from its layout alone, for the frozen vectors.

Prints format-1.json. Needs the PyPI package `cryptography`. The vectors never change once a release has gone out with them: a release that cannot open
them cannot open what customers have stored.
"""

import hashlib
import json
import uuid

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

CLASSES = {"credential": 1, "tenant_key": 2, "root_check": 3, "page_token": 4}


def hkdf(key, salt, info):
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=info).derive(key)


def padded(value):
    needed = 4 + len(value)
    if needed <= 4096:
        size = 64
        while size < needed:
            size *= 2
    else:
        size = -(-needed // 4096) * 4096
    return len(value).to_bytes(4, "big") + value + bytes(size - needed)


def binding(facts):
    if not facts:
        return bytes(32)
    out = b"credvault/binding/1"
    for name, value in facts:
        for part in (name.encode(), value.encode()):
            out += len(part).to_bytes(8, "big") + part
    return hashlib.sha256(out).digest()


def seal(key, key_id, kind, tenant, record, version, schema, facts, salt, nonce, value):
    kind = bytes([CLASSES[kind]])
    header = b"\x01\x01" + kind + b"\x00" + key_id.to_bytes(4, "big") + salt
    header += hkdf(key, salt, b"credvault/1/commitment" + kind) + nonce
    name = tenant.encode()
    aad = b"credvault/aad/1" + header + len(name).to_bytes(2, "big") + name + record
    aad += version.to_bytes(8, "big") + schema.to_bytes(2, "big") + binding(facts)
    return header + AESGCM(hkdf(key, salt, b"credvault/1/record key" + kind)).encrypt(nonce, padded(value), aad)


def stream(label, size):
    return hashlib.shake_256(label.encode()).digest(size)


def fields(pairs):
    out = b""
    for name, value in sorted(pairs.items()):
        out += bytes([len(name)]) + name.encode() + len(value.encode()).to_bytes(4, "big") + value.encode()
    return out


def root_id(key):
    return int.from_bytes(hkdf(key, None, b"credvault/1/root id")[:4], "big")


def main():
    root = stream("root key", 32)
    tenant_key = stream("tenant key", 32)
    connection = uuid.UUID("0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e")
    vectors = []

    def add(name, kind, key, key_id, tenant, record, version, schema, value, facts=()):
        salt, nonce = stream(name + " salt", 32), stream(name + " nonce", 12)
        sealed = seal(key, key_id, kind, tenant, record, version, schema, facts, salt, nonce, value)
        vectors.append(
            {
                "name": name,
                "class": kind,
                "key": key.hex(),
                "key_id": key_id,
                "tenant": tenant,
                "record": record.hex(),
                "version": version,
                "facts": facts,
                "salt": salt.hex(),
                "nonce": nonce.hex(),
                "value": value.hex(),
                "sealed": sealed.hex(),
            }
        )

    secret = fields({"access_token": "CANARY-shpat-0123456789abcdef"})
    facts = (
        ("owner", "user"),
        ("user", "u1"),
        ("provider", "woocommerce"),
        ("auth_mode", "api_keys"),
        ("config", '{"store_url":"https://shop.example"}'),
    )
    add("credential", "credential", tenant_key, 3, "acme", connection.bytes, 7, 1, secret, facts)
    add("empty credential", "credential", tenant_key, 3, "acme", connection.bytes, 8, 1, b"", facts[:1])
    add("exactly one step", "credential", tenant_key, 3, "acme", connection.bytes, 9, 1, stream("step", 60), facts)
    add("just over a step", "credential", tenant_key, 3, "acme", connection.bytes, 10, 1, stream("over", 61), facts)
    add("over 4 KiB", "credential", tenant_key, 3, "A" * 64, connection.bytes, 2**40, 1, stream("big", 5000), facts)
    add("tenant key", "tenant_key", root, root_id(root), "acme", bytes(16), 3, 1, tenant_key)
    add("root check", "root_check", root, root_id(root), ":platform", bytes(16), 0, 1, b"credvault root key check")
    query = hashlib.sha256(b"ListConnections provider=shopify").digest()[:16]
    add("page token", "page_token", tenant_key, 3, "acme", query, 0, 1, b"position")
    print(json.dumps(vectors, indent=1))


if __name__ == "__main__":
    main()
