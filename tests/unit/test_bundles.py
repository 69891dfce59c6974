import json
from pathlib import Path

import pytest

from heliostat.errors import BundleError
from heliostat.store.bundles import MANIFEST, read_bundle, write_bundle

FILES = {"weights.safetensors": b"\x00\x01" * 1000, "source/workloads/toy.py": b"x = 1\n", "empty": b""}


def test_a_bundle_reads_back_as_it_was_written(tmp_path):
    bundle = write_bundle(str(tmp_path), FILES)
    assert read_bundle(bundle.uri, bundle.hash) == FILES
    assert bundle.uri.endswith(bundle.hash)


def test_a_bundle_can_be_named_by_a_file_uri(tmp_path):
    bundle = write_bundle(tmp_path.as_uri(), FILES)
    assert bundle.uri.startswith("file:///")
    assert read_bundle(bundle.uri, bundle.hash) == FILES


def test_the_same_content_is_the_same_bundle_and_other_content_is_not(tmp_path):
    first = write_bundle(str(tmp_path), FILES)
    written = {path: path.stat().st_mtime_ns for path in Path(first.uri).rglob("*")}
    assert write_bundle(str(tmp_path), dict(reversed(FILES.items()))) == first
    assert {path: path.stat().st_mtime_ns for path in Path(first.uri).rglob("*")} == written
    assert write_bundle(str(tmp_path), FILES | {"empty": b"!"}).hash != first.hash


@pytest.mark.parametrize("name", FILES)
def test_an_altered_file_is_named(tmp_path, name):
    bundle = write_bundle(str(tmp_path), FILES)
    path = Path(bundle.uri) / name
    path.write_bytes(path.read_bytes() + b"!")
    with pytest.raises(BundleError, match=rf"{name} .*was altered"):
        read_bundle(bundle.uri, bundle.hash)


def test_a_missing_file_is_named(tmp_path):
    bundle = write_bundle(str(tmp_path), FILES)
    (Path(bundle.uri) / "empty").unlink()
    with pytest.raises(BundleError, match=r"empty .*is missing"):
        read_bundle(bundle.uri, bundle.hash)


def test_a_manifest_altered_along_with_its_file_is_found_by_the_registered_hash(tmp_path):
    bundle = write_bundle(str(tmp_path), FILES)
    other = write_bundle(str(tmp_path), FILES | {"empty": b"!"})
    for name in (MANIFEST, "empty"):
        (Path(bundle.uri) / name).write_bytes((Path(other.uri) / name).read_bytes())
    with pytest.raises(BundleError, match="was registered"):
        read_bundle(bundle.uri, bundle.hash)


@pytest.mark.parametrize("text", ["{", "{}", json.dumps({"files": 3})])
def test_a_manifest_that_cannot_be_read_is_said(tmp_path, text):
    bundle = write_bundle(str(tmp_path), FILES)
    (Path(bundle.uri) / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match="manifest"):
        read_bundle(bundle.uri, bundle.hash)


def test_a_bundle_cut_off_before_its_manifest_is_none_until_it_is_written_again(tmp_path):
    bundle = write_bundle(str(tmp_path), FILES)
    (Path(bundle.uri) / MANIFEST).unlink()
    (Path(bundle.uri) / "empty").write_bytes(b"half")
    with pytest.raises(BundleError, match="not written to its end"):
        read_bundle(bundle.uri, bundle.hash)
    assert write_bundle(str(tmp_path), FILES) == bundle
    assert read_bundle(bundle.uri, bundle.hash) == FILES


@pytest.mark.parametrize("name", ["", "/etc/x", "../x", "a/../b", "a//b", "./a", MANIFEST])
def test_a_name_that_leaves_the_bundle_is_refused(tmp_path, name):
    with pytest.raises(BundleError, match="cannot be the name"):
        write_bundle(str(tmp_path), {name: b""})
    assert list(tmp_path.iterdir()) == []
