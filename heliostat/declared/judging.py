"""Whether what a workload is judged by fits the kind of its label."""

from collections.abc import Sequence
from typing import Any

from heliostat.errors import WorkloadError
from heliostat.gates import Gate, NoWorseThanChampion, Scored
from heliostat.metrics import METRIC_BY_NAME, Metric
from heliostat.tasks import Task
from heliostat.triggers import Decay, Slack, Trigger, singles


def refuse_unfit_judging(
    name: str, task: Task, *, metrics: Sequence[Metric], gates: Sequence[Gate], triggers: Sequence[Trigger]
) -> None:
    """WorkloadError when a metric is of another kind of label, or something is compared by another loss."""
    asked = [*metrics, *(gate.metric for gate in gates if isinstance(gate, Scored))]
    asked += [trigger.metric for trigger in singles(triggers) if isinstance(trigger, Decay | Slack)]
    known = {*task.metrics, task.score}
    foreign = [each.name for each in asked if METRIC_BY_NAME.get(each.name) is each and each not in known]
    if foreign:
        raise WorkloadError(
            f"Workload {name!r} is judged by {foreign[0]}, which says nothing of its label; use "
            f"{', '.join(metric.name for metric in task.metrics)}, or a Metric of your own."
        )
    by_row = [gate.metric for gate in gates if isinstance(gate, NoWorseThanChampion)]
    by_row += [trigger.metric for trigger in singles(triggers) if isinstance(trigger, Slack)]
    if any(metric is not task.loss and metric.name != task.loss.name for metric in by_row):
        raise WorkloadError(
            f"NoWorseThanChampion and Slack of workload {name!r} need {task.loss}, the loss of its label."
        )


def refuse_unfit_default(name: str, task: Task, default: Any) -> None:
    """WorkloadError when what is answered without a version is no answer."""
    if default is not None and task.default_answer(default) is None:
        said = "a probability from 0 to 1" if task.kind == "binary" else task.allowed
        raise WorkloadError(f"Serving(default={default!r}) of workload {name!r} must be {said}; None means none.")
