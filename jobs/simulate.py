"""Would the loop pay on my data? Plays a table as a stream and compares the loop with schedules; needs no cluster.

Reads:  the file that is named
Writes: standard output; the files of --json and --plot

Every policy starts from the same model of the first part, answers the rest in steps of 0.5% of the rows (50 at
least), each before learning from it, and learns only from rows that are due with a known label. The learner is
scikit-learn's HistGradientBoosting with its defaults (fewer rounds for more than ten classes). The score is the
accuracy, or R2 with --task regression, the loss the log loss or the squared error. With --model network it is
Heliostat's TabularNetwork with the defaults of training.

never             the first model answers everything
schedule_5%       a fit on all usable rows every 5% (10%, 20%) of the rows, put in place without looking;
                  with _recent: on as many of the newest rows as the first model had
loop              the monitor, the state machine and the gates of the live loop, with these defaults:
                    growth    a turn when labelled rows since the last model are 50% of those known then, 25% after a
                              turn that surely won; after a change the follow-ups count instead
                    decay     a turn when the loss is worse than the answers expect of themselves, by more than on the
                              hold-out and 3% of what the best constant answer costs; by an e-detector that gives at
                              most one false alarm in 1000 steps, on 1000 rows (5% of a short table) at least, or one
                              in a million steps, on four steps
                              the same where the score (accuracy) is lower by more than 5 points and chance, for an
                              e-detector that errs once in a million steps
                    slack     the same where the loss is lower than the answers expect: the world became easier
                    age       a turn when the model is older than 20% of the rows: a safety net
                    cooldown  2% of the rows between the end of a turn and the next; doubled by every turn in a row
                              that promoted nothing
                    follow-up turns after a decay, each when rows since the change are four times as many as at the
                              last turn, or at the same distance again where the last turn won more than the margin;
                              none after an earlier champion returned
                    a turn    fits all history, and the rows since the last change where one is known, else as many rows
                              as the first model had (of two only 30 trees of 100 each, and all only for the one that
                              leads then); after a change the shorter one comes first, and what reaches before it is
                              left out where it surely beat the champion, unless that one learned from less than all
                              history; unless growth alone asked up to eight earlier champions compete, and one that is
                              as good as in its time returns without a fit; all are judged on the newest rows that the
                              champion was not fitted to (at most 5% of all); all history wins unless a shorter one is
                              surely better (one-sided 95%); a winner that passes the gates is fitted again on all
                              rows. A turn takes no time, and there is no canary.
                    alarms    every decay, lack of labels, and drift of an input (index 0.25 beyond calm in three
                              windows of four steps in a row); drift is said, but asks for no turn
even              the loop's number of turns at even distances, with its candidates and gates

CPU-seconds and fits leave out the first fit, which all share, and the answering.
"""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from heliostat.declared.economics import Economics
from heliostat.errors import ContractError, HeliostatError
from heliostat.simulate.comparison import compare
from heliostat.simulate.learner import Learner
from heliostat.simulate.stream import Stream
from heliostat.simulate.table import Roles, prepare
from jobs import _simulation_input, _simulation_plot, _simulation_text
from jobs._simulation_learner import Trees, remarks_on
from jobs._simulation_trees import one_thread

TELL_EVERY_S = 2.0
PLOT_ENDINGS = (".png", ".pdf", ".svg")


def simulate(options: argparse.Namespace) -> None:
    """Play the table, print the comparison, write what was asked for."""
    _refuse_outputs(options)
    table = _simulation_input.read(options.data)
    roles = Roles(
        label=options.label,
        task=options.task,
        event_time=options.event_time,
        label_time=options.label_time,
        due_time=options.due_time,
        key=options.key,
    )
    prepared = prepare(table, roles, first=options.first, max_rows=options.max_rows)
    stream = prepared.stream
    learner, economics = _learner(options.model, stream), _economics(options)
    with one_thread() if options.model == "trees" else nullcontext():
        found = compare(stream, learner, clock=time.process_time, tell=_teller(), economics=economics)
    title = f"{options.data.name}, label {options.label}"
    remarks = [*prepared.remarks, *(remarks_on(stream.task) if options.model == "trees" else ())]
    print(_simulation_text.render(found, title=title, remarks=remarks), flush=True)
    if options.json is not None:
        written = _simulation_text.as_json(found, remarks=remarks)
        options.json.write_text(json.dumps(written, indent=1))
    if options.plot is not None:
        _simulation_plot.draw(options.plot, found, first_rows=stream.first_rows, title=title)


