"""What callers notice while replicas are killed, code is upgraded, versions change, and the ingress dies.

Reads:  nothing
Writes: docs/reliability.md, between its markers

`make bench-reliability`; a quarter of an hour on two cores. `--only NAME ...` runs some cases and writes nothing;
`--home DIRECTORY` keeps the installation there, and up, for the next time.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path
from types import ModuleType

from benchmarks.steady import faults, page, scaling
from benchmarks.steady.installation import ROOT, Toys
from cluster.connect import connect

PAGE = ROOT / "docs" / "reliability.md"


SECTIONS = {"faults": faults, "scaling": scaling}


def main() -> None:
    """Measure all, a section, or some cases; print each as it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-port", type=int, default=25000, help="first of 1000 ports (default: %(default)s)")
    parser.add_argument("--section", choices=list(SECTIONS), help="measure and write only this one")
    parser.add_argument(
        "--only", nargs="+", choices=[*faults.NAMES, *scaling.NAMES], help="run only these, write nothing"
    )
    parser.add_argument("--home", type=Path, help="where to keep the installation (default: nowhere)")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        Toys(options.home or Path(directory), options.base_port, keep=options.home is not None) as toys,
    ):
        for name, section in SECTIONS.items():
            only = None if options.only is None else [each for each in options.only if each in section.NAMES]
            if options.section in (None, name) and only != []:
                _measure(toys, name, section, only=only)


def _measure(toys: Toys, name: str, section: ModuleType, *, only: list[str] | None) -> None:
    versions = toys.versions(section.MODULE)
    connect(toys.settings)
    lines = asyncio.run(section.measure(toys, versions, only=only))
    if only is None:
        page.write(PAGE, name, lines)


if __name__ == "__main__":
    main()
