"""The names of everything that lives longer than one job, in one place."""

NAMESPACE = "heliostat"
CATALOG = "catalog"
# No workload can have this name, because none has a dot in it.
POOL = "small.models"


def recorder(workload: str) -> str:
    """The actor that moves acknowledged predictions and labels into the lake."""
    return f"{workload}/recorder"


def monitor(workload: str) -> str:
    """The actor that watches drift and quality."""
    return f"{workload}/monitor"


def steward(workload: str) -> str:
    """The actor that carries a turn from its trigger to promotion."""
    return f"{workload}/steward"


def answerer(workload: str) -> str:
    """The actor that sees to long answers."""
    return f"{workload}/answerer"


def application(workload: str) -> str:
    """The Serve application that answers for a workload."""
    return workload


def route_prefix(workload: str) -> str:
    """Everything of a workload answers below this path."""
    return f"/{workload}"
