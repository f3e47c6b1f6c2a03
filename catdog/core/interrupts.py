"""How commands are ended by Ctrl-C, SIGTERM and a closed terminal: as the sweeper's processes."""

from __future__ import annotations

from optuna_workers.workers.signals import deferred, handle

__all__ = ["deferred", "handle"]
