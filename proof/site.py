"""A whole installation to be killed piece by piece: Label Studio, queue server, backend, worker, one project.

Label Studio is never killed: it is what the others are judged by. What it has answered with "stored" is in `said`.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from backend.connect import connect
from backend.local.ports import free_port
from backend.local.serve import child_settings
from backend.running import NotRunning, RunningBackend
from model.shelf import content_key
from model.store import Store
from proof import small
from proof.kept import Kept, command_of, descendants
from proof.studio import Desk, Studio, started
from settings import Settings, environment, load
from trainer.queue import has_job
from trainer.server import connect as queue_client
from trainer.valkey import EmbeddedValkey

READY_S = 180.0
NOBODY = 2**30  # more than the kernel numbers processes
# Fewer photos to judge by than GATE_IMAGES: the corrections that are held out decide, and there are ever more of them.
REPLAYED, JUDGED, BASE_FIRST = 24, 2, 100_000


@dataclass
class Site:
    """`keys`: the content of each photo by its name; `said`: the last caption of each annotated photo, with the
    annotation's number."""

    settings: Settings
    desk: Desk
    store: Store
    valkey: EmbeddedValkey
    backend: Kept
    worker: Kept
    keys: dict[str, str]
    said: dict[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.desk.project)

    @property
    def runs(self) -> Path:
        return self.store.root / "runs" / self.name

    @property
    def logs(self) -> Path:
        return self.worker.log.parent

    @property
    def running(self) -> RunningBackend:
        return RunningBackend(self.settings.backend_url)

    def annotate(self, chance: random.Random, count: int) -> None:
        """Captions for the next photos, and another caption for an earlier one."""
        if self.said:
            photo = chance.choice(sorted(self.said))
            annotation, before = self.said[photo]
            text = chance.choice([text for text in captions(photo) if text != before])
            self.desk.change(annotation, text)
            self.said[photo] = (annotation, text)
        for photo in [photo for photo in self.desk.tasks if photo not in self.said][:count]:
            text = chance.choice(captions(photo))
            self.said[photo] = (self.desk.submit(photo, text), text)

    def trainer(self) -> int | None:
        """The process that trains now."""
        training = (pid for pid in descendants(self.worker.pid) if command_of(pid)[2:4] == ["trainer", "train"])
        return next(training, None)

    def strike(self, victim: str) -> bool:
        """SIGKILL; False if there is no such process. A trainer is started again by its job, the rest by `restart`."""
        pids = {"worker": self.worker.pid, "backend": self.backend.pid, "trainer": self.trainer()}
        pid = int((self.valkey.folder / "valkey.pid").read_text()) if victim == "valkey" else pids[victim]
        try:
            os.kill(pid or NOBODY, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def restart(self, victim: str) -> None:
        if victim == "valkey":
            self.valkey.start()
        elif victim in ("backend", "worker"):
            program: Kept = getattr(self, victim)
            program.kill()  # and take note of its end
            program.start()

    def mend(self) -> list[str]:
        """Start what has ended without having been killed; its names."""
        ended = [name for name in ("backend", "worker") if not getattr(self, name).runs]
        for name in ended:
            self.restart(name)
        return ended

    def idle(self) -> bool:
        """Whether no training waits or runs."""
        with queue_client(self.valkey.url) as client:
            return not has_job(client, self.desk.project) and self.trainer() is None

    def follows(self) -> bool:
        """Whether the backend serves what the pointer names."""
        champion = self.store.champion(self.name)
        return champion is not None and self.served() == champion.version

    def served(self) -> str | None:
        """The version that the backend names for the project; None while it does not answer."""
        try:
            return self.running.version(self.desk.project, "")
        except NotRunning:
            return None


def captions(photo: str) -> list[str]:
    return small.captions_of(int(Path(photo).stem.rpartition("-")[2]))


@contextmanager
def opened(folder: Path, photos: int) -> Iterator[Site]:
    """Everything in `folder`, which must be new but for Label Studio's own; all of it ends with the block."""
    work = folder / "kills"
    paths = small.pictures(work / "photos", range(photos))
    valkey = EmbeddedValkey(work / "valkey")
    with started(folder) as studio:
        desk = Desk.new(studio, "Kills", paths)
        settings = chosen(studio, work, valkey.start())
        store = Store(settings.model_dir)
        first = store.publish(small.captioner(work / "untrained"))
        store.promote(first, expect_epoch=None, by="proof", reason="it has everything to learn")
        whole = environment(child_settings(settings) | {"OMP_NUM_THREADS": "1"})
        backend = Kept(["backend", "serve"], whole, work / "logs" / "backend.log")
        worker = Kept(["proof.brisk_worker"], whole, work / "logs" / "worker.log")
        keys = {path.name: content_key(path.read_bytes()) for path in paths}
        site = Site(settings, desk, store, valkey, backend, worker, keys)
        try:
            join(site)
            yield site
        finally:
            for program in (worker, backend):
                program.stop()
            valkey.stop()


def join(site: Site) -> None:
    """Start backend and worker, and connect the project."""
    site.backend.start()
    site.worker.start()
    deadline = time.monotonic() + READY_S
    while (version := site.served()) is None:
        if time.monotonic() > deadline or not site.backend.runs:
            raise TimeoutError(f"the backend does not answer: see {site.logs}")
        time.sleep(0.2)
    connect(site.desk.api, site.desk.project, backend_url=site.settings.backend_url, version=version)


def chosen(studio: Studio, work: Path, redis_url: str) -> Settings:
    """Small trainings that are due often and promoted often: half of the time, a challenger is no worse."""
    port = free_port()
    return load(
        label_studio_url=studio.api.url,
        label_studio_api_key=SecretStr(studio.token),
        redis_url=SecretStr(redis_url),
        data_dir=work / "data",
        model_dir=work / "models",
        port=port,
        backend_url=f"http://localhost:{port}",
        device="cpu",
        threads=1,
        image_allowed_hosts=("127.0.0.1",),
        base_dataset=small.dataset(work / "base", train=REPLAYED, dev=JUDGED, first=BASE_FIRST),
        start_training_each_n_updates=2,
        start_training_after_s=5.0,
        reconcile_every_s=2.0,
        holdout_share=0.5,
        replay_share=0.3,
        finetune_epochs=4,
        finetune_learning_rate=1e-2,
        finetune_batch=8,
        gate="domain",
        gate_level=0.49,
        gate_margin=100.0,
        gate_images=3,
        relabel_after_swap=False,
    )
