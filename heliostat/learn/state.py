"""Where a fit stands after an epoch: enough to go on as if nothing had happened."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load, save

from heliostat.errors import TrainingError

Tensors = Mapping[str, torch.Tensor]
Place = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
WEIGHTS, BEST, OPTIMIZER, TREES = "weights", "best", "optimizer", "trees"
BYTES, CUT = "bytes", "is_cut"


@dataclass(frozen=True, kw_only=True)
class EpochScores:
    """Mean loss of one epoch, on the rows trained on and on the later rows that were not."""

    train_loss: float
    validation_loss: float


@dataclass(frozen=True, kw_only=True)
class FitState:
    """A fit after some epochs, and `num_steps` batches of the next one, whose losses add up to `loss_total`.

    `fingerprint` names the data, the seed and the settings that it belongs to. Where the network is laid out over
    workers the tensors are this worker's parts; they lie in the files of `parts_dir` where one is named, not here. Of
    trees, whose rounds stand where epochs do, `trees` gives the library's bytes, while `on_epoch` is told of the state.
    A fit that `is_cut` has had its time, and does not go on.
    """

    fingerprint: str
    weights: Tensors
    best_weights: Tensors
    optimizer: Tensors
    history: tuple[EpochScores, ...]
    num_steps: int = 0
    loss_total: float = 0.0
    is_in_parts: bool = False
    parts_dir: Path | None = None
    trees: Callable[[], bytes] | None = None
    is_cut: bool = False

    @property
    def num_epochs(self) -> int:
        """How many epochs are done."""
        return len(self.history)

    @property
    def best_epoch(self) -> int:
        """The epoch, from 0, with the lowest validation loss; the earlier one of two."""
        return min(range(self.num_epochs), key=lambda epoch: self.history[epoch].validation_loss)

    def kept(self, *, best: bool) -> tuple[int, Tensors]:
        """The epoch that counts, from 0, and its weights: the best on later rows, or the last one."""
        return (self.best_epoch, self.best_weights) if best else (self.num_epochs - 1, self.weights)

    def to_bytes(self) -> bytes:
        """The state as one safetensors file."""
        tensors = {path: tensor.detach().cpu().contiguous().clone() for path, tensor in self.tensors().items()}
        return save(tensors, metadata=self.header())

    def tensors(self) -> dict[str, torch.Tensor]:
        """All of them, by "weights/<name>", "best/<name>" or "optimizer/<name>"; trees as bytes."""
        named = {WEIGHTS: self.weights, BEST: self.best_weights, OPTIMIZER: self.optimizer}
        if self.trees is not None:
            named[TREES] = {BYTES: torch.frombuffer(bytearray(self.trees()), dtype=torch.uint8)}
        return {f"{kind}/{name}": tensor for kind, found in named.items() for name, tensor in found.items()}

    def header(self) -> dict[str, str]:
        """All but the tensors."""
        history = json.dumps([asdict(scores) for scores in self.history])
        under_way = json.dumps([self.num_steps, self.loss_total])
        cut = {CUT: "yes"} if self.is_cut else {}
        return {"fingerprint": self.fingerprint, "history": history, "under_way": under_way, **cut}

    @classmethod
    def of(cls, header: Mapping[str, str], tensors: Tensors, *, parts_dir: Path | None = None) -> "FitState":
        """The state with the `header` and `tensors` of another; without tensors, where those lie in files."""
        found: dict[str, dict[str, torch.Tensor]] = {WEIGHTS: {}, BEST: {}, OPTIMIZER: {}, TREES: {}}
        for path, tensor in tensors.items():
            kind, name = path.split("/", 1)
            found[kind][name] = tensor
        num_steps, loss_total = json.loads(header["under_way"])
        return cls(
            num_steps=num_steps,
            loss_total=loss_total,
            fingerprint=header["fingerprint"],
            weights=found[WEIGHTS],
            best_weights=found[BEST],
            optimizer=found[OPTIMIZER],
            history=tuple(EpochScores(**scores) for scores in json.loads(header["history"])),
            parts_dir=parts_dir,
            is_cut=CUT in header,
            trees=partial(_bytes_of, found[TREES][BYTES]) if found[TREES] else None,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "FitState":
        """The state that `to_bytes` wrote; TrainingError when it is not one."""
        try:
            tensors = load(data)
        except safetensors.SafetensorError as error:
            raise TrainingError(f"The checkpoint cannot be read ({error}); remove it to start anew.") from error
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        return cls.of(header, tensors)


def _bytes_of(tensor: torch.Tensor) -> bytes:
    return tensor.numpy().tobytes()


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The moments and step counts of an optimizer, by "<number of the parameter>.<name>"."""
    return {
        f"{number}.{name}": tensor
        for number, moments in optimizer.state_dict()["state"].items()
        for name, tensor in moments.items()
    }


def _as_it_is(tensor: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return tensor


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Tensors, *, place: Place = _as_it_is) -> None:
    """Give an optimizer the moments and step counts that `optimizer_tensors` took, each placed as its parameter is."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for path, tensor in tensors.items():
        number, name = path.split(".", 1)
        state.setdefault(int(number), {})[name] = place(tensor.clone(), parameters[int(number)])
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
