"""Optuna with MLflow's nested runs: the study is one experiment, and each trial a child of it."""

import mlflow
import optuna
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.model_selection import cross_val_score

data, target = load_diabetes(return_X_y=True)


def objective(trial: optuna.Trial) -> float:
    """Train one model with cross-validation."""
    with mlflow.start_run(nested=True, run_name=f"trial {trial.number}"):
        params = {
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
            "max_depth": trial.suggest_int("max_depth", 1, 4),
        }
        mlflow.log_params(params)
        scores = cross_val_score(
            GradientBoostingRegressor(n_estimators=40, random_state=0, **params), data, target, cv=3
        )
        for fold, score in enumerate(scores):
            mlflow.log_metric("r2_fold", score, step=fold)
        mlflow.log_metric("r2", scores.mean())
        return scores.mean()


with mlflow.start_run(run_name="study"):
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=5)
    mlflow.log_params(study.best_params)
    mlflow.log_metric("best_r2", study.best_value)
