"""Check that the newest run or sweep in mlruns/mlflow.db is complete; exits with what is missing.

usage: check_store.py run|sweep
"""

import sys
from pathlib import Path

import mlflow

ROOT = Path(__file__).resolve().parent.parent
METRICS = """train/loss train/accuracy val/loss val/accuracy lr best/epoch best/val_loss
best/val_accuracy test/loss test/accuracy test/auc test/ece time/features_seconds time/fit_seconds
time/total_seconds time/overhead_seconds lr_range/lr lr_range/loss lr_range/smooth_loss
lr_range/valley lr_range/steep lr_range/minimum system/cpu_utilization_percentage""".split()
ARTIFACTS = """config/resolved.yaml config/overrides.yaml config/environment.txt data/manifest.csv
data/skipped.csv lr_range/curve.png lr_range/curve.html lr_range/curve.csv training/curves.png
training/curves.html checkpoints/best.keras evaluation/confusion_matrix.png
evaluation/predictions.csv evaluation/mistakes.png""".split()
TAGS = ("catdog.kind", "catdog.command", "hydra.dir")
PARAMS = ("optimizer.lr", "head.dropout", "backbone.name", "data.digest", "seed")
PICTURES = "history importances slice parallel contour timeline lr_vs_loss".split()
SWEEP = {
    "metrics": ["best/value", "trials/complete", "trials/pruned", "trials/failed"],
    "artifacts": [
        "sweep/best.yaml", "sweep/trials.csv",
        *(f"sweep/{name}.{kind}" for name in PICTURES for kind in ("png", "html")),
    ],
    "tags": [*TAGS, "optuna.study", "best.trial", "best.run_id", "best.params"],
    "params": ["space.optimizer.lr", "space.head.dropout", "sampler", "pruner"],
}  # fmt: skip
RUN = {"metrics": METRICS, "artifacts": ARTIFACTS, "tags": TAGS, "params": PARAMS}

kind = sys.argv[1]
client = mlflow.MlflowClient(f"sqlite:///{ROOT}/mlruns/mlflow.db")
experiment = client.get_experiment_by_name("catdog")
if experiment is None:
    sys.exit("no experiment called catdog")
every = client.search_runs([experiment.experiment_id], order_by=["start_time DESC"])
run = next(one for one in every if one.data.tags.get("catdog.kind") == kind)
wanted = SWEEP if kind == "sweep" else RUN
missing = [f"metric {name}" for name in wanted["metrics"] if name not in run.data.metrics]
missing += [f"param {name}" for name in wanted["params"] if name not in run.data.params]
missing += [f"tag {name}" for name in wanted["tags"] if name not in run.data.tags]
for artifact in wanted["artifacts"]:
    path = ROOT / "mlruns" / "artifacts" / run.info.run_id / "artifacts" / artifact
    if not path.is_file() or not path.stat().st_size:
        missing.append(f"artifact {artifact}")
missing += [f"{one.info.run_name} is {one.info.status}" for one in every
            if one.info.status != "FINISHED"]  # fmt: skip
if kind == "run" and not run.outputs.model_outputs:
    missing.append("logged model")
children = [one for one in every if one.data.tags.get("mlflow.parentRunId") == run.info.run_id]
if kind == "sweep":
    trials = int(run.data.metrics.get("trials/complete", 0))
    if len(children) != trials:
        missing.append(f"children: {len(children)} of {trials}")
    if [one.info.run_id for one in children if one.outputs.model_outputs] != [
        run.data.tags.get("best.run_id")
    ]:
        missing.append("the winner's logged model")
if missing:
    sys.exit(f"{kind} {run.info.run_id} lacks: {', '.join(missing)}")
print(f"{kind} {run.info.run_id}: complete, {len(children)} trials")
