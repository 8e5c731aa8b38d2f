"""MLflow logs, gitexp commits: a tracking store for MLflow whose truth lies in git.

MLflow finds it by its entry points (``plugin.py``) for addresses like ``gitexp:.``. Nothing is imported here, because every
``import mlflow`` passes by.
"""
