"""CatBoost, for which MLflow has no autologger: gitexp.autolog() has one."""

from catboost import CatBoostRegressor
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

import gitexp

gitexp.autolog()

train_x, valid_x, train_y, valid_y = train_test_split(
    *load_diabetes(return_X_y=True, as_frame=True), random_state=0
)

model = CatBoostRegressor(
    iterations=100,
    depth=4,
    learning_rate=0.1,
    early_stopping_rounds=10,
    thread_count=1,
    verbose=25,
    allow_writing_files=False,
)
model.fit(train_x, train_y, eval_set=(valid_x, valid_y))
print("best:", model.get_best_iteration(), model.get_best_score()["validation"])
