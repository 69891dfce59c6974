"""Open Inference Protocol v2, whatever carries it: which version, who is ready, tensors in, tensors out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from heliostat.errors import NotFoundError
from heliostat.serving import oip
from heliostat.serving.cells import Values
from heliostat.serving.problem import MalformedError, UnavailableError
from heliostat.serving.rows import Cells, Defaults
from serve_apps.asgi import REVISION_HEADER, Call
from serve_apps.engine.scoring import Answer
from serve_apps.predictor import Predictor
from serve_apps.protocols import answers

SERVER: dict[str, Any] = {"name": "heliostat", "version": "2", "extensions": ["binary_tensor_data"]}


@dataclass(frozen=True, kw_only=True)
class Inferred:
    """The outputs of one request, and what holds for all of them."""

    values_by_output: dict[str, Values]
    version: int
    request_id: str
    parameters: dict[str, Any]
    headers: Mapping[str, str]


class Tensors:
    """What the protocol says of one workload, whose name is the model's name."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.model = predictor.config.workload
        self._revisions = predictor.revisions
        self.columns, self.task = predictor.revisions.columns, predictor.config.contract.task
        self._extra_names = predictor.revisions.current.extra_names

    def version(self, model: str | None, version: str | None) -> int | None:
        """The version that was named, None for whichever the route gives; NotFoundError when it is not served here."""
        if model not in (None, self.model):
            raise NotFoundError(f"There is no model {model!r:.80} here; this address serves {self.model!r}.")
        if version is None:
            return None
        served = self._predictor.versions
        if not (version.isascii() and version.isdecimal() and len(version) < 10) or int(version) not in served:
            raise NotFoundError(f"Version {version!r:.80} is not served; served are {served}.")
        return int(version)

    def is_ready(self, version: int | None = None) -> bool:
        """Whether the champion, or the version that was named, can answer."""
        return version is not None or self._predictor.is_ready

    def require_ready(self, version: int | None) -> None:
        """UnavailableError when it cannot."""
        if not self.is_ready(version):
            raise UnavailableError("No version serves yet: train one and promote it (jobs.train, jobs.promote).")

    def metadata(self, call: Call) -> tuple[dict[str, Any], Mapping[str, str]]:
        """The model's inputs and outputs under the contract revision that is asked for, and the answer's headers."""
        number = self._revisions.number_or_current(call.header(REVISION_HEADER), at=call.received_at)
        columns, versions = self._revisions.columns_of(number), self._predictor.versions
        document = oip.metadata(columns, self._extra_names, model=self.model, versions=versions, task=self.task)
        parameters = self._revisions.parameters(number)
        return {**document, "parameters": parameters} if parameters else document, self._revisions.headers(number)

    async def infer(self, inference: oip.Inference, call: Call, *, version: int | None) -> Inferred:
        """The outputs for the rows of a request, which are logged by then; raises as `Predictor.predict`."""
        values_by_name, key = self._with_parameters(inference)
        defaults = Defaults(request_id=call.request_id, received_at=call.received_at, key=key)
        named = call.header(REVISION_HEADER)
        rows = self._revisions.read(
            lambda reader: reader.from_columns(values_by_name, defaults), named=named, at=call.received_at, by=call.by
        )
        ids, answer = await self._predictor.predict(
            rows,
            caller=call.by,
            request_id=call.request_id,
            received_at=call.received_at,
            started_s=call.started_s,
            deadline_s=call.deadline_s,
            version=version,
        )
        parameters: dict[str, Any] = {"degraded": answer.degraded, "processing_time_ms": answers.elapsed_ms(call)}
        parameters.update(self._revisions.parameters(rows.revision))
        if answer.degraded_reason is not None:
            parameters["degraded_reason"] = answer.degraded_reason
        return Inferred(
            values_by_output=_outputs(ids, answer),
            version=answer.versions[0],
            request_id=inference.id or call.request_id,
            parameters=parameters,
            headers=self._revisions.headers(rows.revision),
        )

    def _with_parameters(self, inference: oip.Inference) -> tuple[dict[str, Cells], str | None]:
        """The columns with those that a parameter gives once for all rows, and the key for rows without one."""
        values_by_name = dict(inference.values_by_name)
        num_rows = max(map(len, values_by_name.values()))
        key = inference.parameters.get("key")
        if key is not None and (type(key) is not str or not key):
            raise MalformedError(f"Parameter `key` must be text that is not empty; got {key!r:.80}.")
        for name in self._extra_names:
            if name != "key" and name in inference.parameters:
                values_by_name.setdefault(name, [inference.parameters[name]] * num_rows)
        return values_by_name, key


def _outputs(ids: list[str], answer: Answer) -> dict[str, Values]:
    return {
        **answer.task.told(answer.probabilities),
        "id": ids,
        "model_version": answer.versions,
    }
