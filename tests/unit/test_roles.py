"""Who may do what."""

import pytest

from heliostat.errors import AccessError
from heliostat.govern.roles import Action, Role, is_allowed, require

ALLOWED = {
    Role.VIEWER: {Action.READ_STATUS, Action.READ_PREDICTION},
    Role.CALLER: {Action.PREDICT, Action.LABEL},
    Role.OPERATOR: {Action.RETRAIN, Action.PROMOTE, Action.ROLL_BACK, Action.HOLD},
    Role.ADMIN: {Action.MANAGE_KEYS, Action.DEPLOY},
}


@pytest.mark.parametrize("role", list(Role))
def test_a_role_may_do_its_own_and_whatever_smaller_ones_may(role):
    expected = set().union(*(actions for one, actions in ALLOWED.items() if one <= role))
    assert {action for action in Action if is_allowed(role, action)} == expected


def test_roles_are_ordered():
    assert Role.VIEWER < Role.CALLER < Role.OPERATOR < Role.ADMIN


@pytest.mark.parametrize("role", list(Role))
def test_a_role_is_read_back_from_its_name(role):
    assert Role.parse(str(role)) is role


@pytest.mark.parametrize("name", ["", "root", "ADMIN", "Admin", "admin "])
def test_an_unknown_role_is_refused_and_the_known_ones_named(name):
    with pytest.raises(AccessError, match="viewer, caller, operator, admin"):
        Role.parse(name)


def test_a_role_too_small_is_told_which_one_it_takes():
    with pytest.raises(AccessError, match="caller may not promote a version; that takes operator"):
        require(Role.CALLER, Action.PROMOTE, key_workload=None, workload="flights")


def test_a_key_of_one_workload_opens_no_other_whatever_its_role():
    require(Role.ADMIN, Action.PREDICT, key_workload="flights", workload="flights")
    with pytest.raises(AccessError, match="'flights', not 'hotels'"):
        require(Role.ADMIN, Action.READ_STATUS, key_workload="flights", workload="hotels")


def test_a_key_without_a_workload_is_for_all():
    for workload in ("flights", "hotels"):
        require(Role.OPERATOR, Action.HOLD, key_workload=None, workload=workload)
