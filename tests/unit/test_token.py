"""The token of a local cluster: made once, whole, and for its owner's eyes."""

import os
from pathlib import Path

import pytest

from cluster.environment import ensure_token
from heliostat.settings import Settings


def test_the_token_is_made_once_and_readable_by_its_owner_alone(tmp_path):
    settings = Settings(home=tmp_path / "home", base_port=20000)
    token = ensure_token(settings)
    assert len(token) == 64
    assert ensure_token(settings) == token
    assert settings.token_path.stat().st_mode & 0o777 == 0o600
    assert list(settings.home.iterdir()) == [settings.token_path]


def test_a_start_that_ends_before_the_token_is_whole_leaves_none(tmp_path, monkeypatch):
    settings = Settings(home=tmp_path, base_port=20000)

    def killed(_from: str, _to: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", killed)
        with pytest.raises(KeyboardInterrupt):
            ensure_token(settings)
    assert not settings.token_path.exists()
    assert len(ensure_token(settings)) == 64


def test_of_two_starts_at_once_the_first_token_counts(tmp_path, monkeypatch):
    settings, link = Settings(home=tmp_path, base_port=20000), os.link

    def overtaken(partial: str, path: Path) -> None:
        settings.token_path.write_text("first")
        link(partial, path)

    monkeypatch.setattr(os, "link", overtaken)
    assert ensure_token(settings) == "first"
