"""Which process owns a run, that is, will end it, and whether that process is alive."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping

from optuna_workers.storage import process_identity

from catdog.tracking.names import OWNER


def this_process() -> str:
    """Return an identity that only this process ever has, as the sweeper's leases have it."""
    return process_identity.me()


def session_tag() -> str:
    """Return the name of this process's owner tag, for a run that several processes work on."""
    host = re.sub(r"[^\w.-]", "", process_identity.host())  # MLflow takes no brackets in a key
    return f"{OWNER}.{host}-{os.getpid()}"


def host_prefix() -> str:
    """Return a prefix of all owners on this host, in any of its containers, of any version."""
    return socket.gethostname()


def living(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the owner tags of a run whose process may be alive.

    Processes of other hosts and containers cannot be checked; they count as alive.

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
    where, pid, began, *_ = owner.split(" ")
    if where == socket.gethostname():  # an earlier version's, without boot and pid namespace
        return process_identity.has_ended(int(pid), began) is True
    return process_identity.is_dead(owner) is True
