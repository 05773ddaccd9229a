"""A Label Studio of one's own on this machine: SQLite, an account for trying things out, nothing sent anywhere.

It runs from an environment of its own, since it pins other releases of redis and rq than the application uses.
The first start builds its database, which takes most of a minute; later starts take seconds.
"""

from collections.abc import Mapping
from pathlib import Path

from backend.local.account import Account
from backend.local.errors import LocalError
from backend.local.processes import Processes
from backend.local.waiting import until_answers
from backend.refusals import METADATA_RANGES

HOST = "127.0.0.1"
REPOSITORY = Path(__file__).resolve().parents[2]
ENVIRONMENT = REPOSITORY / ".venv-label-studio"
FIRST_START_TIMEOUT_S = 300.0
# 1.23.1 and later call no private address unless told to, and the backend is on this machine. Only the default list
# of banned networks is lifted: the check itself stays on and keeps link-local addresses (cloud metadata) out of reach.
ADDRESSES = {"USE_DEFAULT_BANNED_SUBNETS": "false", "USER_ADDITIONAL_BANNED_SUBNETS": METADATA_RANGES}
QUIET = {
    "COLLECT_ANALYTICS": "false",
    "LATEST_VERSION_CHECK": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "DISABLE_SIGNUP_WITHOUT_LINK": "true",
}


class LocalLabelStudio:
    """Label Studio with its data in `folder`, listening on this machine alone."""

    def __init__(self, folder: Path, *, port: int, account: Account, environment: Path = ENVIRONMENT) -> None:
        self.folder = folder.resolve()
        self.url = f"http://localhost:{port}"
        self._port = port
        self._account = account
        self._program = environment / "bin" / "label-studio"

    @property
    def is_new(self) -> bool:
        """Whether its database is still to be made."""
        return not (self.folder / "label_studio.sqlite3").exists()

    @property
    def token_file(self) -> Path:
        """Where the account's access token is kept between starts, readable by this user alone."""
        return self.folder / "access-token"

    def start(self, processes: Processes, *, files_root: Path | None = None) -> None:
        """Start it. files_root: a folder whose pictures it may serve itself, as local files.

        Raises LocalError if Label Studio is not installed.
        """
        if not self._program.exists():
            raise LocalError(
                f"Label Studio is not installed: {self._program} is missing. Install it with: make label-studio "
                "(or set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to use one that runs already)"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        address = ("--internal-host", HOST, "--port", str(self._port))
        command = [str(self._program), "start", "--no-browser", *address]
        processes.start("label-studio", command, environment=self._environment(files_root), cwd=self.folder)

    def wait(self, processes: Processes) -> None:
        """Return once it answers; raise LocalError if it ends or takes too long."""
        url = f"{self.url}/health"
        until_answers(url, what="Label Studio", timeout_s=FIRST_START_TIMEOUT_S, check=processes.check)

    def _environment(self, files_root: Path | None) -> Mapping[str, str]:
        """All that it sees. It reads any LABEL_STUDIO_X as X, so settings meant for the backend must not reach it."""
        local_files = {"LOCAL_FILES_SERVING_ENABLED": "true", "LOCAL_FILES_DOCUMENT_ROOT": str(files_root)}
        return {
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.folder),
            "LABEL_STUDIO_USERNAME": self._account.email,
            "LABEL_STUDIO_PASSWORD": self._account.password,
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            **ADDRESSES,
            **QUIET,
            **(local_files if files_root is not None else {}),
        }
