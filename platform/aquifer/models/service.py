"""The model service: predictions of the champions over HTTP.

Belongs here: what is asked and answered. Does not: which versions are served (`champions`), what a
model sees of a request (`asked`), overload (`shed`), and the process (`serve`).

A model scores within the event loop: it takes less time than a thread to hand it to.
"""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice
from typing import Annotated, Any

from fastapi import BackgroundTasks, FastAPI, HTTPException, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field

from aquifer.errors import PassingError
from aquifer.features.online import OnlineStore
from aquifer.models import prediction
from aquifer.models.asked import MANY, ONE, Ask, BadInput, Body, Lookup, Row, matrix
from aquifer.models.champions import Champions, Served
from aquifer.models.metrics import Metrics
from aquifer.models.prediction_log import PredictionLog
from aquifer.models.scorer import UNUSABLE, NotFinite, Scorer
from aquifer.models.shed import Shed

ROWS_AT_ONCE = 64
"""Of a batch; others are answered in between."""

MOST_FORWARDED = 1_000
FORWARD_SECONDS = 10.0
"""How long who forwards predictions waits for the event log."""

RETRY = {"Retry-After": "1"}


class Answer(BaseModel):
    """A prediction; of an entity that is not known, only what was asked and `found: false`."""

    found: bool
    entity: dict[str, Any] | None
    model: str = Field(examples=["repeat_purchase"])
    model_version: str = Field(examples=["3"])
    prediction_id: str | None = Field(None, description="Its `event_id` in the event log.")
    predicted_at: str | None = Field(None, description="ISO 8601, UTC.")
    event_time: str | None = Field(
        None, description="The instant at which features from the online store held."
    )
    outputs: dict[str, Any] | None = Field(None, examples=[{"probability": 0.42}])


class Forwarded(BaseModel):
    """A prediction that was made elsewhere, as an event of the topic `model.predictions`."""

    model_config = ConfigDict(extra="allow")

    event_id: str = Field(min_length=1, description="Sent again, it counts once.")
    event_time: str
    model: str
    model_version: str


Events = Annotated[list[Forwarded], Field(min_length=1, max_length=MOST_FORWARDED)]
Name = Annotated[str, Path(description="A model.", examples=["repeat_purchase"])]


