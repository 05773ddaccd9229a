"""One of several processes at a time does a piece of work: a lock in the queue server that expires by itself.

It spares work and proves nothing: a holder that was paused may go on for a moment beside the next one. Whatever it
guards must bear that.
"""

import uuid

import redis

# KEYS[1] the lock, ARGV[1] who asks, ARGV[2] for how many milliseconds. 1: the lock is theirs, taken or renewed.
HOLD = """
local holder = redis.call('GET', KEYS[1])
if holder == false or holder == ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    return 1
end
return 0
"""
# KEYS[1] the lock, ARGV[1] who lets go of it.
RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class Leader:
    """One process's claim to `key`. Its methods raise redis.RedisError when the queue server is down."""

    def __init__(self, client: redis.Redis, key: str, *, ttl_s: float) -> None:
        self._key = key
        self._ttl_ms = int(ttl_s * 1000)
        self._name = uuid.uuid4().hex
        self._hold = client.register_script(HOLD)
        self._release = client.register_script(RELEASE)

    def hold(self) -> bool:
        """Take the lock or keep it for another `ttl_s`; False while another process has it."""
        return bool(self._hold(keys=[self._key], args=[self._name, self._ttl_ms]))

    def release(self) -> None:
        """Let go of it, if it is held."""
        self._release(keys=[self._key], args=[self._name])
