"""Label Studio, as the settings name it."""

from labeling.session import LabelStudio
from settings import Settings, SettingsError


def label_studio(settings: Settings) -> LabelStudio:
    """A session; nothing is asked yet. Raises SettingsError where address or token is missing, LabelStudioError."""
    url, key = settings.label_studio_url, settings.label_studio_api_key
    missing = [name for name, value in (("LABEL_STUDIO_URL", url), ("LABEL_STUDIO_API_KEY", key)) if value is None]
    if url is None or key is None:
        raise SettingsError(
            f"{' and '.join(missing)} not set: corrections are read from Label Studio. Set its address as this machine "
            "reaches it, and an access token (Label Studio, Account & Settings)"
        )
    return LabelStudio(url, key.get_secret_value())