def _refuse_outputs(options: argparse.Namespace) -> None:
    """What could not be written is said before minutes are spent on it."""
    for path in (options.json, options.plot):
        if path is not None and not path.parent.is_dir():
            raise ContractError(f"There is no folder {path.parent} for {path.name}; make it first.")
        if path is not None and path.is_dir():
            raise ContractError(f"{path} is a folder; name a file in it.")
    if options.plot is not None and options.plot.suffix.lower() not in PLOT_ENDINGS:
        raise ContractError(f"--plot draws {', '.join(PLOT_ENDINGS)}; got {options.plot.name!r}.")


def _economics(options: argparse.Namespace) -> Economics | None:
    """What turns may cost, where both figures are given."""
    value, cost = options.value_per_loss, options.cost_per_cpu_hour
    if (value is None) != (cost is None):
        raise ContractError("Give both --value-per-loss and --cost-per-cpu-hour, in one currency, or neither.")
    return None if value is None else Economics(value_per_loss=value, cost_per_cpu_hour=cost)


def _learner(model: str, stream: Stream) -> Learner:
    """Networks need torch, which takes seconds to import: only who asks for them waits."""
    if model == "trees":
        return Trees(stream.columns, task=stream.task)
    made: Learner = importlib.import_module("jobs._simulation_network").Networks(stream.columns, task=stream.task)
    return made


def _teller() -> Callable[[str], None]:
    """Prints progress to standard error, at most every two seconds."""
    started_s = last_s = time.monotonic()

    def tell(text: str) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if now_s - last_s >= TELL_EVERY_S:
            last_s = now_s
            print(f"[{now_s - started_s:4.0f} s] {text}", file=sys.stderr, flush=True)

    return tell


def arguments() -> argparse.ArgumentParser:
    """The options of this job."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--data", type=Path, required=True, help="a Parquet, CSV or Feather file; every other column is an input"
    )
    made.add_argument("--label", required=True, help="the column to predict: values of two or more kinds, or numbers")
    made.add_argument("--event-time", help="when a row happened; without it the rows are in file order")
    made.add_argument(
        "--label-time", help="when the label became known; without it when due, or right after the answer"
    )
    made.add_argument(
        "--due-time", help="when the label should be known: a row is learned from and judged by from then on"
    )
    made.add_argument("--key", help="a column that names the row, and is no input")
    made.add_argument("--task", choices=["classification", "regression"], default="classification")
    made.add_argument("--model", choices=["trees", "network"], default="trees", help="what is fitted")
    made.add_argument("--first", type=float, default=0.2, help="share of rows to start from (default: %(default)s)")
    made.add_argument(
        "--value-per-loss",
        type=float,
        metavar="VALUE",
        help="what one unit of loss less on one row is worth: with --cost-per-cpu-hour a turn starts only when what it "
        "is expected to gain in 30 steps (15%% of the rows) is worth more than its run",
    )
    made.add_argument("--cost-per-cpu-hour", type=float, metavar="COST", help="in the same currency")
    made.add_argument(
        "--max-rows", type=int, help="of longer tables so many rows are played (default: what takes minutes; 0: all)"
    )
    made.add_argument("--json", type=Path, metavar="OUT", help="write the result as JSON")
    made.add_argument("--plot", type=Path, metavar="OUT.png", help="draw the result")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 1 with one sentence on standard error."""
    options = arguments().parse_args(argv)
    try:
        simulate(options)
    except HeliostatError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
