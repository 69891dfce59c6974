"""The door of a replica: what it remembers of a key lets nobody in who would not be let in without."""

import pytest

from heliostat.declared.serving import Serving
from heliostat.errors import AccessError
from heliostat.govern.roles import Action
from heliostat.records import KeyRecord, key_hash
from heliostat.serving.authentication import Keyring
from heliostat.serving.problem import ForbiddenError, RateLimitError
from serve_apps.access import Access

RIGHT, WRONG = "Bearer hel_k1_secret", "Bearer hel_k1_guess"


class Door:
    """Access with keys that may change."""

    def __init__(self, role="caller", **limits):
        self.keys(role)
        self.access = Access(lambda: self.keyring, Serving(**limits))

    def keys(self, *roles, secret="hel_k1_secret"):
        records = [KeyRecord(key_id="k1", hash=key_hash(secret), role=role, name="k", workload=None) for role in roles]
        self.keyring = Keyring.of("toy", records)

    def admit(self, authorization=RIGHT, action=Action.PREDICT, now_s=0.0):
        return self.access.admit(authorization, action, now_s=now_s)


def test_a_wrong_secret_is_refused_after_the_right_one_was_admitted():
    door = Door()
    assert [door.admit().key_id for _ in range(3)] == ["k1"] * 3
    for wrong in (WRONG, None, RIGHT.replace("Bearer", "Basic"), f"{RIGHT}x"):
        with pytest.raises(AccessError):
            door.admit(wrong)
        assert door.admit().key_id == "k1"


def test_a_key_that_was_revoked_changed_or_weakened_counts_at_once():
    door = Door(role="operator")
    door.admit(action=Action.PROMOTE)
    door.keys("viewer")
    with pytest.raises(ForbiddenError):
        door.admit(action=Action.PROMOTE)
    door.keys("operator", secret="hel_k1_other")
    with pytest.raises(AccessError):
        door.admit(action=Action.PROMOTE)
    door.keys()
    with pytest.raises(AccessError):
        door.admit(action=Action.PROMOTE)


def test_what_a_key_may_do_says_nothing_of_what_else_it_may():
    door = Door(role="caller")
    for _ in range(2):
        door.admit()
        with pytest.raises(ForbiddenError):
            door.admit(action=Action.PROMOTE)


def test_a_remembered_key_still_counts_against_its_limit():
    door = Door(requests_per_s=2.0, burst_requests=4)  # of two replicas together
    door.admit()
    door.admit()
    with pytest.raises(RateLimitError):
        door.admit()
    assert door.admit(now_s=1.5).key_id == "k1"


def test_spellings_of_a_key_do_not_pile_up():
    door = Door()
    for number in range(2500):
        door.admit(f"Bearer{' ' * (1 + number % 170)}hel_k1_secret{' ' * (number // 170)}")
    assert 0 < len(door.access._admitted) <= 1001
