"""Scores being collected for products: the scratch memory that every candidate source shares.

A sparse set (Briggs and Torczon, "An efficient representation for sparse sets", 1993): `slots[product]` is trusted only
if it points at an occupied slot that points back. So nothing is cleared between questions, whatever the memory holds,
and a question costs what it touches, not what the catalogue holds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.identifiers import NO_NUMBER
from active_customers.kernels.jit import kernel
from active_customers.kernels.top_n import Wanted, top_n

Proposals = tuple[NDArray[np.uint32], NDArray[np.float32], NDArray[np.uint32]]
"""Products, scores and evidence, best first."""


class CandidateSet(NamedTuple):
    """One thread's scratch memory, one place per product; slots `0..count-1` are in use.

    `strongest` is the largest single contribution to a score and `evidence` the product of the query it came from.
    """

    slots: NDArray[np.int32]
    products: NDArray[np.uint32]
    scores: NDArray[np.float64]
    strongest: NDArray[np.float64]
    evidence: NDArray[np.uint32]


class Votes(NamedTuple):
    """Positive amounts for products, and the query product that each comes from: scratch memory too.

    `steps` says how many acts later than that one a product was acted on, where a source knows.
    """

    products: NDArray[np.uint32]
    amounts: NDArray[np.float64]
    evidence: NDArray[np.uint32]
    steps: NDArray[np.int16]


def empty_votes(capacity: int) -> Votes:
    """Allocate room for `capacity` votes."""
    return Votes(
        products=np.zeros(capacity, np.uint32),
        amounts=np.zeros(capacity, np.float64),
        evidence=np.zeros(capacity, np.uint32),
        steps=np.zeros(capacity, np.int16),
    )


def candidate_set(n_products: int) -> CandidateSet:
    """Allocate scratch memory for a catalogue of `n_products`."""
    return CandidateSet(
        slots=np.zeros(n_products, np.int32),
        products=np.zeros(n_products, np.uint32),
        scores=np.zeros(n_products, np.float64),
        strongest=np.zeros(n_products, np.float64),
        evidence=np.zeros(n_products, np.uint32),
    )


class Room(NamedTuple):
    """How much scratch memory a source needs: votes in one question, products in its catalogue."""

    votes: int
    products: int


def make_room(*rooms: Room) -> tuple[Votes, CandidateSet]:
    """Allocate scratch memory that sources can use one after the other."""
    votes, products = (max(column) for column in zip(*rooms, strict=True))
    return empty_votes(votes), candidate_set(products)


@kernel
def slot_of(candidates: CandidateSet, count: int, product: int) -> int:
    """Return the slot of a product (a number below n_products), or -1."""
    slot = candidates.slots[product]
    return slot if slot < count and candidates.products[slot] == product else -1


@kernel
def insert(candidates: CandidateSet, count: int, product: int) -> int:
    """Put a product that is not in the set into slot `count` with score 0; return the new count."""
    candidates.slots[product] = count
    candidates.products[count] = product
    candidates.scores[count] = 0.0
    candidates.strongest[count] = 0.0
    candidates.evidence[count] = NO_NUMBER
    return count + 1


@kernel
def tally(candidates: CandidateSet, count: int, votes: Votes, n_votes: int) -> int:
    """Add the first `n_votes` votes to the scores, inserting products that are new; return the new count.

    One loop without calls: a call for every vote would cost several times the vote, in reference counts of arrays.
    """
    slots, products, scores, strongest, evidence = candidates
    filled = count
    for vote in range(n_votes):
        product = votes.products[vote]
        amount = votes.amounts[vote]
        slot = slots[product]
        if slot >= filled or products[slot] != product:
            slot = filled
            slots[product] = slot
            products[slot] = product
            scores[slot] = 0.0
            strongest[slot] = 0.0
            evidence[slot] = votes.evidence[vote]
            filled += 1
        scores[slot] += amount
        is_strongest = amount > strongest[slot]  # without branches, which nobody could predict
        strongest[slot] = amount if is_strongest else strongest[slot]
        evidence[slot] = votes.evidence[vote] if is_strongest else evidence[slot]
    return filled


@kernel
def insert_query(candidates: CandidateSet, query: NDArray[np.uint32], depth: int) -> int:
    """Start a question: the query's distinct products, newest first, take slots 0, 1, ... (at most `depth`).

    `query` is oldest first; product numbers outside the catalogue are skipped. A product seen twice has the place of
    its newest act. Returns the count.
    """
    count = 0
    for row in range(len(query) - 1, -1, -1):
        product = query[row]
        if count == depth:
            break
        if product < len(candidates.slots) and slot_of(candidates, count, product) < 0:
            count = insert(candidates, count, product)
    return count


@kernel
def best(candidates: CandidateSet, count: int, wanted: Wanted) -> Proposals:
    """Return the best proposals of the set as (products, scores, evidence); no score is 0."""
    slots = top_n(candidates.products[:count], candidates.scores[:count], wanted)
    products = np.empty(len(slots), np.uint32)
    scores = np.empty(len(slots), np.float32)
    evidence = np.empty(len(slots), np.uint32)
    for place, slot in enumerate(slots):
        products[place] = candidates.products[slot]
        scores[place] = candidates.scores[slot]
        evidence[place] = candidates.evidence[slot]
    return products, scores, evidence


@kernel
def scores_of(candidates: CandidateSet, count: int, products: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Return the score of each given product, 0 for those outside the set or the catalogue."""
    scores = np.zeros(len(products), np.float32)
    for row, product in enumerate(products):
        if product < len(candidates.slots):
            slot = slot_of(candidates, count, product)
            if slot >= 0:
                scores[row] = candidates.scores[slot]
    return scores


@kernel
def evidence_of(candidates: CandidateSet, count: int, product: int) -> int:
    """Return the query product that contributed most to this one, or `NO_NUMBER`."""
    if not 0 <= product < len(candidates.slots):
        return NO_NUMBER
    slot = slot_of(candidates, count, product)
    return candidates.evidence[slot] if slot >= 0 else NO_NUMBER
