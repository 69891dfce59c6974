"""Before anything starts: each lack is one sentence that says what was found and what to do."""

from dataclasses import replace

from cluster.preflight import BusyPort, Machine, problem

GB = 1024**3
ROOMY = Machine(python_version=(3, 11), free_memory_bytes=16 * GB, free_disk_bytes=50 * GB, base_port=18000)


def test_a_roomy_machine_has_no_problem() -> None:
    assert problem(ROOMY) is None


def test_an_old_python_is_named_with_the_one_that_is_needed() -> None:
    sentence = problem(replace(ROOMY, python_version=(3, 9)))
    assert sentence is not None
    assert "3.11" in sentence
    assert "Python 3.9" in sentence


def test_a_newer_python_is_welcome() -> None:
    assert problem(replace(ROOMY, python_version=(3, 13))) is None


def test_too_little_memory_says_how_much_there_is() -> None:
    sentence = problem(replace(ROOMY, free_memory_bytes=int(3.5 * GB)))
    assert sentence is not None
    assert "6 GB" in sentence
    assert "3.5 GB are free" in sentence


def test_too_little_disk_says_how_to_use_another() -> None:
    sentence = problem(replace(ROOMY, free_disk_bytes=1 * GB))
    assert sentence is not None
    assert "1 GB are free" in sentence
    assert "HELIOSTAT_HOME" in sentence


def test_a_busy_port_names_the_port_its_holder_and_a_free_base() -> None:
    holder = "process 4242 (python -m http.server 18002)"
    sentence = problem(replace(ROOMY, busy_ports=(BusyPort(port=18002, holder=holder),)))
    assert sentence == (
        "Port 18002 is in use by process 4242 (python -m http.server 18002), and Heliostat needs ports 18000 to "
        "18999: end that program, or choose other ports, such as HELIOSTAT_BASE_PORT=19000."
    )


def test_a_port_with_an_unknown_holder_is_still_named() -> None:
    sentence = problem(replace(ROOMY, busy_ports=(BusyPort(port=18000, holder=""), BusyPort(port=18001, holder=""))))
    assert sentence is not None
    assert sentence.startswith("Port 18000 is in use (and 1 more of ours), and")


def test_the_base_port_that_is_offered_instead_can_be_used() -> None:
    busy = replace(ROOMY, base_port=30000, busy_ports=(BusyPort(port=30000, holder=""),))
    assert "HELIOSTAT_BASE_PORT=18000" in (problem(busy) or "")


def test_a_problem_is_one_line() -> None:
    worst = replace(ROOMY, free_memory_bytes=0, free_disk_bytes=0, python_version=(2, 7))
    assert "\n" not in (problem(worst) or "\n")
