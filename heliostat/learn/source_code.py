"""A workload's source as it was: collected into a bundle, and imported again under a name made from its content.

So two versions with different `encode` and different networks answer side by side in one process, and an edit of the
files on disk changes neither.
"""

import ast
import hashlib
import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from heliostat.errors import BundleError, WorkloadError
from heliostat.learn.bundled_import import BundledImporter
from heliostat.workload import Workload

# A network is its weights and its arithmetic, so the blocks that a workload may build on travel with it too; what they
# import themselves stays the installed one.
TRAVELLING_BLOCKS = ("heliostat.learn.network",)

_loading = threading.Lock()


class _InProcess:
    """What a bundle's own code runs in: where it would end the process (sys.exit(), a panic in Rust) it fails instead.

    BundleError says so. What is no Exception would pass by whoever falls back to another version.
    """

    def __enter__(self) -> None:
        """Nothing has to be there."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and not isinstance(error, Exception | KeyboardInterrupt):
            raise BundleError(
                f"The bundle's own code ended with {type(error).__name__} ({error!s:.200}); take that out of it, and "
                "train again."
            ) from error


IN_PROCESS = _InProcess()


@dataclass(frozen=True, kw_only=True)
class SourceCode:
    """The module that holds `workload`, and every file that travels with it by its path below the import root."""

    module: str
    files: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        """SHA-256 over the module's name and every path and content."""
        digest = hashlib.sha256(self.module.encode())
        for path, content in sorted(self.files.items()):
            digest.update(f"\n{path} {len(content)}\n".encode() + content)
        return digest.hexdigest()

    @property
    def package(self) -> str:
        """The name under which this very source is imported."""
        return f"heliostat_bundle_{self.digest[:16]}"


def collect(module: str) -> SourceCode:
    """The source of a workload's module and of what it imports from its own package, directly or not; runs none of it.

    Found by reading import statements: a module imported by a computed name does not travel, nor does a data file. A
    module outside a package travels alone.
    """
    files: dict[str, bytes] = {}
    waiting = [module]
    if _find(module) is None:
        raise WorkloadError(
            f"No source of {module!r} on the import path; a workload is a .py file, by its dotted name."
        )
    while waiting:
        name = waiting.pop()
        found = _find(name)
        if found is None or found[0] in files:
            continue
        path, content = found
        files[path] = content
        package = name if path.endswith("/__init__.py") else name.rpartition(".")[0]
        waiting += _parents(name)
        waiting += [used for used in _imported(content, path, package) if _travels(used, module)]
    return SourceCode(module=module, files=files)


def load(source: SourceCode) -> Workload:
    """The workload of this source; the same source gives the same object. BundleError when it cannot be imported."""
    with _loading:
        if source.package not in sys.modules:
            sys.meta_path.append(BundledImporter(source.package, source.files))
        try:
            with IN_PROCESS:
                module = importlib.import_module(f"{source.package}.{source.module}")
        except ImportError as error:
            raise BundleError(
                f"The source of {source.module!r} in the bundle cannot be imported here ({error}); "
                "install what it needs in the versions of its lineage."
            ) from error
    workload = getattr(module, "workload", None)
    if not isinstance(workload, Workload):
        raise BundleError(f"The bundled {source.module!r} has no variable `workload` that is a Workload.")
    return workload


def _travels(name: str, module: str) -> bool:
    return name.partition(".")[0] == module.partition(".")[0] or name in TRAVELLING_BLOCKS


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    if parts[0] == "heliostat":  # its packages stay the installed ones
        return []
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _find(name: str) -> tuple[str, bytes] | None:
    """(path below the import root, content) of a module, importing nothing; None when there is no such file."""
    top, _, rest = name.partition(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        return None
    if spec.submodule_search_locations is None:
        origin = Path(spec.origin or "")
        return (f"{top}.py", origin.read_bytes()) if not rest and origin.suffix == ".py" else None
    below = rest.replace(".", "/")
    for location in spec.submodule_search_locations:
        for ending in [f"{below}.py", f"{below}/__init__.py"] if below else ["__init__.py"]:
            file = Path(location) / ending
            if file.is_file():
                return f"{top}/{ending}", file.read_bytes()
    return None


def _imported(content: bytes, path: str, package: str) -> Iterator[str]:
    """Every dotted name that an import statement may mean, wherever in the file it stands."""
    for node in ast.walk(ast.parse(content, path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
