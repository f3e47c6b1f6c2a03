"""Which process owns a run, that is, will end it, and whether that process is alive."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

import psutil

from catdog.tracking.names import OWNER


def this_process() -> str:
    """Return an identity that only this process ever has: host, process id and start time."""
    return _owner(os.getpid())


def session_tag() -> str:
    """Return the name of this process's owner tag, for a run that several processes work on."""
    return f"{OWNER}.{socket.gethostname()}-{os.getpid()}"


def host_prefix() -> str:
    """Return the prefix of all owners on this host."""
    return f"{socket.gethostname()} "


def living(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the owner tags of a run whose process may be alive.

    Processes of other hosts cannot be checked; they count as alive.

    Args:
        tags: All tags of the run.

    Example:
        >>> tags = {OWNER: this_process(), "catdog.kind": "run"}
        >>> list(living(tags))
        ['catdog.owner']
    """
    owners = {k: v for k, v in tags.items() if k == OWNER or k.startswith(f"{OWNER}.")}
    return {key: owner for key, owner in owners.items() if not _is_gone(owner)}


def _is_gone(owner: str) -> bool:
    return owner.startswith(host_prefix()) and owner != _owner(int(owner.split()[1]))


def _owner(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        ended = process.status() == psutil.STATUS_ZOMBIE  # its parent has not waited for it
        started = "gone" if ended else f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        started = "gone"
    return f"{socket.gethostname()} {pid} {started}"
