"""What a fit goes on from, instead of from nothing: how a version prepared its columns, and what it had learned."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from safetensors.torch import load as load_tensors
from safetensors.torch import save

from heliostat.learn import network_answers, trees
from heliostat.learn.prepare import Preparation
from heliostat.learn.state import Tensors
from heliostat.records import num_learned


@dataclass(frozen=True, kw_only=True)
class Start:
    """A version to go on from: a network's `weights`, or its `trees`; columns are prepared as it prepared them.

    `num_rows` are those that it learned from, and that the versions before it did which it went on from.
    """

    preparation: Preparation
    num_rows: int = 0
    weights: Tensors = field(default_factory=dict)
    trees: bytes | None = None

    @classmethod
    def of(cls, files: Mapping[str, bytes], *, source_digest: str) -> "Start | None":
        """What the files of a bundle start from; None where its workload's source was another: it may not fit."""
        if json.loads(files["model.json"])["source_digest"] != source_digest:
            return None
        preparation = Preparation.from_json(files["preparation.json"].decode())
        num_rows = num_learned(json.loads(files["lineage.json"]))
        if trees.FILE in files:
            return cls(preparation=preparation, num_rows=num_rows, trees=files[trees.FILE])
        weights = load_tensors(files[network_answers.FILE])
        return cls(preparation=preparation, num_rows=num_rows, weights=weights)

    @property
    def kind(self) -> str:
        """What goes on: "network" or "trees"."""
        return network_answers.KIND if self.trees is None else trees.KIND

    @property
    def digest(self) -> str:
        """Names all that is gone on from."""
        learned = self.trees if self.trees is not None else save(dict(sorted(self.weights.items())))
        return hashlib.sha256(self.preparation.to_json().encode() + learned).hexdigest()
