"""Starting afresh removes what Heliostat stored in its home, and nothing else."""

import pytest

from heliostat.settings import Settings
from heliostat.store.catalog import Catalog
from jobs.run import forget

STORED = ("lake", "bundles", "segments", "runs", "results", "keys")


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home", base_port=30777)


def fill(settings):
    settings.home.mkdir()
    for name in STORED:
        (settings.home / name / "deep").mkdir(parents=True)
        (settings.home / name / "deep" / "file").write_text("stored")
    catalog = Catalog(settings.catalog_url)
    catalog.create()
    settings.cluster_file.write_text("{}")
    return catalog


def names(settings):
    return {path.name for path in settings.home.iterdir()}


def test_everything_that_was_stored_is_gone(settings):
    held_open = fill(settings)  # so that the write-ahead log of the database is there too
    assert "catalog.sqlite-wal" in names(settings)
    forget(settings)
    assert names(settings) == set()
    assert held_open.url == settings.catalog_url


def test_the_token_the_logs_and_a_persons_own_files_stay(settings):
    fill(settings)
    settings.token_path.write_text("token")
    (settings.home / "logs").mkdir()
    (settings.home / "thesis").mkdir()
    (settings.home / "thesis" / "chapter-1.md").write_text("years of work")
    forget(settings)
    assert names(settings) == {"ray_token", "logs", "thesis"}
    assert (settings.home / "thesis" / "chapter-1.md").read_text() == "years of work"


def test_a_lake_that_is_a_link_loses_the_link_and_nothing_behind_it(settings, tmp_path):
    settings.home.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("shared")
    (settings.home / "lake").symlink_to(tmp_path / "elsewhere")
    forget(settings)
    assert names(settings) == set()
    assert (tmp_path / "elsewhere" / "file").read_text() == "shared"


def test_a_home_that_is_not_there_is_nothing_to_forget(settings):
    forget(settings)
    forget(settings)
    assert not settings.home.exists()
