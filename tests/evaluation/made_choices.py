"""Logs of choices whose truth is known: what each arm earns, and so what any policy does."""

from __future__ import annotations

import numpy as np

from active_customers.evaluation.logged_choices import LoggedChoices

NAMES = ("a", "b", "c", "d")
APPEAL = np.array([0.2, 0.3, 0.4, 0.5])
LOGGING = np.array([0.4, 0.3, 0.2, 0.1])
WANTED = np.array([0.1, 0.2, 0.3, 0.4])
TRUTH = float(WANTED @ APPEAL)
SLOPES = np.array([-0.3, -0.1, 0.1, 0.3])
"""Of what an arm earns by the one feature of a choice, where it has one."""


def plain(rng, n=600):
    """Choices that nothing is known of."""
    arms = rng.choice(4, n, p=LOGGING)
    return LoggedChoices(NAMES, arms, (rng.random(n) < APPEAL[arms]) * 1.0, LOGGING[arms])


def of_customers(rng, n_customers=200):
    """Choices for customers, each with a liking for clicks of their own."""
    sizes = rng.integers(1, 8, n_customers)
    customers = np.repeat(np.arange(n_customers), sizes)
    likes = rng.uniform(-0.2, 0.2, n_customers)[customers]
    arms = rng.choice(4, len(customers), p=LOGGING)
    rewards = (rng.random(len(arms)) < APPEAL[arms] + likes) * 1.0
    return LoggedChoices(NAMES, arms, rewards, LOGGING[arms], customers=customers)


def rare(rng, n=4_000):
    """Choices of which one in a hundred is rewarded; those of the wanted arms more rarely logged."""
    arms = rng.choice(4, n, p=LOGGING)
    return LoggedChoices(NAMES, arms, (rng.random(n) < APPEAL[arms] / 30) * 1.0, LOGGING[arms])


def in_context(rng, n=1_000):
    """Choices by a feature from -1 to 1; returns them and the probabilities of a policy that goes by it rightly."""
    features = rng.uniform(-1, 1, (n, 1))
    logging = _softmax(-features * SLOPES * 2)
    arms = (logging.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=3)
    rewards = (rng.random(n) < 0.5 + features[:, 0] * SLOPES[arms]) * 1.0
    choices = LoggedChoices(NAMES, arms, rewards, logging[np.arange(n), arms], features=features)
    return choices, right_policy(features)


def right_policy(features):
    return _softmax(features * SLOPES * 4)


def truth_in_context():
    """What the right policy earns, over features from -1 to 1."""
    features = np.linspace(-1, 1, 20_001)[:, None]
    return float((right_policy(features) * (0.5 + features * SLOPES)).sum(axis=1).mean())


def _softmax(logits):
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)
