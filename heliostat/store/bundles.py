"""Bundles: directories named by the hash of their content, whose manifest is written last."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from pathlib import PurePosixPath

from pyarrow import fs

from heliostat.errors import BundleError
from heliostat.records import BundleRef

MANIFEST = "manifest.json"


def write_bundle(uri: str, files: Mapping[str, bytes]) -> BundleRef:
    """A bundle below `uri` that exists as a whole or not at all; the same content gives the same bundle.

    Names are relative paths with forward slashes.
    """
    for name in files:
        _refuse_unsafe(name)
    hash_by_name = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}
    bundle_hash = _overall(hash_by_name)
    bundle_uri = f"{uri.rstrip('/')}/{bundle_hash}"
    filesystem, root = fs.FileSystem.from_uri(bundle_uri)
    if filesystem.get_file_info(f"{root}/{MANIFEST}").type == fs.FileType.NotFound:
        for name, content in files.items():
            _put(filesystem, f"{root}/{name}", content)
        manifest = json.dumps({"hash": bundle_hash, "files": hash_by_name}, indent=2).encode()
        # The manifest is written last, so its existence means that the bundle is complete.
        _put(filesystem, f"{root}/{MANIFEST}", manifest)
    return BundleRef(uri=bundle_uri, hash=bundle_hash)


def read_bundle(uri: str, expected_hash: str) -> dict[str, bytes]:
    """All files by name, every one checked against its hash and all together against `expected_hash`."""
    filesystem, root = fs.FileSystem.from_uri(uri)
    hash_by_name = _manifest(filesystem, uri, root=root)
    overall = _overall(hash_by_name)
    if overall != expected_hash:
        raise BundleError(
            f"The manifest of bundle {uri} gives the hash {overall}, but {expected_hash} was registered; "
            "the bundle was altered. Restore it, or roll back to another version."
        )
    return {
        name: _checked(filesystem, f"{root}/{name}", expected=expected, uri=uri)
        for name, expected in hash_by_name.items()
    }


def _manifest(filesystem: fs.FileSystem, uri: str, *, root: str) -> dict[str, str]:
    text = _content(filesystem, f"{root}/{MANIFEST}", uri=uri)
    try:
        return dict(json.loads(text)["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"The manifest of bundle {uri} cannot be read ({error!r}); restore the bundle.") from error


def _checked(filesystem: fs.FileSystem, path: str, *, expected: str, uri: str) -> bytes:
    content = _content(filesystem, path, uri=uri)
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise BundleError(
            f"The file {path} of bundle {uri} was altered: its hash is {found}, its manifest says {expected}. "
            "Restore it, or roll back to another version."
        )
    return content


def _content(filesystem: fs.FileSystem, path: str, *, uri: str) -> bytes:
    try:
        with filesystem.open_input_stream(path) as stream:
            return bytes(stream.readall())
    except FileNotFoundError as error:
        raise BundleError(
            f"The file {path} of bundle {uri} is missing: the bundle was not written to its end, or was removed. "
            "Train again, or restore it."
        ) from error


def _put(filesystem: fs.FileSystem, path: str, content: bytes) -> None:
    """The file appears whole under its name, also to a reader of a bundle that two writers write at once."""
    directory, name = path.rsplit("/", 1)
    hidden = f"{directory}/.{name}.{uuid.uuid4().hex}"
    filesystem.create_dir(directory, recursive=True)
    with filesystem.open_output_stream(hidden) as stream:
        stream.write(content)
    filesystem.move(hidden, path)


def _overall(hash_by_name: Mapping[str, str]) -> str:
    listing = json.dumps(dict(sorted(hash_by_name.items())), separators=(",", ":"))
    return hashlib.sha256(listing.encode()).hexdigest()


def _refuse_unsafe(name: str) -> None:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or str(path) != name or name == MANIFEST:
        raise BundleError(
            f"{name!r} cannot be the name of a file in a bundle; give a relative path such as source/model.py, "
            f"and leave {MANIFEST} to the bundle."
        )
