"""What `make run` shows of a job's log."""

from jobs._job_output import JobOutput


def test_lines_of_our_own_are_shown_and_those_of_ray_are_not():
    log = (
        "2026-11-21 23:21:53,120\tINFO worker.py:1234 -- Connecting to existing Ray cluster\n"
        "Running entrypoint for job flights-train: python -m jobs.train\n"
        "49,601 rows to learn from\n"
        "\n"
        "(raylet) Spilled 3 objects\n"
        "\x1b[36m(RayTrainWorker pid=12, ip=127.0.0.1)\x1b[0m   epoch 1 of 5: 0.4953\n"
    )
    assert JobOutput().shown(log) == ["49,601 rows to learn from", "  epoch 1 of 5: 0.4953"]


def test_what_a_worker_says_is_shown_once_however_often_it_is_forwarded(capsys):
    output = JobOutput()
    for _ in range(2):
        output("(RayTrainWorker pid=12) candidate all: 0.4953")
        output("progress")
    assert capsys.readouterr().out == "    candidate all: 0.4953\n    progress\n    progress\n"
