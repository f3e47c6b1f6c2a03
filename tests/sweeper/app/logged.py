"""A task that trains nothing and logs as catdog's trials do: many small writes to one MLflow."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig
from optuna_workers import current_trial

from catdog import tracking
from catdog.core import paths
from catdog.core.memo import Memo
from catdog.tracking import names, owners

MEMO = Memo()
EPOCHS = 5


@hydra.main(version_base="1.3", config_path="conf", config_name="logged")
def main(cfg: DictConfig) -> float:
    """Log ``x + epoch`` for each epoch, and return ``x``."""
    trial = current_trial()
    assert trial is not None
    uri = cfg.tracking.uri
    tracker = MEMO.get(
        "tracker", uri, lambda: tracking.Tracker(uri=uri, experiment="catdog", root=paths.root())
    )
    tags = names.child_tags(trial.shared, trial.study_name, trial.number)
    run = tracker.create(f"trial {trial.number}", {**tags, owners.OWNER: owners.this_process()})
    trial.set_user_attr(names.RUN_ID, run.run_id)
    run.params({"x": cfg.x})
    for epoch in range(EPOCHS):
        run.metrics({"loss": cfg.x + epoch, "lr": 0.1}, epoch)
        run.flush()
    run.end("FINISHED")
    return cfg.x


if __name__ == "__main__":
    main()
