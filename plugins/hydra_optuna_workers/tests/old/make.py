"""Made ``study.sql``: a study of commit 6dd6e1b, before the plugin was a distribution of its own.

In the repository's root, in an environment with what the plugin needs, but not the plugin::

    mkdir /tmp/site && git archive 6dd6e1b hydra_plugins | tar -x -C /tmp/site
    python plugins/hydra_optuna_workers/tests/old/make.py /tmp/site

The command is killed (``kill -9``) in its fourth of six trials; the second has failed. Afterwards
the host gets another name, and all times are moved into the past, so that leases have run out.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

OLD = Path(__file__).parent
WORDS = (
    "-m", "x=interval(-5,5)", "y=0,1", "+hydra.sweeper.enqueue=[{x: 1, y: 1}]",
    "hydra.sweeper.n_trials=6", "hydra.sweeper.seed=1",
)  # fmt: skip
ELSEWHERE = "'elsewhere-0123456789ab-[4026531836' || substr(owner, instr(owner, ' '))"
EARLIER = "strftime('%Y-%m-%d %H:%M:%f', {0}, '-1000 days')"
SECONDS = "{0} - 1000 * 86400.0"
CHANGES = {
    "hydra_notes": {"owner": ELSEWHERE, "lease": SECONDS},
    "hydra_slots": {"owner": ELSEWHERE, "lease": SECONDS, "started": SECONDS, "ended": SECONDS},
    "trials": {"datetime_start": EARLIER, "datetime_complete": EARLIER},
}


def main(code: Path, folder: Path) -> None:
    """Run the sweep of old code in an empty folder, and keep its database as text."""
    for name in ("app.py", "config.yaml"):
        shutil.copy(OLD / name, folder)
    env = {**os.environ, "PYTHONPATH": str(code), "MAKES_STUDY": "yes"}
    ran = subprocess.run([sys.executable, "app.py", *WORDS], cwd=folder, env=env)
    assert ran.returncode == -9, "its fourth trial kills it"
    (study,) = folder.glob("sweeps/*/study.db")
    with closing(sqlite3.connect(study)) as database:
        for table, columns in CHANGES.items():
            what = ", ".join(f"{column} = {how.format(column)}" for column, how in columns.items())
            database.execute(f"UPDATE {table} SET {what}")
        text = "\n".join(database.iterdump())
    text = text.replace(str(folder), "/home/me").replace(str(code), "/site")
    (OLD / "study.sql").write_text(f"{text}\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as empty:
        main(Path(sys.argv[1]).resolve(), Path(empty).resolve())
