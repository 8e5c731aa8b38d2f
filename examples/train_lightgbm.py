"""LightGBM with MLflow's autologger: params, the curve, early stopping, the importance of features
and the model."""

import lightgbm
import mlflow
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

mlflow.lightgbm.autolog()

data, target = load_wine(return_X_y=True, as_frame=True)
train_x, valid_x, train_y, valid_y = train_test_split(data, target, random_state=0)
train, valid = lightgbm.Dataset(train_x, train_y), lightgbm.Dataset(valid_x, valid_y)

booster = lightgbm.train(
    {
        "objective": "multiclass",
        "num_class": 3,
        "learning_rate": 0.3,
        "num_leaves": 7,
        "num_threads": 1,
        "verbose": -1,
    },
    train,
    num_boost_round=100,
    valid_sets=[valid],
    callbacks=[lightgbm.early_stopping(5), lightgbm.log_evaluation(10)],
)
print(
    "best round:",
    booster.best_iteration,
    "log loss:",
    booster.best_score["valid_0"]["multi_logloss"],
)
