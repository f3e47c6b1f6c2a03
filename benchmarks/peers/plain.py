"""The search as a script: Optuna around Keras' ``fit``, with MLflow's autologging or without.

python plain.py TRIALS EPOCHS [autolog]
"""

import sys

import keras_script
import optuna


def objective(trial: optuna.Trial) -> float:
    """Ask and train."""
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    dropout = trial.suggest_float("dropout", 0.0, 0.7)
    return keras_script.train(lr, dropout, epochs)


n_trials, epochs = map(int, sys.argv[1:3])
if "autolog" in sys.argv:
    import mlflow

    mlflow.set_experiment("plain")
    mlflow.tensorflow.autolog(checkpoint=True)
study = optuna.create_study()
study.enqueue_trial({"lr": 1e-3, "dropout": 0.2})
study.optimize(objective, n_trials=n_trials)
