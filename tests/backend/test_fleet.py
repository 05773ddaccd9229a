"""Which version answers for which project, and which are in memory."""

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest

from backend.fleet import Fleet
from backend.loading import Loader
from backend.predictor import Predictor
from backend.serving import Serving
from model.store import Store
from settings import load
from tests.backend.versions import retrained
from tests.checkpoints import tiny_checkpoint


class Captioner:
    """Stands where a captioner stands: who answers for whom needs none."""


def serving(version: str) -> Serving:
    stand_in: Any = Captioner()
    return Serving(version, stand_in, 0.0)


def test_a_project_is_served_by_its_own_version_or_by_that_of_all() -> None:
    ours, of_seven = serving("recaption-1"), serving("recaption-7")
    fleet = Fleet({None: ours, 7: of_seven})
    assert fleet.of(7) is of_seven
    assert fleet.of(8) is fleet.of(None) is fleet.of(0) is ours
    assert fleet.loaded("recaption-7") is of_seven and fleet.loaded("recaption-8") is None


def test_nobody_is_served_before_anything_is_loaded() -> None:
    with pytest.raises(KeyError):
        Fleet().of(7)


def test_since_when_is_told_by_project_and_not_touched_by_what_happens_to_others() -> None:
    ours = serving("recaption-1")
    fleet = Fleet({None: ours})
    begun = fleet.since(7)
    assert begun == fleet.since(None)
    fleet.rebind({None: ours, 7: serving("recaption-7")})
    assert fleet.since(None) == begun < fleet.since(7)


def test_a_version_that_nobody_needs_any_more_is_forgotten() -> None:
    fleet = Fleet({None: serving("recaption-1"), 7: serving("recaption-2")})
    gone = weakref.ref(fleet.of(7).captioner)
    fleet.rebind({None: fleet.of(None)})
    gc.collect()
    assert gone() is None


def test_versions_with_the_same_encoder_share_it_in_memory(tmp_path: Path) -> None:
    store = Store(tmp_path / "models")
    first = store.publish(tiny_checkpoint(tmp_path / "first"))
    second = retrained(store, first, tmp_path / "second", seed=1)
    other = store.publish(tiny_checkpoint(tmp_path / "other", seed=2))
    predictor = Predictor()
    loader = Loader(store, load(model_dir=store.root, threads=1), predictor)
    fleet = Fleet({None: loader.load(first, Fleet())})
    shared, own = loader.load(second, fleet), loader.load(other, fleet)
    predictor.close()
    assert shared.captioner.encoder is fleet.of(None).captioner.encoder
    assert own.captioner.encoder is not shared.captioner.encoder
    assert shared.captioner.decoder is not fleet.of(None).captioner.decoder
