"""What the screen of labels said so far, as figures: how often, what followed, and how many sources are shut out."""

from heliostat.watch.gauges import Gauge, Measurement

SUSPECTED = Gauge(
    "label_windows_suspected",
    "Windows in which a source contradicted sure answers far above what is usual: shut_out, or told if none opposed it",
    ("outcome",),
)
SOURCES = Gauge("label_sources_shut_out", "Sources of which some labels are left out now, until they are released")


def measured_suspicions(*, num_shut_out: int, num_told: int, num_sources: int) -> list[Measurement]:
    """The figures: windows that were shut out, windows that were only told, and sources that are shut out now."""
    return [
        SUSPECTED.of(num_shut_out, "shut_out"),
        SUSPECTED.of(num_told, "told"),
        SOURCES.of(num_sources),
    ]
