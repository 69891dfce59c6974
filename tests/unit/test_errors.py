"""Every error is a HeliostatError and a standard one, says one thing, and survives pickling."""

import inspect
import pickle

import pytest

from heliostat import errors

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.HeliostatError)]
STANDARD = (ValueError, RuntimeError, PermissionError)


def test_there_are_errors_to_look_at():
    assert len(ALL) >= 12


@pytest.mark.parametrize("kind", ALL)
def test_an_error_comes_back_from_pickling_as_itself(kind):
    again = pickle.loads(pickle.dumps(kind("what, what it got, what to do")))
    assert type(again) is kind
    assert str(again) == "what, what it got, what to do"


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not errors.HeliostatError])
def test_an_error_is_a_standard_one_too(kind):
    assert issubclass(kind, STANDARD)


@pytest.mark.parametrize("kind", ALL)
def test_an_error_takes_exactly_one_message(kind):
    with pytest.raises(TypeError):
        kind()
    with pytest.raises(TypeError):
        kind("one", "two")


@pytest.mark.parametrize("kind", ALL)
def test_an_error_is_drawn_in_the_tree(kind):
    assert kind.__name__ in (errors.__doc__ or "")
