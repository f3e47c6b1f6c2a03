"""Which process will end a run, and whether it can still do so."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

import psutil

from catdog.tracking.names import OWNER


def this_process() -> str:
    """Return a text that only this process ever has: host, pid and start time."""
    return _owner(os.getpid())


def session_tag() -> str:
    """Return the tag of this process on a run that several processes work on."""
    return f"{OWNER}.{socket.gethostname()}-{os.getpid()}"


def host_prefix() -> str:
    """Return how owners on this host begin."""
    return f"{socket.gethostname()} "


def living(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the owner tags whose process may live: on another host all of them may."""
    owners = {k: v for k, v in tags.items() if k == OWNER or k.startswith(f"{OWNER}.")}
    return {key: owner for key, owner in owners.items() if not _is_gone(owner)}


def _is_gone(owner: str) -> bool:
    return owner.startswith(host_prefix()) and owner != _owner(int(owner.split()[1]))


def _owner(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        ended = process.status() == psutil.STATUS_ZOMBIE  # nobody has asked how it ended
        started = "gone" if ended else f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        started = "gone"
    return f"{socket.gethostname()} {pid} {started}"
