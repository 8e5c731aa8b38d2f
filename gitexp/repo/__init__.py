"""The user's repository as git and DVC see it, and a snapshot of it; knows no experiment.

Only ``process.py`` starts git. ``objects.py`` and ``refs.py`` know what git keeps, and
``repository.py`` puts them together.
"""

from gitexp.repo.objects import Object
from gitexp.repo.process import Git, Progress
from gitexp.repo.refs import Head, Transaction
from gitexp.repo.repository import IN_PROGRESS, Repo

__all__ = ["IN_PROGRESS", "Git", "Head", "Object", "Progress", "Repo", "Transaction"]
