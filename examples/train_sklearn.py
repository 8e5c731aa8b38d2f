"""scikit-learn with MLflow's autologger: a grid search is one experiment, and each point of the
grid a child of it."""

import mlflow
from sklearn import metrics
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

mlflow.sklearn.autolog()

data, target = load_diabetes(return_X_y=True, as_frame=True)
train_x, test_x, train_y, test_y = train_test_split(data, target, random_state=0)

search = GridSearchCV(
    make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": [0.1, 1.0, 10.0]}, cv=3
)
search.fit(train_x, train_y)
print("best:", search.best_params_)

# computed after the fit, and in the experiment all the same
print("mean absolute error:", metrics.mean_absolute_error(test_y, search.predict(test_x)))
