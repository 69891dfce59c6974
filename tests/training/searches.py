"""What a search on a cluster has done so far, as its files and its log tell."""

import json
import re

from cluster import submit
from tests.cluster.conftest import Installation


def ended_trials(installation: Installation, job: str) -> list[str]:
    """The lines of trials that ended."""
    return [line for line in submit.logs(installation.settings, job).splitlines() if re.match(r"trial \d+ of", line)]


def num_pauses(installation: Installation, job: str) -> int:
    """How often a trial was paused."""
    return submit.logs(installation.settings, job).count("a trial is paused: others need the room")


def epochs_told(installation: Installation, run: str) -> list[list[dict]]:
    """What Ray kept of each trial of a search: one entry an epoch."""
    files = sorted((installation.settings.runs_dir / run).glob("*/result.json"))
    return [[json.loads(line) for line in path.read_text().splitlines()] for path in files]


def num_epochs(installation: Installation, run: str) -> int:
    """How many epochs all trials have told together."""
    return sum(map(len, epochs_told(installation, run)))


def is_restored(trial: list[dict]) -> bool:
    """Whether a trial went on in another process than it began in."""
    return bool(trial[-1]["iterations_since_restore"] < trial[-1]["training_iteration"])
