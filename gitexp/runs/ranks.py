"""Which process of a distributed training logs: that of rank 0, by what the launchers say in the
environment."""

from __future__ import annotations

import os

# where no RANK is set; Lightning sets the last two
_RANKS = ("SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "LOCAL_RANK", "NODE_RANK")


def is_other_rank() -> bool:
    """Whether this is a process of a distributed training that logs nothing: its rank is not 0.

    RANK alone decides where it is set, as torchrun does: it is the one that is unique over all
    machines, while LOCAL_RANK is 0 once on each, and SLURM_PROCID is of the task in which several
    launchers may run.
    """
    ranks = [os.environ.get(name, "") for name in ("RANK", *_RANKS)]
    numbers = [int(rank) if rank.isdigit() else None for rank in ranks]
    return bool(numbers[0]) if numbers[0] is not None else any(numbers)
