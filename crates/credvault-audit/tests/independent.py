#!/usr/bin/env python3
"""A second verifier of credvault's log: `independent.py FOLDER`, or `independent.py EXPORT KEY` for an export alone.

Written from the texts of RFC 6962, RFC 8032, RFC 9162 and C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-proof,
tlog-tiles and tlog-witness, and from this crate's README. It shares no code with the crate and needs Python alone.
"""

import base64
import hashlib
import json
import pathlib
import struct
import sys
import uuid
from datetime import datetime, timezone
from ipaddress import ip_address


# Ed25519 (RFC 8032), in affine coordinates: slow, and short enough to be read.

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    t = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P
    return x, y


def times(scalar, point):
    total = (0, 1)
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    return total


def point_of(data):
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT_OF_MINUS_ONE % P
    assert y < P and x * x % P == square, "no point of the curve"
    return (P - x if x & 1 != sign else x), y


BASE = point_of((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def is_signed(public_key, message, signature):
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    challenge = int.from_bytes(hashlib.sha512(r + public_key + message).digest(), "little") % ORDER
    return s < ORDER and times(s, BASE) == add(point_of(r), times(challenge, point_of(public_key)))


# Signed notes, checkpoints and cosignatures.


def decode(text):
    data = base64.b64decode(text, validate=True)
    assert base64.b64encode(data).decode() == text, "another spelling of Base64"
    return data


def key_of(text, kind):
    name, number, material = text.rstrip("\n").split("+", 2)
    material = decode(material)
    key_id = hashlib.sha256(name.encode() + b"\n" + material).digest()[:4]
    assert material[0] == kind and len(material) == 33 and key_id.hex() == number, "not this key"
    return name, key_id, material[1:]


def checkpoint_of(note, log_key, witness_key):
    text, signatures = note.rsplit("\n\n", 1)
    text += "\n"
    verified = set()
    for line in signatures.splitlines():
        dash, name, data = line.split(" ")
        data = decode(data)
        key_id, signature = data[:4], data[4:]
        assert dash == "\u2014"
        if (name, key_id) == log_key[:2]:
            assert is_signed(log_key[2], text.encode(), signature), "the log's signature is wrong"
            verified.add("log")
        if witness_key and (name, key_id) == witness_key[:2]:
            (time,) = struct.unpack(">Q", signature[:8])
            cosigned = f"cosignature/v1\ntime {time}\n{text}".encode()
            assert 0 < time < 2**63 and is_signed(witness_key[2], cosigned, signature[8:]), "a wrong cosignature"
            verified.add("witness")
    assert verified == ({"log", "witness"} if witness_key else {"log"}), "a signature is missing"
    origin, size, root = text.splitlines()
    assert origin == log_key[0] and str(int(size)) == size
    return int(size), decode(root)


# The tree.


def leaf_hash(entry):
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def split(size):
    return 1 << ((size - 1).bit_length() - 1)


def root_of_inclusion(index, size, leaf, proof):
    """The root that a proof leads to: the recursion of RFC 6962, section 2.1.1, read backwards."""
    assert 0 <= index < size
    if size == 1:
        assert not proof, "the proof is too long"
        return leaf
    left = split(size)
    if index < left:
        return node_hash(root_of_inclusion(index, left, leaf, proof[:-1]), proof[-1])
    return node_hash(proof[-1], root_of_inclusion(index - left, size - left, leaf, proof[:-1]))


def roots_of_consistency(earlier, size, earlier_root, proof, is_whole=True):
    """The two roots that a proof leads to: the recursion of RFC 6962, section 2.1.2, read backwards."""
    assert 0 < earlier <= size
    if earlier == size:
        assert len(proof) == (0 if is_whole else 1), "the proof has a wrong length"
        return (earlier_root, earlier_root) if is_whole else (proof[0], proof[0])
    left = split(size)
    last, rest = proof[-1], proof[:-1]
    if earlier <= left:
        old, new = roots_of_consistency(earlier, left, earlier_root, rest, is_whole)
        return old, node_hash(new, last)
    old, new = roots_of_consistency(earlier - left, size - left, earlier_root, rest, False)
    return node_hash(last, old), node_hash(last, new)


class Tree:
    """What an export says of a tree: hashes over 256**level leaves each, by level and number."""

    def __init__(self):
        self.hashes = {}

    def root(self, start, end):
        for level in range(6):
            if end - start == 256**level and (level, start // 256**level) in self.hashes:
                return self.hashes[level, start // 256**level]
        left = split(end - start)
        return node_hash(self.root(start, start + left), self.root(start + left, end))


# Records.


def text(value):
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def record_bytes(event):
    event = dict(event)
    take = event.pop
    time = datetime.strptime(take("time"), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    micros = round((time - datetime.fromtimestamp(0, timezone.utc)).total_seconds() * 1_000_000)
    out = uuid.UUID(take("id")).bytes + struct.pack(">q", micros) + bytes.fromhex(take("trace_id"))
    for name in ("tenant_id", "tenant_source", "action", "outcome"):
        out += text(take(name))
    def address(value):
        packed = ip_address(value).packed
        return bytes([len(packed)]) + packed
    def connection(value):
        return uuid.UUID(value).bytes
    optional = [
        ("service", text), ("user_id", text), ("connection_id", connection), ("owner_user_id", text),
        ("provider", text), ("version", lambda value: struct.pack(">q", value)), ("purpose", text),
        ("reason", text), ("source_address", address),
    ]
    present = 0
    for bit, (name, spell) in enumerate(optional):
        if name in event:
            present |= 1 << bit
            out += spell(take(name))
    for name in ("changed_fields", "released_fields", "policies"):
        values = take(name, [])
        out += struct.pack(">H", len(values)) + b"".join(map(text, values))
    assert not event, "members that nothing proves"
    return struct.pack(">BH", 1, present) + out


def verify_export(lines, keys, earlier):
    lines = [json.loads(line) for line in lines]
    header, end = lines[0]["header"], lines[-1]["end"]
    assert (header["format"], header["version"]) == ("credvault-audit-export", 1)
    size, root = checkpoint_of(header["checkpoint"], *keys)
    tree, expected = Tree(), header["start"]
    for line in lines[1:-1]:
        ((kind, line),) = line.items()
        if kind == "tile":
            hashes = decode(line["hashes"])
            hashes = [hashes[at:at + 32] for at in range(0, len(hashes), 32)]
            level, first = line["level"], line["index"] * 256
            below = Tree()
            below.hashes = {(level, first + at): value for at, value in enumerate(hashes)}
            if len(hashes) == 256:
                span = 256 ** (level + 1)
                whole = below.root(line["index"] * span, (line["index"] + 1) * span)
                assert tree.hashes[level + 1, line["index"]] == whole, "a tile does not fit"
            tree.hashes.update(below.hashes)
        else:
            assert kind == "record" and line["index"] == expected, f"record {expected} is missing"
            entry = decode(line["blinding"]) + record_bytes(line["event"])
            assert tree.hashes[0, expected] == leaf_hash(entry), f"record {expected} was altered"
            expected += 1
    assert tree.root(0, size) == root, "the hashes do not lead to the root"
    assert expected == header["end"] and end["records"] == header["end"] - header["start"]
    assert header["complete"], "records were left out"
    assert not earlier or tree.root(0, earlier[0]) == earlier[1], "the log was rewritten"


def hashes_and_note(lines):
    hashes, note = lines.split("\n\n", 1)
    return [decode(line) for line in hashes.splitlines()[1:]], note


def main(folder):
    name = None

    def read(wanted):
        nonlocal name
        name = wanted
        return (pathlib.Path(folder) / wanted).read_text()

    try:
        log_key = key_of(read("log.key"), 1)
        witness_key = key_of(read("witness.key"), 4)
        keys = (log_key, witness_key)
        earlier = checkpoint_of(read("earlier.checkpoint"), *keys)

        first, extra, rest = read("record.tlog-proof").split("\n", 2)
        assert first == "c2sp.org/tlog-proof@v1" and extra.startswith("extra ")
        index = rest.split("\n", 1)[0].removeprefix("index ")
        proof, note = hashes_and_note(rest)
        size, root = checkpoint_of(note, *keys)
        leaf = leaf_hash(decode(extra.removeprefix("extra ")))
        assert root_of_inclusion(int(index), size, leaf, proof) == root, "the record is not there"

        request = read("add-checkpoint")
        proof, note = hashes_and_note(request)
        size, root = checkpoint_of(note, *keys)
        assert request.startswith(f"old {earlier[0]}\n"), "another size"
        assert roots_of_consistency(earlier[0], size, earlier[1], proof) == (earlier[1], root), "inconsistent"

        verify_export(read("export.jsonl").splitlines(), keys, earlier)
    except Exception as wrong:  # A file that cannot be read is not right either.
        sys.exit(f"{name}: {wrong or type(wrong).__name__}")
    print("all right")


def export_alone(export, key):
    try:
        keys = (key_of(pathlib.Path(key).read_text(), 1), None)
        verify_export(pathlib.Path(export).read_text().splitlines(), keys, None)
    except Exception as wrong:
        sys.exit(f"{export}: {wrong or type(wrong).__name__}")
    print("all right")


if __name__ == "__main__":
    main(sys.argv[1]) if len(sys.argv) == 2 else export_alone(*sys.argv[1:])
