"""OpenVINO as it is used here: silent towards the network, plain in what it refuses, right from many threads."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from model.engines.engine import EngineError
from model.engines.onnx_file import Graph
from model.engines.openvino_runtime import THREADS_EACH, OpenVinoPhotos
from tests.house.project import ROOT

# Its telemetry forks a process that asks. Python calls the hook before it forks, looks a name up or connects.
SILENT = """
import sys, threading
watched, seen = ("os.fork", "socket.connect", "socket.getaddrinfo"), []
sys.addaudithook(lambda event, given: seen.append(event) if event in watched else None)
from model.engines.openvino_runtime import imported
assert "CPU" in imported().Core().available_devices
for thread in threading.enumerate():
    if thread is not threading.current_thread():
        thread.join(10)
assert not seen, seen
from openvino.tools.ovc import telemetry_utils
assert telemetry_utils.tm.__name__.endswith("telemetry_stub"), telemetry_utils.tm
"""

# Where a processor has AVX-512, OpenVINO gives the thread that first asks for a CPU a stack for its signals, and takes
# that stack's memory away with the last network, in whichever thread that goes: the next signal would be the end.
SIGNALLED = """
import gc, signal, threading
from tests.model.engines.test_openvino_runtime import doubled
from model.engines.openvino_runtime import OpenVinoPhotos
held = [OpenVinoPhotos(doubled(), 1)]
thread = threading.Thread(target=lambda: (held.clear(), gc.collect()))
thread.start()
thread.join()
heard = []
signal.signal(signal.SIGTERM, lambda *told: heard.append(told))
signal.raise_signal(signal.SIGTERM)
assert heard
"""


def doubled(size: int = 4) -> bytes:
    graph = Graph()
    x = graph.input("images", np.float32, ["batch", size, size, 3])
    graph.output(graph.node("Mul", x, graph.constant(np.float32(2.0))), np.float32, ["batch", size, size, 3])
    return graph.model()


def test_its_telemetry_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)  # there it is off by itself
    done = subprocess.run([sys.executable, "-c", SILENT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_process_hears_signals_after_its_last_network_is_gone() -> None:
    done = subprocess.run([sys.executable, "-c", SIGNALLED], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("threads", "abreast"), [(1, 1), (2, 1), (2 * THREADS_EACH, 2)])
def test_every_thread_gets_the_answer_to_its_own_picture(threads: int, abreast: int) -> None:
    photos = OpenVinoPhotos(doubled(), threads)
    assert photos.abreast == abreast
    pictures = [np.full((1, 4, 4, 3), number, np.float32) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(photos, pictures))
    for picture, answer in zip(pictures, answers, strict=True):
        np.testing.assert_array_equal(answer, 2 * picture)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(EngineError, match="openvino refuses the converted model"):
        OpenVinoPhotos(b"torn", 1)
