"""Probabilities and labels turned into what the gates look at. Rows without a label (NaN) are left out."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from heliostat.blocks import MIN_BLOCKS, NORMAL_95, block_mean, one_sided_95, sums_by_block
from heliostat.errors import ContractError
from heliostat.gates import Evidence, Paired
from heliostat.metrics import ALL, Metric, log_losses

Values = NDArray[np.float64]
Blocks = NDArray[np.generic]


def evidence(
    labels: Values,
    probabilities: Values,
    *,
    champion: int | None,
    champion_probabilities: Values | None,
    train_rate: float,
    blocks: Blocks,
    metrics: Sequence[Metric] = ALL,
) -> Evidence:
    """What the gates look at, from hold-out rows later than training; `blocks` holds each row's day.

    `champion_probabilities` are its answers to the same rows; both are None before the first champion.
    `train_rate` is the share of ones in the training rows: the constant answer to beat.
    """
    _refuse_misfit(labels, probabilities, blocks)
    is_labelled = np.isfinite(labels)
    labelled, constant = labels[is_labelled], np.full(int(is_labelled.sum()), train_rate)
    return Evidence(
        num_rows=len(labelled),
        candidate={metric.name: metric(labelled, probabilities[is_labelled]) for metric in metrics},
        constant={metric.name: metric(labelled, constant) for metric in metrics},
        paired=None
        if champion is None or champion_probabilities is None
        else paired(
            labels,
            probabilities,
            champion=champion,
            champion_probabilities=champion_probabilities,
            blocks=blocks,
            metrics=metrics,
        ),
    )


def paired(
    labels: Values,
    probabilities: Values,
    *,
    champion: int,
    champion_probabilities: Values,
    blocks: Blocks,
    metrics: Sequence[Metric] = ALL,
) -> Paired:
    """Candidate against champion, row by row on the same labelled rows; below zero the candidate is better.

    The error comes from the scatter between days, widened so that 1.64 of it is the one-sided 95% bound of so few
    days. With fewer than three days each row counts as a block of its own, which is too sure where rows are alike.
    """
    _refuse_misfit(labels, probabilities, blocks)
    _refuse_misfit(labels, champion_probabilities, blocks)
    is_labelled = np.isfinite(labels)
    labelled, theirs = labels[is_labelled], champion_probabilities[is_labelled]
    difference = log_losses(labelled, probabilities[is_labelled]) - log_losses(labelled, theirs)
    days = blocks[is_labelled]
    if len(np.unique(days)) < MIN_BLOCKS:
        days = np.arange(len(labelled))
    mean = block_mean(*sums_by_block(difference, days))
    return Paired(
        champion=champion,
        num_rows=mean.num_rows,
        mean_difference=mean.mean,
        standard_error=mean.standard_error * one_sided_95(mean.num_blocks) / NORMAL_95,
        score_by_metric={metric.name: metric(labelled, theirs) for metric in metrics},
    )


def _refuse_misfit(labels: Values, probabilities: Values, blocks: Blocks) -> None:
    if not len(labels) == len(probabilities) == len(blocks):
        raise ContractError(
            f"Each row needs a label (NaN: unknown), an answer and a block; got {len(labels)}, "
            f"{len(probabilities)} and {len(blocks)}."
        )
    if not np.isfinite(probabilities).all():
        num_broken = int((~np.isfinite(probabilities)).sum())
        raise ContractError(f"{num_broken} of {len(probabilities)} answers are not finite; the model is broken.")
