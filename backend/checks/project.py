"""The project's own side: the label stream, the label config, the images, and settings that get in the way."""

from __future__ import annotations

from backend.checks.chain import Chain
from backend.checks.check import Check, failed, ok, warning
from backend.links import SEQUENTIAL, UNCERTAINTY, stream_faults
from labeling.config import LabelConfigError, advice, caption_field
from labeling.images import ImageFetchError
from labeling.session import LabelStudioError
from labeling.task import TaskError, image_uris
from model.preprocess import ImageError, read_image


def check_stream(chain: Chain) -> Check:
    """Whether Label All Tasks is pre-filled, by Label Studio's own rule (tasks/models.py of 1.23.2,
    get_predictions_for_prelabeling).

    A task opened with a click shows any stored prediction, so it proves nothing about the stream. Asking for the next
    task would prove it, but locks that task for a day for everybody else.
    """
    faults = stream_faults(chain.project, chain.backends, chain.link)
    if faults:
        return failed("label stream", f"opens without a caption: {'; '.join(faults)}", chain.connect)
    return ok("label stream", f"pre-filled by version {chain.link.version!r}")


def check_label_config(chain: Chain) -> Check:
    """Whether the label config has a caption to fill, and whether a draft in it is cheap to correct."""
    name, config, prefer = "label config", str(chain.project["label_config"]), chain.caption_field
    try:
        field = caption_field(config, prefer=prefer)
    except LabelConfigError as error:
        return failed(
            name, str(error), f"Change it under Settings > Labeling Interface of project {chain.link.project}."
        )
    costs = advice(config, prefer=prefer)
    if costs:
        return warning(name, " ".join(costs), f"{chain.connect} --improve-config")
    return ok(name, f"captions go to TextArea {field.from_name!r} of Image {field.to_name!r}")


def check_images(chain: Chain) -> Check:
    """Whether the first task's picture can be fetched and decoded as the backend would do it."""
    name, task = "images", chain.task
    if task is None:
        return warning(name, "the project has no tasks", "Import photos, then run the doctor again.")
    try:
        field = caption_field(str(chain.project["label_config"]), prefer=chain.caption_field)
        uris = image_uris(task, field)
        data = chain.fetcher().fetch(uris[0], task_id=int(task["id"])) if uris else b""
        read_image(data, max_pixels=chain.settings.max_image_pixels)
    except LabelConfigError:
        return warning(name, "not tried: the label config names no picture", "See 'label config'.")
    except (TaskError, ImageFetchError, ImageError, LabelStudioError) as error:
        return failed(name, f"task {task['id']}: {error}", _image_remedy(chain))
    return ok(name, f"task {task['id']}: {len(data):,} bytes, readable")


def check_sampling(chain: Chain) -> Check:
    """Whether the label stream offers first what the model can learn most from."""
    name, sampling = "task order", chain.project.get("sampling")
    if sampling == UNCERTAINTY:
        return ok(name, "by score, what the model is least sure of first")
    unless = f"Unless that is meant, choose Sequential under Settings > General of project {chain.link.project}, then: "
    remedy = chain.connect if sampling == SEQUENTIAL else unless + chain.connect
    return warning(name, f"{sampling!r}, not by what the model can learn most from", remedy)


def _image_remedy(chain: Chain) -> str:
    return (
        f"Open {chain.studio.url}/projects/{chain.link.project}/data?task={chain.task['id'] if chain.task else ''}: if "
        "the picture shows there, the backend lacks access: LABEL_STUDIO_API_KEY for uploads and cloud storage, "
        "IMAGE_ALLOWED_HOSTS for private addresses."
    )


def check_training_toggle(chain: Chain) -> Check:
    """Label Studio's own training toggle makes every Submit wait for one more call, on top of the webhook's."""
    name = "training toggle"
    if chain.project.get("min_annotations_to_start_training"):
        return warning(
            name,
            "'Start model training on annotation submission' is on: each Submit waits for a second call",
            f"Switch it off (Settings > Model of project {chain.link.project}): the webhook reports corrections.",
        )
    return ok(name, "off, as it should be: the webhook reports corrections")
