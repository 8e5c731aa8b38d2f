"""XGBoost with MLflow's autologger: params, both curves, early stopping and the model."""

import mlflow
import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

mlflow.xgboost.autolog()

data, target = load_breast_cancer(return_X_y=True, as_frame=True)
train_x, valid_x, train_y, valid_y = train_test_split(data, target, random_state=0)
train, valid = xgboost.DMatrix(train_x, train_y), xgboost.DMatrix(valid_x, valid_y)

booster = xgboost.train(
    {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "eta": 0.3,
        "max_depth": 3,
        "nthread": 1,
    },
    train,
    num_boost_round=60,
    evals=[(train, "train"), (valid, "valid")],
    early_stopping_rounds=5,
    verbose_eval=10,
)
print("best round:", booster.best_iteration, "logloss:", booster.best_score)
