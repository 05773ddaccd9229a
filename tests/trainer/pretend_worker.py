"""The real worker, with the pretended trainer and short times. Run as a program, with REDIS_URL and MODEL_DIR.

python -m tests.trainer.pretend_worker FOLDER '{"lost_after": 2, ...}'
"""

import json
import sys

import trainer.job
from settings import load
from trainer import logs
from trainer.job import Plan, refuse_torch
from trainer.server import QueueServer, connect
from trainer.supervise import bind_forks
from trainer.timings import Timings
from trainer.worker import RecaptionWorker, keep_working, worker_on


def main(folder: str, timings: str) -> None:
    settings = load()
    logs.configure("INFO", settings.secrets())
    refuse_torch()
    bind_forks()
    command = (sys.executable, "-m", "tests.trainer.pretend_trainer", folder)
    trainer.job.PLAN = Plan(command=command, grace_s=2.0, poll_s=0.05, patience_s=20.0)
    with QueueServer(settings) as server:

        def new_worker() -> RecaptionWorker:
            worker = worker_on(connect(server.url), Timings(**json.loads(timings)))
            worker.ready = lambda: print("ready", flush=True)
            return worker

        keep_working(new_worker, revive=server.revive)


if __name__ == "__main__":
    main(*sys.argv[1:])
