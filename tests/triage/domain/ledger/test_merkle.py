"""The tree of RFC 9162: against its published root, and against trees made in the simplest way."""

import base64
import contextlib
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from triage.domain.ledger import merkle, notes

# The eight leaves of the certificate-transparency reference tests, and their root.
LEAVES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOT = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def hashes(size):
    return [merkle.leaf_hash(str(number).encode()) for number in range(size)]


def naive(leaves):
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    middle = 1
    while middle * 2 < len(leaves):
        middle *= 2
    return hashlib.sha256(b"\x01" + naive(leaves[:middle]) + naive(leaves[middle:])).digest()


def test_the_published_root():
    leaves = [merkle.leaf_hash(leaf) for leaf in LEAVES]
    assert merkle.subtree_of(leaves)(0, 8).hex() == ROOT


@given(st.integers(0, 70))
def test_a_tree_that_grows_has_the_root_of_all_its_leaves(size):
    frontier = merkle.Frontier()
    for leaf in hashes(size):
        frontier.add(leaf)
    assert frontier.root() == naive(hashes(size)) == merkle.subtree_of(hashes(size))(0, size)


@given(st.integers(1, 70), st.data())
def test_each_leaf_is_proven_and_no_other_one(size, data):
    number = data.draw(st.integers(0, size - 1))
    leaves = hashes(size)
    path = merkle.inclusion(number, size, merkle.subtree_of(leaves))
    assert merkle.root_by_inclusion(leaves[number], number, size, path) == naive(leaves)
    other = data.draw(st.integers(0, size - 1))
    if other != number:
        with contextlib.suppress(merkle.Inconsistent):
            assert merkle.root_by_inclusion(leaves[number], other, size, path) != naive(leaves)


@given(st.integers(1, 60), st.integers(0, 20), st.data())
def test_a_tree_that_grew_is_proven_and_a_forged_one_is_not(old, more, data):
    leaves = hashes(old + more)
    new = old + more
    path = merkle.consistency(old, new, merkle.subtree_of(leaves))
    merkle.check_consistency(old, naive(leaves[:old]), new, naive(leaves), path)
    wrong = data.draw(st.integers(0, old - 1))
    forged = [*leaves[:wrong], merkle.leaf_hash(b"forged"), *leaves[wrong + 1 :]]
    with pytest.raises(merkle.Inconsistent):
        merkle.check_consistency(
            old, naive(leaves[:old]), new, naive(forged), merkle.consistency(old, new, merkle.subtree_of(forged))
        )


def test_a_head_is_signed_as_c2sp_says():
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = key.public_key().public_bytes_raw()
    head = notes.Head("acme.example/cspm", 3, b"r" * 32, 2)
    note = notes.signed(head, key)
    text, signature = note.split("\n\n")
    assert text == "acme.example/cspm\n3\n" + base64.b64encode(b"r" * 32).decode() + "\nfindings 2"
    dash, name, said = signature.strip().split(" ")
    raw = base64.b64decode(said)
    assert (dash, name, len(raw)) == ("—", "acme.example/cspm", 4 + 64)
    assert raw[:4] == hashlib.sha256(b"acme.example/cspm\n\x01" + public).digest()[:4]
    assert notes.opened(note, public) == head
    for forged in (note.replace("\n3\n", "\n4\n"), note.replace("acme", "evil"), text + "\n\n", note.replace("— ", "- ")):
        with pytest.raises(notes.Unsigned):
            notes.opened(forged, public)
    with pytest.raises(notes.Unsigned):
        notes.opened(note, Ed25519PrivateKey.generate().public_key().public_bytes_raw())
