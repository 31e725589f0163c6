"""sb3-contrib's MaskablePPO on SpotSampling-v0, both as they come.

The compact observation leaves out what never changes, so a stock network of a few thousand inputs
is enough; it knows a section by its index alone, and so can be asked about these sections only.
To buy on sections never seen, use `agents.train_spot_agent` or a policy that sees features, such as
the one in cleanrl_style_ppo.py.

    python docs/examples/stock_sb3.py
    python docs/examples/stock_sb3.py --steps 200000
"""

import argparse

import gymnasium as gym
from sb3_contrib import MaskablePPO

from agents import evaluate
from scr2st_env import synthetic  # importing the package registers SpotSampling-v0

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--steps", type=int, default=20_000, help="purchases to learn from")
parser.add_argument("--seed", type=int, default=0, help="of the sections drawn and the network")
parser.add_argument("--save", default="stock_sb3.zip", help="where the model is written")
args = parser.parse_args()

env = gym.make(
    "SpotSampling-v0",
    slides=synthetic.load_slides(["p1s1"]),
    reference=synthetic.load_reference(),
    budget=20,
    observation="compact",
    info_mask=False,  # MaskablePPO asks env.action_masks(); infos are copied at every step
)
model = MaskablePPO(
    "MultiInputPolicy",
    env,
    gamma=1.0,  # an episode's rewards add up to what the bought spots are worth together
    n_steps=500,
    batch_size=100,
    learning_rate=1e-3,
    seed=args.seed,
)
model.learn(args.steps)
model.save(args.save)

model = MaskablePPO.load(args.save)
scores = evaluate({"MaskablePPO": model, "random": "random"}, env, deterministic=False)
print(scores.groupby("agent")[["reward", "wasted"]].mean())
