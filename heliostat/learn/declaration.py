"""A workload's declaration as files: its source as it was deployed, so that a process serves it without its module.

Loading runs that source and nothing else; the bundle that holds the files vouches for them.
"""

import json
from collections.abc import Mapping

from heliostat.errors import BundleError
from heliostat.learn import source_code
from heliostat.learn.source_code import SourceCode
from heliostat.workload import Workload

DESCRIPTION = "declaration.json"
SOURCE_FOLDER = "source/"


def to_files(module: str) -> dict[str, bytes]:
    """The declaration of a workload's module and of all it imports from its own package."""
    source = source_code.collect(module)
    files = {SOURCE_FOLDER + path: content for path, content in source.files.items()}
    return {**files, DESCRIPTION: json.dumps({"module": module}).encode()}


def load(files: Mapping[str, bytes]) -> Workload:
    """The workload that these files declare; BundleError when they do not."""
    if DESCRIPTION not in files:
        raise BundleError(f"The bundle lacks {DESCRIPTION}; it has {sorted(files)}. Run jobs.deploy for the workload.")
    own = {path.removeprefix(SOURCE_FOLDER): data for path, data in files.items() if path.startswith(SOURCE_FOLDER)}
    return source_code.load(SourceCode(module=json.loads(files[DESCRIPTION])["module"], files=own))
