"""Label Studio's refusals of a backend or a webhook, told apart, each with the way out.

Since 1.23.1 Label Studio refuses private, loopback and link-local addresses twice over: for ML backends
(ML_BLOCK_LOCAL_IP) and for webhooks (SSRF_PROTECTION_ENABLED). With only the first lifted, the ML backend is saved
and predicts, yet its webhook is refused: corrections would never arrive.
"""

from __future__ import annotations

from labeling.session import LabelStudioError

# Where clouds hand out a machine's credentials, in IPv4, as IPv4 in IPv6, and in IPv6: never to be called.
METADATA_RANGES = "169.254.0.0/16,::ffff:169.254.0.0/112,64:ff9b::/96,fd00:ec2::/32,fe80::/10"
UNBAN = (
    f"Start Label Studio with USE_DEFAULT_BANNED_SUBNETS=false and USER_ADDITIONAL_BANNED_SUBNETS={METADATA_RANGES} "
    "(the second keeps cloud metadata out of reach), or with both ML_BLOCK_LOCAL_IP=false and "
    "SSRF_PROTECTION_ENABLED=false: one alone leaves predictions working and training silent."
)
# Words of Label Studio's answers (ml/serializers.py and core/utils/io.py of 1.23.2), each with what it means.
_BAN = ("reserved network address", "must not resolve to local")
_LOGIN = "authentication parameters"
_HEALTH = "health check failed"
_SETUP = "valid ML backend"
_HOST = "resolve hostname"


def is_ban(error: LabelStudioError) -> bool:
    """Whether Label Studio refused an address, rather than the token or the request."""
    return error.status == 403 and any(words in str(error) for words in _BAN)


def way_out(error: LabelStudioError, url: str) -> str:
    """Why Label Studio refused the address `url` of an ML backend or webhook, and what to change."""
    said = str(error)
    if is_ban(error):
        return f"Label Studio refuses {url}: since 1.23.1 it calls no private or local address by default. {UNBAN}"
    if _HOST in said:
        return (
            f"Label Studio does not know the host in {url}. Give the backend's address as Label Studio sees it: "
            "--backend-url http://HOST:PORT, or the setting BACKEND_URL."
        )
    if _LOGIN in said or (_SETUP in said and " 401 " in said):
        return (
            f"The backend at {url} refused Label Studio's login. Run this command with the same BASIC_AUTH_USER and "
            "BASIC_AUTH_PASS as the backend's."
        )
    if _HEALTH in said:
        return (
            f"Label Studio cannot reach the backend at {url}. Start it (python -m backend serve); if Label Studio runs "
            "on another machine or in a container, let it listen there (HOST=0.0.0.0) and give the address that Label "
            "Studio sees: --backend-url http://HOST:PORT, or the setting BACKEND_URL."
        )
    if _SETUP in said:
        return f"The backend at {url} answers /health but not /setup. Look into the backend's log. ({said})"
    return said
