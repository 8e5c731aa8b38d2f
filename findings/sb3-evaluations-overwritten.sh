#!/usr/bin/env bash
# stable-baselines3 2.9.2: a training that is continued as the docs say (load, learn with reset_num_timesteps=False) counts on, but its
# EvalCallback begins anew: evaluations.npz loses all evaluations from before, and best_model.zip its better model, as "new best".
# Seen: evaluations at [64, 128], after continuing at [192, 256]; best_model.zip: the reward 2.0 of step 64, then the 1.0 of step 192
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check stable-baselines3==2.9.2 gymnasium==1.4.0 torch==2.13.0
cat >script.py <<'END'
import gymnasium
import numpy
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.monitor import Monitor


class Episode(gymnasium.Env):
    """An episode is one step, and its reward is what the stage of the script says."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Discrete(2)
    reward = 2.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return numpy.zeros(1, "float32"), {}

    def step(self, action):
        return numpy.zeros(1, "float32"), self.reward, True, False, {}


def evaluation():
    return EvalCallback(
        Monitor(Episode()), log_path="log", best_model_save_path="log", eval_freq=64,
        n_eval_episodes=1, verbose=0,
    )


def steps():
    return numpy.load("log/evaluations.npz")["timesteps"].tolist()


def trained():
    return PPO.load("log/best_model", device="cpu").num_timesteps


model = PPO("MlpPolicy", Episode(), n_steps=64, n_epochs=1, device="cpu")
model.learn(128, callback=evaluation())
before, best = steps(), trained()
model.save("model")
Episode.reward = 1.0  # it becomes worse
model = PPO.load("model", Episode(), device="cpu")
model.learn(128, callback=evaluation(), reset_num_timesteps=False)
after, last = steps(), trained()
print(
    f"evaluations at {before}, after continuing at {after};"
    f" best_model.zip: the reward 2.0 of step {best}, then the 1.0 of step {last}"
)
assert (before, after, best, last) == ([64, 128], [192, 256], 64, 192), (before, after, best, last)
END
venv/bin/python script.py 2>/dev/null
