"""Optuna's dashboard for this machine alone: it refuses what names another host.

The dashboard has no login and deletes studies. A page on the internet whose name is made to mean
127.0.0.1 (DNS rebinding) would have the user's browser ask it; such requests carry the page's own
name as their Host. MLflow's server refuses them too. It is run as a process of its own:
``python -m catdog.system.dashboard PORT``.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIServer, make_server

from catdog.system.server import HOST

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
"""A WSGI application."""

STORAGE = "CATDOG_DASHBOARD_STORAGE"
"""Variable with the database's URL: everybody sees a command line, and it may hold a password."""

LOCAL = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?", re.IGNORECASE)
"""Hosts that mean this machine, with any port: a tunnel may forward another one."""

REFUSAL = b"403: this dashboard answers only requests to localhost and from its own pages\n"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True  # an open connection of a browser does not keep the process


def local_only(app: Application) -> Application:
    """Wrap a WSGI application so that it answers only local hosts and their pages.

    Args:
        app: The application.

    Returns:
        One that answers 403 if a request's ``Host`` is missing or not of this machine, or if its
        ``Origin`` is given and is not of this machine.

    Example:
        >>> app = local_only(lambda environ, start: [b"studies"])
        >>> app({"HTTP_HOST": "localhost:8080"}, lambda *head: print(head[0]))
        [b'studies']
        >>> answer = app({"HTTP_HOST": "evil.example"}, lambda *head: print(head[0]))
        403 Forbidden
    """

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        origin = environ.get("HTTP_ORIGIN")
        if is_local(environ.get("HTTP_HOST", "")) and (origin is None or is_own_page(origin)):
            return app(environ, start)
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(REFUSAL)))]
        start("403 Forbidden", headers)
        return [REFUSAL]

    return answer


def is_local(host: str) -> bool:
    """Return whether a ``Host`` names this machine.

    Example:
        >>> [is_local(host) for host in ("127.0.0.1:8080", "[::1]", "localhost.evil.example")]
        [True, True, False]
    """
    return LOCAL.fullmatch(host) is not None


def is_own_page(origin: str) -> bool:
    """Return whether an ``Origin`` is a page of this machine; that of a sandbox is ``null``.

    Example:
        >>> [is_own_page(origin) for origin in ("http://localhost:8080", "null")]
        [True, False]
    """
    scheme, _, host = origin.partition("://")
    return scheme in ("http", "https") and is_local(host)


def main() -> None:
    """Serve the studies of a database until the process is ended."""
    from optuna_dashboard import wsgi

    app = local_only(wsgi(os.environ.pop(STORAGE)))
    make_server(HOST, int(sys.argv[1]), app, server_class=_Server).serve_forever()


if __name__ == "__main__":
    main()
