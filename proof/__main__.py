"""`python -m proof`: measure what the documents claim. Results go to docs/proof.json."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from model.devices import set_threads
from proof import results
from settings import load

app = typer.Typer(help="What the documents claim, measured.", no_args_is_help=True, add_completion=False)
DatasetOption = Annotated[str, typer.Option(help="flickr8k:FOLDER.")]
EncoderOption = Annotated[str, typer.Option(help="ImageNet weights: torchvision, or a .safetensors file.")]
FolderOption = Annotated[Path, typer.Option(help="Where the runs are kept, to go on from after a stop.")]
CacheOption = Annotated[Path, typer.Option(help="Folder of cached features.")]
KeptOption = Annotated[Path | None, typer.Option(help="Keep the figures in this file.", show_default="docs/proof.json")]
ThreadsOption = Annotated[int, typer.Option(min=0, help="CPU threads; 0 is one a core.")]


@app.command()
def curve(
    dataset: DatasetOption,
    encoder: EncoderOption = "torchvision",
    arm: Annotated[list[str] | None, typer.Option(help="Run these arms alone, and write no results.")] = None,
    folder: FolderOption = Path("runs/curve"),
    cache: CacheOption = Path("cache"),
    threads: ThreadsOption = 0,
) -> None:
    """The learning curve: 1,500 photos, then 300 corrected ones a round, eight times. Hours; resumable."""
    from proof import curve as proof
    from proof.corpus import Corpus
    from proof.plot import draw_curve

    set_threads(threads)
    corpus = Corpus.open(dataset, encoder, cache)
    arms = {name: proof.run_arm(corpus, folder, name) for name in (arm if arm is not None else proof.ARMS)}
    if arm is not None:
        return
    trained = proof.run_scratch(corpus, folder)
    found = proof.figures(arms, trained)
    percent = found["bleu4_percent_of_scratch"]["active"]
    results.keep("curve", {"curve_bleu4_percent_of_scratch": percent}, {**found, "arms": arms, "scratch": trained})
    draw_curve(arms, trained, proof.START, results.RESULTS.with_name("learning-curve.png"))


@app.command()
def shift(
    dataset: DatasetOption,
    encoder: EncoderOption = "torchvision",
    folder: FolderOption = Path("runs/shift"),
    cache: CacheOption = Path("cache"),
    threads: ThreadsOption = 0,
) -> None:
    """A domain shift: a captioner that never saw snow or water, and 500 corrections of such photos. Resumable."""
    from proof.corpus import Corpus
    from proof.shift import run_shift

    set_threads(threads)
    found = run_shift(Corpus.open(dataset, encoder, cache), folder)
    kept = {
        "shift_effort_reduction_percent": found["effort_reduction_percent"],
        "shift_old_kind_bleu4_loss": found["old_kind_bleu4_loss"],
    }
    results.keep("shift", kept, found)


@app.command()
def gate(dataset: DatasetOption, cache: CacheOption = Path("cache"), threads: ThreadsOption = 0) -> None:
    """200 challengers that are no better and 200 that are, through the gate: false promotions and power."""
    from proof.gate import replay, voices

    set_threads(threads)
    found = replay(voices(dataset, cache), load())
    results.keep("gate", {"null_promoted_percent": found["null_promoted_percent"]}, found)


@app.command()
def swap() -> None:
    """Thirty swaps while captions are asked for: failures, wrong versions, latency, pointer to serving."""
    from proof.swap import swap_under_load

    with TemporaryDirectory() as folder:
        found = swap_under_load(Path(folder))
    figures = {
        "swap_failed": found["failed"] + found["wrong_version"],
        "swap_p99_ratio": found["p99_ratio"],
        "pointer_to_serving_s": found["pointer_to_serving_s"]["max"],
    }
    results.keep("swap", figures, found)


@app.command()
def kills(rounds: Annotated[int, typer.Option(min=1)] = 50) -> None:
    """SIGKILL of worker, trainer, backend or Valkey at random moments: what was lost, half-written or done twice."""
    from proof.kills import kill

    with TemporaryDirectory() as folder:
        found = kill(Path(folder), rounds)
    results.keep("kills", {"kill_losses": found["kill_losses"]}, found)


@app.command()
def decision(dataset: DatasetOption) -> None:
    """From 200 corrections in a real Label Studio to the gate's decision."""
    from proof.decision import decide

    with TemporaryDirectory() as folder:
        found = decide(dataset, Path(folder))
    results.keep("decision", {"decision_200_corrections_s": found["decision_200_corrections_s"]}, found)