class Service:
    """The endpoints.

    Args:
        store: opens the online store, for this thread.
    """

    def __init__(
        self,
        champions: Champions,
        store: Callable[[], OnlineStore],
        log: PredictionLog,
        metrics: Metrics,
    ) -> None:
        self._champions = champions
        self._store = store
        self._log = log
        self._metrics = metrics

    def app(self) -> Shed:
        """The service as an ASGI app."""
        app = FastAPI(
            title="Aquifer model service",
            description="Predictions of the champions in the registry.",
            lifespan=self._lifespan,
        )
        said = {code: {"description": text} for code, text in ANSWERS.items()}
        post = partial(app.post, responses=said)
        post("/models/{name}/predict", response_model=Answer | list[Answer])(self.predict)
        post("/predictions", status_code=202)(self.forward)
        app.get("/models")(self.models)
        app.get("/healthz")(self.healthz)
        app.get("/readyz")(self.readyz)
        app.get("/metrics", response_class=Response)(self.metrics)
        app.exception_handler(RequestValidationError)(_not_valid)
        app.exception_handler(PassingError)(_passing)
        return Shed(app, self._metrics, frozenset(self._champions.models))

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        self._lookup = Lookup(self._store())
        self._log.start()
        self._champions.start()
        gc.collect()
        gc.freeze()
        yield
        gc.unfreeze()
        self._champions.stop()
        await asyncio.to_thread(self._log.close)

    async def predict(self, name: Name, body: Body) -> Response:
        """Predict for one entity, or a list of them.

        Features that are not given are taken from the online store by the entity.
        """
        served = self._served(name)
        asks = [body] if isinstance(body, Ask) else body
        one = asks is not body
        answers: list[dict[str, Any]] = []
        scored: list[tuple[dict[str, Any], Row]] = []
        left = iter(asks)
        while part := list(islice(left, ROWS_AT_ONCE)):
            if answers:
                await asyncio.sleep(0)
            try:
                answers += await self._answers(served, part, scored)
            except BadInput as error:
                place = [] if one else [error.row + len(answers)]
                return _invalid([*place, *error.field], error.problem)
        for answer, row in scored:
            self._log.put(partial(prediction.event, answer, row.inputs, prediction.SERVICE))
        self._metrics.predictions.labels(name, prediction.SERVICE).inc(len(scored))
        beside = BackgroundTasks()
        if served.challenger and scored:
            beside.add_task(self._shadow, served.challenger, scored)
        found = answers[0]["found"] if one else True
        return _json(answers[0] if one else answers, 200 if found else 404, beside)

    async def _answers(
        self, served: Served, asks: Sequence[Ask], scored: list[tuple[dict[str, Any], Row]]
    ) -> list[dict[str, Any]]:
        """The answers to some requests; what was scored for them is added."""
        champion = served.champion
        rows = await self._lookup.rows(served.model, champion, asks)
        known = [(n, row) for n, row in enumerate(rows) if row is not None]
        outputs = iter(self._outputs(champion, known))
        answers = []
        for ask, row in zip(asks, rows, strict=True):
            if row is None:
                answers.append(
                    {
                        "found": False,
                        "entity": ask.entity,
                        "model": champion.name,
                        "model_version": champion.version,
                    }
                )
                continue
            answer = prediction.answer(
                champion.name, champion.version, row.entity, row.event_time, next(outputs)
            )
            answers.append(answer)
            scored.append((answer, row))
        return answers

    def _outputs(
        self, scorer: Scorer, known: Sequence[tuple[int, Row]]
    ) -> Sequence[dict[str, Any]]:
        if not known:
            return []
        seen = matrix(scorer, [row for _, row in known], [n for n, _ in known])
        try:
            return scorer.rows(scorer.predict(seen))
        except NotFinite as error:
            self._metrics.not_finite.labels(scorer.name, scorer.version).inc()
            raise HTTPException(500, f"{error}; tell who owns the model") from error

    async def _shadow(
        self, challenger: Scorer, scored: Sequence[tuple[dict[str, Any], Row]]
    ) -> None:
        """Let the challenger score what was answered; what hinders it hinders nobody."""
        left = iter(scored)
        while part := list(islice(left, ROWS_AT_ONCE)):
            await asyncio.sleep(0)
            try:
                found = challenger.score([row.inputs for _, row in part])
            except NotFinite:
                self._metrics.not_finite.labels(challenger.name, challenger.version).inc()
                continue
            except (ValueError, *UNUSABLE):
                # It takes inputs that the champion does not.
                continue
            for (answer, row), outputs in zip(part, found, strict=True):
                beside = prediction.answer(
                    challenger.name, challenger.version, row.entity, row.event_time, outputs
                )
                event = partial(
                    prediction.event, beside, row.inputs, prediction.SHADOW, answer["prediction_id"]
                )
                self._log.put(event)
                self._metrics.predictions.labels(challenger.name, prediction.SHADOW).inc()
                difference = _difference(answer["outputs"], outputs)
                self._metrics.difference.labels(challenger.name).observe(difference)

    async def forward(self, events: Events) -> Response:
        """Take predictions that were made elsewhere into the event log; durable when answered."""
        texts = [json.dumps(event.model_dump()).encode() for event in events]
        written = asyncio.wrap_future(self._log.forward(texts))
        try:
            await asyncio.wait_for(written, FORWARD_SECONDS)
        except TimeoutError as error:
            raise PassingError("the event log takes too long; send them again") from error
        return _json({"taken": len(events)}, 202)

    async def models(self) -> list[dict[str, Any]]:
        """The models that are served: their versions, and what they take."""
        return [
            {
                "name": name,
                "champion": served.champion.version,
                "challenger": served.challenger.version if served.challenger else None,
                "entity": [*served.model.looked_up_by],
                "inputs": [each.to_json() for each in served.champion.inputs],
                "outputs": served.champion.manifest["outputs"],
            }
            for name, served in sorted(self._champions.served.items())
        ]

    async def healthz(self) -> Response:
        """Whether the process is sound."""
        sound = self._champions.follows and self._log.writes
        return _json({"sound": sound}, 200 if sound else 503)

    async def readyz(self) -> Response:
        """Whether every champion that is to be served is, and what else is not as it should be."""
        missing = self._champions.missing
        told = {
            "ready": not missing,
            "missing": missing,
            "problems": self._champions.problems,
            "serves": {n: each.champion.version for n, each in [*self._champions.served.items()]},
        }
        return _json(told, 503 if missing else 200)

    async def metrics(self) -> Response:
        """Metrics for Prometheus."""
        return Response(
            generate_latest(self._metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    def _served(self, name: str) -> Served:
        served = self._champions.served.get(name)
        if served is None and name in self._champions.models:
            why = self._champions.missing.get(name, "it has no champion")
            raise HTTPException(503, f"{name} is not served yet: {why}", RETRY)
        if served is None:
            names = ", ".join(sorted(self._champions.served)) or "none"
            raise HTTPException(404, f"there is no model '{name}'; served are: {names}")
        return served


ANSWERS: dict[int | str, str] = {
    404: "There is no such model; or no features are known of the one entity that was asked for.",
    411: "The length of the body is not given.",
    413: "The body is too large.",
    422: "Something cannot be taken; `loc` tells the field.",
    500: "The model has come to no number.",
    503: "Too many requests at once, or something is away; try again after `Retry-After` seconds.",
}


TAGS = ((1, ONE), (1, MANY))
"""Where FastAPI's places tell which kind of body it took one for."""


def _difference(answered: dict[str, Any], beside: dict[str, Any]) -> float:
    """The greatest difference between outputs; 1 for other categories."""

    def between(one: Any, other: Any) -> float:
        if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
            return max(map(between, one, other), default=0.0)
        if isinstance(one, int | float) and isinstance(other, int | float):
            return abs(one - other)
        return float(one != other)

    return max((between(value, beside.get(name)) for name, value in answered.items()), default=0.0)


def _json(content: Any, status: int, background: BackgroundTasks | None = None) -> Response:
    body = json.dumps(content, separators=(",", ":"))
    return Response(body, status, media_type="application/json", background=background)


async def _not_valid(request: Request, error: Exception) -> Response:
    """What is wrong with a body, without what was given: it may be personal, or no JSON."""
    assert isinstance(error, RequestValidationError)
    told = [
        {
            "type": each["type"],
            "loc": [
                part for n, part in enumerate(each["loc"]) if n != 1 or part not in (ONE, MANY)
            ],
            "msg": each["msg"],
        }
        for each in error.errors()
    ]
    return JSONResponse({"detail": told}, 422)


def _invalid(place: Sequence[str | int], problem: str) -> Response:
    """What is wrong with a field, as FastAPI says it."""
    told = {"type": "value_error", "loc": ["body", *place], "msg": problem}
    return _json({"detail": [told]}, 422)


async def _passing(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 503, RETRY)
