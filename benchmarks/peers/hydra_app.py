"""The search with Hydra and the official hydra-optuna-sweeper.

python hydra_app.py -m hydra/sweeper=optuna hydra.sweeper.n_trials=N hydra.sweeper.n_jobs=1 \
    '+lr=tag(log,interval(1e-5,1e-1))' '+dropout=interval(0,0.7)' +epochs=N
"""

import hydra
import keras_script
from omegaconf import DictConfig


@hydra.main(version_base=None, config_path=None)
def main(cfg: DictConfig) -> float:
    """Train."""
    return keras_script.train(cfg.lr, cfg.dropout, cfg.epochs)


main()
