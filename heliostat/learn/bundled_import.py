"""Import modules from bytes, below a package of their own; their imports of each other stay inside it."""

import ast
from collections.abc import Mapping, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import CodeType, ModuleType


def module_name(path: str) -> str:
    """The dotted name of a file: "a/b.py" and "a/b/__init__.py" are both "a.b"."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


class BundledImporter(InspectLoader, MetaPathFinder):
    """Finds and runs the modules of one bundle, as `<package>.<their own dotted name>`."""

    def __init__(self, package: str, files: Mapping[str, bytes]) -> None:
        self.package = package
        self._path_by_name = {f"{package}.{module_name(path)}": path for path in files}
        self._files = dict(files)
        self._own = frozenset(map(module_name, files))
        self._packages = {package} | {
            name.rpartition(".")[0] if not path.endswith("__init__.py") else name
            for name, path in self._path_by_name.items()
        }
        for name in tuple(self._packages):
            while name := name.rpartition(".")[0]:
                self._packages.add(name)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A spec for the bundle's own modules, and for packages above them that have no file."""
        if fullname not in self._path_by_name and fullname not in self._packages:
            return None
        return spec_from_loader(fullname, self, origin=self._origin(fullname), is_package=self.is_package(fullname))

    def is_package(self, fullname: str) -> bool:
        """Whether modules may lie below it."""
        return fullname in self._packages

    def get_source(self, fullname: str) -> str:
        """The text as it was written, for tracebacks; empty for a package without a file."""
        path = self._path_by_name.get(fullname)
        return self._files[path].decode() if path else ""

    def get_code(self, fullname: str) -> CodeType:
        """The module's code, its imports of other bundled modules turned to the bundled ones."""
        tree = ast.parse(self.get_source(fullname))
        redirected = ast.fix_missing_locations(_Redirect(self.package, self._own).visit(tree))
        return compile(redirected, self._origin(fullname), "exec", dont_inherit=True)

    def _origin(self, fullname: str) -> str:
        return f"<{self.package}>/{self._path_by_name.get(fullname, fullname)}"


class _Redirect(ast.NodeTransformer):
    """Turns `import a.b` into an import of `<package>.a.b` where "a.b" is bundled; relative imports need no help."""

    def __init__(self, package: str, own: frozenset[str]) -> None:
        self.package = package
        self.own = own

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        for alias in node.names:
            if alias.name not in self.own:
                made.append(ast.Import([alias]))
                continue
            bundled = f"{self.package}.{alias.name}"
            made.append(ast.Import([ast.alias(bundled, alias.asname)]))
            if alias.asname is None:  # `import a.b` binds `a`
                made.append(ast.ImportFrom(self.package, [ast.alias(alias.name.partition(".")[0])], 0))
        return [ast.copy_location(statement, node) for statement in made]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        if node.level or node.module is None:
            return [node]
        inside = [a for a in node.names if {node.module, f"{node.module}.{a.name}"} & self.own]
        outside = [alias for alias in node.names if alias not in inside]
        made = []
        if inside:
            made.append(ast.ImportFrom(f"{self.package}.{node.module}", inside, 0))
        if outside:
            made.append(ast.ImportFrom(node.module, outside, 0))
        return [ast.copy_location(statement, node) for statement in made]