@app.command()
def webhook() -> None:
    """A burst of 1,000 webhooks: time to answer, marks lost."""
    from proof.webhook import burst

    with TemporaryDirectory() as folder:
        found = burst(Path(folder))
    results.keep("webhook", {"webhook_p99_ms": found["p99_ms"]}, found)


@app.command()
def soak(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long the sixteen are at it.")] = 10.0,
    kept: KeptOption = None,
) -> None:
    """Sixteen clients, then one at a time: errors, memory growth, and what /health and /setup take meanwhile."""
    from proof.soak import MINUTES
    from proof.soak import soak as run

    _only_in_full(minutes >= MINUTES, kept, f"less than {MINUTES:.0f} minutes")
    with TemporaryDirectory() as folder:
        found = run(Path(folder), minutes)
    figures = {"soak_errors": found["errors"], "soak_memory_growth_percent": found["memory_growth_percent"]}
    results.keep("soak", figures, found, kept)


@app.command()
def bulk(
    dataset: DatasetOption,
    photos: Annotated[int, typer.Option(min=1, help="Photos to upload.")] = 1000,
    kept: KeptOption = None,
) -> None:
    """Retrieve Predictions over 1,000 uploaded photos, and the opening of a task, in a real Label Studio."""
    from proof.bulk import PHOTOS
    from proof.bulk import bulk as run

    _only_in_full(photos == PHOTOS, kept, f"other than {PHOTOS} photos")
    with TemporaryDirectory() as folder:
        found = run(dataset, Path(folder), photos)
    results.keep("bulk", {"bulk_1000_photos_s": found["action_s"] + found["background_s"]}, found, kept)


def _only_in_full(full: bool, kept: Path | None, less: str) -> None:
    """A trial must not pass for the figure."""
    if not full and kept is None:
        raise typer.BadParameter(f"{less} is a trial: give a file for its figures, too", param_hint="--kept")


@app.command()
def start(kept: KeptOption = None) -> None:
    """From the start to ready with a converted version on disk, and the serving process's memory."""
    from proof.start import start as run

    with TemporaryDirectory() as folder:
        found = run(Path(folder))
    figures = {"start_to_ready_s": found["start_to_ready_s"], "serving_rss_mb": found["rss_mb"]}
    results.keep("start", figures, found, kept)


@app.command()
def throughput(dataset: DatasetOption, cache: CacheOption = Path("cache"), threads: ThreadsOption = 0) -> None:
    """Training throughput against a plain loop that reads photos again and projects keys at each step."""
    from proof.throughput import throughput as run

    set_threads(threads)
    found = run(dataset, cache)
    results.keep("throughput", {"training_throughput_ratio": found["ratio"]}, found)


@app.command("all")
def everything(
    dataset: Annotated[str | None, typer.Option(help="flickr8k:FOLDER.", show_default="BASE_DATASET")] = None,
    cache: CacheOption = Path("cache"),
) -> None:
    """The learning loop but for the two curves, in under half an hour; those stay as they were measured."""
    chosen = dataset or load().base_dataset
    if chosen is None:
        raise typer.BadParameter("give flickr8k:FOLDER, or set BASE_DATASET", param_hint="--dataset")
    for measure in (swap, webhook, kills):
        measure()
    gate(chosen, cache, 0)
    decision(chosen)


if __name__ == "__main__":
    app(prog_name="python -m proof")
