"""What `model` gives: a network that can learn and be kept, or one sentence on what it is instead."""

from collections.abc import Mapping

import torch
from torch import nn

from heliostat.errors import WorkloadError
from heliostat.learn.faults import definition
from heliostat.workload import Workload


def new_network(workload: Workload, sizes: Mapping[str, int]) -> nn.Module:
    """A fresh network of the workload; WorkloadError with file and line where `model` gives what nothing can be."""
    module: object = workload.model(sizes)
    if not isinstance(module, nn.Module):
        raise _refusal(workload, *_no_network(module))
    wrong = _cannot_learn(module) or _cannot_be_kept(module)
    if wrong is not None:
        raise _refusal(workload, *wrong)
    return module


def _refusal(workload: Workload, what: str, remedy: str) -> WorkloadError:
    found = definition(workload, "model")
    return WorkloadError(f"model gives {what}{'' if found is None else f' ({found})'}; {remedy}.")


def _no_network(found: object) -> tuple[str, str]:
    if found is None:
        return "None", "end it with `return` and the network"
    if isinstance(found, type) and issubclass(found, nn.Module):
        return f"the class {found.__name__} itself", f"call it: {found.__name__}(...)"
    return f"no torch.nn.Module but a value of type {type(found).__name__}", "return the network"


def _cannot_learn(module: nn.Module) -> tuple[str, str] | None:
    name, weights = type(module).__name__, list(module.parameters())
    if not weights:
        return f"the network {name} without parameters, so there is nothing to learn", "assign its layers in __init__"
    if not any(weight.requires_grad for weight in weights):
        return (
            f"the network {name} whose parameters are all frozen",
            "let requires_grad stay True for those that shall learn",
        )
    half = next((path for path, weight in module.named_parameters() if _is_half(weight)), None)
    if half is not None:
        return (
            f"the network {name} with float16 weights ({half!r}), which overflow in the steps of AdamW",
            "leave .half() out, and set Training(bfloat16=True)",
        )
    for path, part in module.named_modules():
        if isinstance(part, nn.Embedding | nn.EmbeddingBag) and part.sparse and part.weight.requires_grad:
            return (
                f"the network {name} whose {path or 'root'} has sparse gradients, which AdamW does not take",
                "leave sparse=True out there",
            )
    return None


def _is_half(weight: torch.Tensor) -> bool:
    return weight.requires_grad and weight.dtype == torch.float16


def _cannot_be_kept(module: nn.Module) -> tuple[str, str] | None:
    """Checkpoints and bundles hold tensors and nothing else: what is no tensor would be a pickle."""
    for path, kept in module.state_dict().items():
        if not isinstance(kept, torch.Tensor):
            return (
                f"the network {type(module).__name__} that keeps a {type(kept).__name__} in its state ({path!r}), and "
                "a version holds tensors alone",
                "register it as a buffer, or make it anew in __init__ instead of get_extra_state",
            )
    return None
