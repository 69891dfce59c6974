"""`docs/scaling.md` names only what exists: settings that are taken, files that are there."""

import re
from pathlib import Path

from heliostat import Training

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "scaling.md").read_text()


def test_every_configuration_is_one_that_training_takes():
    shown = re.findall(r"```python\n(Training\(.*?\))\n```", TEXT, re.S)
    assert len(shown) >= 5
    for configuration in shown:
        assert isinstance(eval(configuration, {"Training": Training}), Training)


def test_every_file_that_is_named_is_there():
    named = re.findall(r"`((?:tests/|jobs\.|ray-)[\w./-]+)`", TEXT)
    assert "ray-cluster.yaml" in named
    for name in named:
        path = name.replace(".", "/") + ".py" if name.startswith("jobs.") else name
        assert (ROOT / path).exists(), name
