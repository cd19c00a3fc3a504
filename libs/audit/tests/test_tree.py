"""The Merkle tree is the one of RFC 6962, and its proofs prove what they say and nothing else."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maasloop.audit.tree import (
    EMPTY_ROOT,
    Tree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [leaf_hash(bytes([number])) for number in range(70)]


def naive_root(leaves: list[bytes]) -> bytes:
    """Return MTH of RFC 6962 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def test_published_vectors() -> None:
    """Known roots come out: of nothing, of an empty leaf, and of three leaves."""
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    three = root_of([leaf_hash(each) for each in (b"a", b"b", b"c")])
    assert three.hex() == "36642e73c2540ab121e3a6bf9545b0a24982cd830eb13d3cd19de3ce6c021ec1"


def test_a_tree_that_grows_has_the_root_of_its_leaves() -> None:
    """Peaks alone give the same root as the recursive definition, at every size."""
    tree = Tree()
    for size, leaf in enumerate(LEAVES):
        assert tree.root() == naive_root(LEAVES[:size])
        tree.append(leaf)


def test_every_leaf_is_proven_at_its_place_only() -> None:
    """An inclusion proof holds for its leaf, index and size, and for no other."""
    for size in range(1, 20):
        root = root_of(LEAVES[:size])
        for index in range(size):
            proof = inclusion_proof(LEAVES[:size], index)
            assert verify_inclusion(LEAVES[index], index, size, proof, root)
            assert not verify_inclusion(LEAVES[index], (index + 1) % (size + 1), size, proof, root) or size == 1
            assert not verify_inclusion(LEAVES[index + 1], index, size, proof, root)
            assert not verify_inclusion(LEAVES[index], index, size, [*proof, root], root)


def test_every_growth_is_proven() -> None:
    """Peaks of the old tree and the added leaves suffice for a proof that the old one is the beginning."""
    for new in range(1, 40):
        for old in range(new + 1):
            tree = Tree()
            tree.extend(LEAVES[:old])
            proof = consistency_proof(tree, LEAVES[old:new])
            assert verify_consistency(old, tree.root(), new, root_of(LEAVES[:new]), proof)


@given(st.integers(1, 69), st.integers(1, 69), st.integers(0, 69), st.binary(min_size=1, max_size=1))
def test_another_past_is_not_proven(one: int, other: int, changed: int, by: bytes) -> None:
    """A log whose past was changed at any place has no consistency proof that holds."""
    old, new = sorted((one, other))
    place = changed % old
    forged = [*LEAVES[:place], leaf_hash(b"forged" + by), *LEAVES[place + 1 :]]
    tree = Tree()
    tree.extend(forged[:old])

    proof = consistency_proof(tree, forged[old:new])

    assert not verify_consistency(old, root_of(LEAVES[:old]), new, root_of(forged[:new]), proof)


def test_what_is_no_tree_is_refused() -> None:
    """Peaks that do not fit the size, and places outside the tree, are errors."""
    with pytest.raises(ValueError, match="peaks"):
        Tree(3, [LEAVES[0]])
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_proof(LEAVES[:3], 3)
    assert not verify_inclusion(LEAVES[0], 3, 3, [], root_of(LEAVES[:3]))
    assert not verify_consistency(4, LEAVES[0], 3, LEAVES[0], [])
    assert not verify_consistency(1, LEAVES[0], 2, LEAVES[0], [])
