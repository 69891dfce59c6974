"""The names that a workload file may import."""

from heliostat.columns import Category, Number, Text, Vector
from heliostat.declared.cache import Cache
from heliostat.declared.economics import Economics
from heliostat.declared.inputs import Cascade, Ensemble, Input
from heliostat.declared.long_answers import LongAnswers
from heliostat.declared.loop import Loop
from heliostat.declared.pool import Pool
from heliostat.declared.replay import Replay
from heliostat.declared.revisions import Revision
from heliostat.declared.scaling import Scaling
from heliostat.declared.serving import Serving
from heliostat.declared.training import Training
from heliostat.declared.trees import Trees
from heliostat.declared.tuning import Between, OneOf, Tuning
from heliostat.declared.watching import Watching
from heliostat.gates import AtMost, BetterThanConstant, NoWorseThanChampion
from heliostat.guards import KeepsGolden, KeepsOlder, NoSliceWorse, QuickEnough
from heliostat.labels import Binary, Classes, Quantity
from heliostat.triggers import Age, AllOf, Decay, Drift, Growth, JointDrift, Slack, SliceDrift
from heliostat.workload import Batch, Encoded, Workload

__all__ = [
    "Age",
    "AllOf",
    "AtMost",
    "Batch",
    "BetterThanConstant",
    "Between",
    "Binary",
    "Cache",
    "Cascade",
    "Category",
    "Classes",
    "Decay",
    "Drift",
    "Economics",
    "Encoded",
    "Ensemble",
    "Growth",
    "Input",
    "JointDrift",
    "KeepsGolden",
    "KeepsOlder",
    "LongAnswers",
    "Loop",
    "NoSliceWorse",
    "NoWorseThanChampion",
    "Number",
    "OneOf",
    "Pool",
    "Quantity",
    "QuickEnough",
    "Replay",
    "Revision",
    "Scaling",
    "Serving",
    "Slack",
    "SliceDrift",
    "Text",
    "Training",
    "Trees",
    "Tuning",
    "Vector",
    "Watching",
    "Workload",
]
