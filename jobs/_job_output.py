"""What a person sees of a job's log: what our code says, and nothing of what Ray's own processes say."""

import re

RAY_PREFIX = re.compile(r"^(\x1b\[\d+m)?\((?P<actor>\w+)[^)]*\)(\x1b\[0m)? (?P<said>.*)$")
RAY_LOG = re.compile(r"^(\d{4}-\d\d-\d\d \S+\s+(DEBUG|INFO|WARNING)\s+\w+\.py:\d+ -- |Running entrypoint for job )")
OWN_LINES = ("candidate ", "  epoch ")
INDENT = "    "


class JobOutput:
    """Picks the lines worth showing out of a log as it comes; Ray's are on the dashboard."""

    def __init__(self, *, indent: str = INDENT) -> None:
        self.indent = indent
        self._said: set[str] = set()  # Ray forwards what a training worker prints more than once

    def shown(self, text: str) -> list[str]:
        """The lines of the text that our code said, each of a worker's once."""
        return [said for line in text.splitlines() if (said := self._shown(line)) is not None]

    def __call__(self, text: str) -> None:
        """Print them, indented below the step that they belong to."""
        for said in self.shown(text):
            print(f"{self.indent}{said}", flush=True)

    def _shown(self, line: str) -> str | None:
        prefixed = RAY_PREFIX.match(line)
        if prefixed is None:
            return line if line.strip() and RAY_LOG.match(line) is None else None
        said = prefixed["said"]
        if not said.startswith(OWN_LINES) or said in self._said:
            return None
        self._said.add(said)
        return said
