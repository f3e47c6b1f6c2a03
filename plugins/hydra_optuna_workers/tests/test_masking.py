"""No password is shown: neither of a database nor of a server, however it is written."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna_workers.masking import without_password
from sqlalchemy import make_url

SHOWN = {
    # databases
    "postgresql://me:secret@host/db": "postgresql://me:***@host/db",
    "postgresql+psycopg://me:secret@h:5432/d?a=1": "postgresql+psycopg://me:***@h:5432/d?a=1",
    "postgresql://me:se:cr%40et@host/db": "postgresql://me:***@host/db",
    "postgresql://me:se/cr@et@db/x": "postgresql://me:***@db/x",
    "postgresql://me:se?cr=et@db/x": "postgresql://me:***@db/x",
    "postgresql://me@corp:secret@db/x": "postgresql://me@corp:***@db/x",
    "postgresql://:secret@db/x": "postgresql://:***@db/x",
    "postgresql://me:s@db/x?application_name=me@home": (
        "postgresql://me:***@db/x?application_name=me@home"
    ),
    "mysql://h/x?password=secret&ssl=1": "mysql://h/x?password=***&ssl=1",
    "postgresql://h/x?sslmode=require&sslpassword=s": (
        "postgresql://h/x?sslmode=require&sslpassword=***"
    ),
    "nonsense://me:secret@nowhere/db?passwd=secret": "nonsense://me:***@nowhere/db?passwd=***",
    # servers
    "http://me:secret@host:5000/a@b:c": "http://me:***@host:5000/a@b:c",
    "http://me:se@cr@host/": "http://me:***@host/",
    "HTTPS://me:se/cret@host": "HTTPS://me:***@host",
    # lines with an address, or with two
    "tracking.uri=https://me:secret@host/ x=1": "tracking.uri=https://me:***@host/ x=1",
    "https://me:a@host/ postgresql://me:b@db/x": "https://me:***@host/ postgresql://me:***@db/x",
    "//me:secret@host": "//me:***@host",
    # what is masked stays, beside another address
    "https://me:***@host/, postgresql://user@host/x": (
        "https://me:***@host/, postgresql://user@host/x"
    ),
    "postgresql://me:***@h/x; postgresql://me:b@h/x": (
        "postgresql://me:***@h/x; postgresql://me:***@h/x"
    ),
}
SAME = [
    "postgresql://me@host/db", "postgresql://h:5432/x", "sqlite:////a/study.db",
    "sqlite:///study.db", "sqlite:////a:b/c@d.db", "http://127.0.0.1:5000", "http://[::1]:5000/a@b",
    "http://host:5000/#/users/a@b", "http://host:5000?user=a@b", "https://host/a:b@c",
    "file:///home/me:x@y", "plain.db", "me@host:folder", "",
]  # fmt: skip


@pytest.mark.parametrize(("url", "shown"), SHOWN.items())
def test_passwords_are_masked(url: str, shown: str) -> None:
    assert without_password(url) == shown
    assert without_password(shown) == shown


@pytest.mark.parametrize("url", SAME)
def test_what_holds_none_stays(url: str) -> None:
    assert without_password(url) == url


VISIBLE = st.characters(min_codepoint=33, max_codepoint=126)


@given(st.text(VISIBLE, min_size=1).filter(lambda text: "?" not in text and "&" not in text))
def test_any_password_of_a_database(password: str) -> None:
    assert without_password(f"postgresql://me:{password}@db/x") == "postgresql://me:***@db/x"


@given(st.text(VISIBLE, min_size=1).filter(lambda text: not set(text) & set("@&")))
def test_all_that_sqlalchemy_takes_for_a_password(password: str) -> None:
    url = f"postgresql://me:{password}@db/x"
    assert make_url(url).password is not None
    assert without_password(url) == "postgresql://me:***@db/x"


def test_it_is_light() -> None:
    code = "import sys, optuna_workers.masking; print({'sqlalchemy', 'optuna'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
