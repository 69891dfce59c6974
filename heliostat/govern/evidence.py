"""Answers and labels turned into what the gates look at. Rows without a label (NaN) are left out."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from heliostat.blocks import MIN_BLOCKS, NORMAL_95, block_mean, one_sided_95, sums_by_block
from heliostat.errors import ContractError
from heliostat.gates import Evidence, Paired
from heliostat.metrics import Metric
from heliostat.tasks import BINARY, Task, repeated

Values = NDArray[np.float64]
Blocks = NDArray[np.generic]


def evidence(
    labels: Values,
    answers: Values,
    *,
    champion: int | None,
    champion_answers: Values | None,
    constant: Values,
    blocks: Blocks,
    task: Task = BINARY,
    metrics: Sequence[Metric] | None = None,
) -> Evidence:
    """What the gates look at, from hold-out rows later than training; `blocks` holds each row's day.

    `champion_answers` are its answers to the same rows; both are None before the first champion. `constant` is the
    answer to beat: the task's best constant one by the training rows. Without `metrics` those of the task count.
    """
    _refuse_misfit(labels, answers, blocks)
    metrics = task.metrics if metrics is None else metrics
    is_labelled = np.isfinite(labels)
    labelled, constant = labels[is_labelled], repeated(constant, int(is_labelled.sum()))
    return Evidence(
        num_rows=len(labelled),
        candidate={metric.name: metric(labelled, answers[is_labelled]) for metric in metrics},
        constant={metric.name: metric(labelled, constant) for metric in metrics},
        paired=None
        if champion is None or champion_answers is None
        else paired(
            labels,
            answers,
            champion=champion,
            champion_answers=champion_answers,
            blocks=blocks,
            task=task,
            metrics=metrics,
        ),
    )


def paired(
    labels: Values,
    answers: Values,
    *,
    champion: int,
    champion_answers: Values,
    blocks: Blocks,
    task: Task = BINARY,
    metrics: Sequence[Metric] | None = None,
) -> Paired:
    """Candidate against champion, row by row on the same labelled rows; below zero the candidate is better.

    The error comes from the scatter between days, widened so that 1.64 of it is the one-sided 95% bound of so few
    days. With fewer than three days each row counts as a block of its own, which is too sure where rows are alike.
    """
    _refuse_misfit(labels, answers, blocks)
    _refuse_misfit(labels, champion_answers, blocks)
    is_labelled = np.isfinite(labels)
    labelled, theirs = labels[is_labelled], champion_answers[is_labelled]
    difference = task.losses(labelled, answers[is_labelled]) - task.losses(labelled, theirs)
    days = blocks[is_labelled]
    if len(np.unique(days)) < MIN_BLOCKS:
        days = np.arange(len(labelled))
    sums, num_rows = sums_by_block(difference, blocks[is_labelled])
    mean = block_mean(*sums_by_block(difference, days))
    return Paired(
        champion=champion,
        num_rows=mean.num_rows,
        mean_difference=mean.mean,
        standard_error=mean.standard_error * one_sided_95(mean.num_blocks) / NORMAL_95,
        score_by_metric={
            metric.name: metric(labelled, theirs) for metric in (task.metrics if metrics is None else metrics)
        },
        blocks=tuple((sums / num_rows).tolist()),
    )


def _refuse_misfit(labels: Values, answers: Values, blocks: Blocks) -> None:
    if not len(labels) == len(answers) == len(blocks):
        raise ContractError(
            f"Each row needs a label (NaN: unknown), an answer and a block; got {len(labels)}, "
            f"{len(answers)} and {len(blocks)}."
        )
    if not np.isfinite(answers).all():
        num_broken = int((~np.isfinite(answers.reshape(len(answers), -1)).all(axis=1)).sum())
        raise ContractError(f"{num_broken} of {len(answers)} answers are not finite; the model is broken.")
