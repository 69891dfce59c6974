"""Every error is a HeliostatError and a standard one, says one thing, and survives pickling."""

import ast
import importlib
import inspect
import pickle
from pathlib import Path

import pytest

from heliostat import errors

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("heliostat", "workloads", "cluster", "actors", "serve_apps", "jobs")


def defined():
    """Every class of the program that is called an error, wherever it is defined."""
    found = []
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        names = [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
        for name in (name for name in names if name.endswith("Error")):
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            found.append(getattr(module, name))
    return found


IN_THE_TREE = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.HeliostatError)
]
ALL = defined()
STANDARD = (ValueError, RuntimeError, PermissionError)


def test_there_are_errors_to_look_at():
    assert len(ALL) >= 18
    assert set(IN_THE_TREE) < set(ALL)


@pytest.mark.parametrize("kind", ALL)
def test_every_error_of_the_program_is_one_of_ours(kind):
    assert issubclass(kind, errors.HeliostatError)


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


@pytest.mark.parametrize("kind", IN_THE_TREE)
def test_an_error_is_drawn_in_the_tree(kind):
    assert kind.__name__ in (errors.__doc__ or "")
