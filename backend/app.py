"""The HTTP service, as Label Studio 1.23 calls it.

    GET  /, /health    alive, and what is served           POST /setup     the served version, and what a label
    POST /predict      captions for tasks                                  config allows
    POST /webhook      an event; leaves a mark             GET, POST /versions  every version in the store
    POST /train        older servers' START_TRAINING       POST /job_status, GET /is_training   for those, too
    GET  /status       the same for people, as JSON        GET  /metrics   the same for Prometheus

Label Studio waits 1 s for /health and /webhook and 3 s for /setup before nearly every prediction, so the event loop
does nothing but parse and answer: requests for captions wait in threads of their own, and one thread runs the model.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.middleware import Middleware

from backend import status as about
from backend.admission import BULK, URGENT, Admission, Full
from backend.auth import CHALLENGE, BasicAuth
from backend.captioning import CaptioningBackend
from backend.drafts import Answer, is_urgent
from backend.envelope import Envelope, Refusal, handle_errors, read_object
from backend.service import Service, install
from backend.webhook import Event, WebhookError, event, project_number
from settings import Settings
from trainer.marks import START_TRAINING

log = logging.getLogger(__name__)


def create_app(settings: Settings, service: Service | None = None) -> FastAPI:
    """The app, with `service` or one opened here, which it closes when it shuts down.

    Raises what opening a Service raises: ServingError, ValkeyError, LabelStudioError.
    """
    service = service or Service(settings)
    install(service)
    auth = BasicAuth.of(settings)
    app = FastAPI(
        title="Recaption",
        lifespan=_lifespan(service),
        middleware=[Middleware(Envelope, metrics=service.metrics)],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    handle_errors(app)
    Routes(service, auth).join(app)
    return app


def _lifespan(service: Service) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        install(None)
        await asyncio.to_thread(service.close)

    return lifespan


class Routes:
    """The addresses and their answers."""

    def __init__(self, service: Service, auth: BasicAuth) -> None:
        self._service = service
        self._auth = auth
        self._admission = Admission(service.settings.predict_budget_s)
        # They wait for captions, one a request.
        self._threads = ThreadPoolExecutor(URGENT + BULK, thread_name_prefix="predict")

    def join(self, app: FastAPI) -> None:
        guarded = [Depends(self._guard)]
        for path in ("/", "/health"):
            app.add_api_route(path, self.health, methods=["GET", "HEAD"])
        for path, answer, methods in (
            ("/setup", self.setup, ["POST"]),
            ("/predict", self.predict, ["POST"]),
            ("/webhook", self.webhook, ["POST"]),
            ("/train", self.train, ["POST"]),
            ("/versions", self.versions, ["GET", "POST"]),
            ("/job_status", self.job_status, ["POST"]),
            ("/is_training", self.is_training, ["GET"]),
            ("/status", self.status, ["GET"]),
            ("/metrics", self.metrics, ["GET"]),
        ):
            app.add_api_route(path, answer, methods=methods, dependencies=guarded, response_model=None)

    async def _guard(self, request: Request) -> None:
        if not self._auth.accepts(request.headers.get("authorization")):
            self._service.metrics.refused()
            raise Refusal(
                401, "a user name and password are needed: see BASIC_AUTH_USER and BASIC_AUTH_PASS", CHALLENGE
            )

    async def health(self, request: Request) -> dict[str, Any]:
        """From memory alone. Without credentials, where some are asked for, only that the process lives."""
        if self._auth.required and "authorization" not in request.headers:
            return {"status": "UP"}
        await self._guard(request)
        return about.health(self._service)

    async def setup(self, request: Request) -> dict[str, Any]:
        body = await read_object(request)
        schema = body.get("schema") or body.get("label_config") or ""
        if not isinstance(schema, str):
            raise Refusal(400, '"schema" must be a label config, as text')
        number = project_number(body.get("project"))
        self._service.heard_of(number)
        answer: dict[str, Any] = {"model_version": self._service.fleet.of(number).version}
        if schema.strip():
            answer["label_config"] = self._service.projects.set_up(number, schema, body.get("extra_params")).explained()
        return answer

    async def predict(self, request: Request) -> JSONResponse:
        body = await read_object(request)
        tasks, label_config, context = _asked(body)
        try:
            with self._admission.place(urgent=is_urgent(tasks)):
                answers = await self._in_thread(project_number(body.get("project")), label_config, tasks, context)
        except Full as full:
            raise Refusal(503, str(full), {"Retry-After": str(full.again_s)}) from None
        # Given ready-made: FastAPI would walk through a bulk's thousands of values in Python, and /health would wait.
        return JSONResponse({"results": answers})

    async def _in_thread(
        self, project: int | None, label_config: str, tasks: list[dict[str, Any]], context: Mapping[str, Any] | None
    ) -> list[Answer]:
        backend = CaptioningBackend(project_id=project, label_config=label_config)
        # The context carries the request's id into the thread's log lines.
        run = copy_context().run
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: run(backend.predict, tasks, context=context))

    async def webhook(self, request: Request) -> dict[str, Any]:
        body = await read_object(request)
        try:
            return self._marked(event(body))
        except WebhookError as error:
            raise Refusal(400, str(error)) from None

    async def train(self, request: Request) -> JSONResponse:
        """Label Studio before 1.4.1 asks for a training here. No `job` in the answer: there is none to ask about."""
        body = await read_object(request)
        return JSONResponse(self._marked(event({"project": body.get("project"), "action": START_TRAINING})), 201)

    def _marked(self, seen: Event) -> dict[str, Any]:
        self._service.metrics.event(seen.action)
        if seen.marks:
            self._service.marks.raise_mark(seen.project, seen.action, captions=seen.captions)
        log.info("%s, project %d: %s", seen.action[:64], seen.project, "marked" if seen.marks else "nothing to mark")
        return {"status": "marked" if seen.marks else "ignored", "project": seen.project, "captions": seen.captions}

    async def versions(self) -> dict[str, Any]:
        return {"versions": await asyncio.to_thread(self._service.store.versions)}

    async def job_status(self) -> None:
        """Label Studio forgets a job that is answered with 410."""
        raise Refusal(410, "this job is not known here: trainings are not jobs of this service")

    async def is_training(self) -> dict[str, Any]:
        return {"is_training": False}

    async def status(self) -> dict[str, Any]:
        return await asyncio.to_thread(about.status, self._service)

    async def metrics(self) -> Response:
        return Response(self._service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _asked(body: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str, Mapping[str, Any] | None]:
    """Tasks, label config and context of a /predict body. Raises Refusal for a body that is no such request."""
    tasks, label_config = body.get("tasks"), body.get("label_config")
    if not isinstance(tasks, list):
        raise Refusal(400, '"tasks" must be a list of tasks')
    odd = next((place for place, task in enumerate(tasks) if not isinstance(task, dict)), None)
    if odd is not None:
        raise Refusal(400, f'"tasks"[{odd}] must be an object with "id" and "data"')
    if not isinstance(label_config, str):
        raise Refusal(400, '"label_config" must be a label config, as text')
    params = body.get("params")
    context = params.get("context") if isinstance(params, Mapping) else None
    return tasks, label_config, context if isinstance(context, Mapping) else None
