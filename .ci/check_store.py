"""Check that the newest run in mlruns/mlflow.db is complete; exits with what is missing."""

import sys
from pathlib import Path

import mlflow

ROOT = Path(__file__).resolve().parent.parent
METRICS = """train/loss train/accuracy val/loss val/accuracy lr best/epoch best/val_loss
best/val_accuracy test/loss test/accuracy test/auc test/ece time/features_seconds time/fit_seconds
time/total_seconds lr_range/lr lr_range/loss lr_range/smooth_loss lr_range/valley lr_range/steep
lr_range/minimum system/cpu_utilization_percentage""".split()
ARTIFACTS = """config/resolved.yaml config/overrides.yaml config/environment.txt data/manifest.csv
data/skipped.csv lr_range/curve.png lr_range/curve.html lr_range/curve.csv training/curves.png
training/curves.html checkpoints/best.keras evaluation/confusion_matrix.png
evaluation/predictions.csv evaluation/mistakes.png""".split()
TAGS = ("catdog.kind", "catdog.command", "hydra.dir")
PARAMS = ("optimizer.lr", "head.dropout", "backbone.name", "data.digest", "seed")

client = mlflow.MlflowClient(f"sqlite:///{ROOT}/mlruns/mlflow.db")
experiment = client.get_experiment_by_name("catdog")
if experiment is None:
    sys.exit("no experiment called catdog")
run = client.search_runs([experiment.experiment_id], order_by=["start_time DESC"], max_results=1)[
    0
]
missing = [f"metric {name}" for name in METRICS if name not in run.data.metrics]
missing += [f"param {name}" for name in PARAMS if name not in run.data.params]
missing += [f"tag {name}" for name in TAGS if name not in run.data.tags]
for artifact in ARTIFACTS:
    path = ROOT / "mlruns" / "artifacts" / run.info.run_id / "artifacts" / artifact
    if not path.is_file() or not path.stat().st_size:
        missing.append(f"artifact {artifact}")
if run.info.status != "FINISHED":
    missing.append(f"status is {run.info.status}")
if not run.outputs or not run.outputs.model_outputs:
    missing.append("logged model")
if missing:
    sys.exit(f"run {run.info.run_id} lacks: {', '.join(missing)}")
print(f"run {run.info.run_id}: complete, test accuracy {run.data.metrics['test/accuracy']:.4f}")
