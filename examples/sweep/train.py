"""A training to sweep: fit a line to noisy points by gradient descent, with a learning rate, weight
decay and batch size to choose.

python train.py --lr 0.1 --decay 0.001 --batch 16
"""

import argparse
import random

import gitexp

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--decay", type=float, default=0.0)
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

rng = random.Random(args.seed)
points = [(x, 3 * x - 1 + rng.gauss(0, 0.3)) for x in (rng.uniform(-1, 1) for _ in range(200))]
train, test = points[:150], points[150:]
slope = offset = 0.0
for _epoch in range(20):
    rng.shuffle(train)
    for at in range(0, len(train), args.batch):
        some = train[at : at + args.batch]
        errors = [(slope * x + offset - y, x) for x, y in some]
        slope -= args.lr * (sum(error * x for error, x in errors) / len(some) + args.decay * slope)
        offset -= args.lr * sum(error for error, _ in errors) / len(some)
    rmse = (sum((slope * x + offset - y) ** 2 for x, y in test) / len(test)) ** 0.5
    gitexp.log_metric("rmse", rmse)
print(f"y = {slope:.3f} x + {offset:.3f}, rmse {rmse:.4f}")
