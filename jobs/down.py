"""Stop the cluster that `make run` started from this home, and nothing else; everything stored stays."""

import argparse
import sys

from cluster import local
from heliostat.errors import HeliostatError
from heliostat.settings import Settings


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    try:
        settings = Settings.from_env()
        was_up = local.read(settings) is not None
        local.stop(settings)
    except HeliostatError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{'stopped' if was_up else 'nothing was up'}; what is stored stays in {settings.home}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
