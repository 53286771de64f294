"""Our learner beside Stable-Baselines3 and a loop in CleanRL's style, on cartpole, in one process, one after the other.

    python benchmarks/training.py                        steps/s of all, and how long ten seeds of ours take to solve it
    python benchmarks/training.py --seconds 60           longer for the peers, which solve it too when given minutes
    python benchmarks/training.py --json out.json        the same as JSON

*At CleanRL's settings*: 4 environments, 128 steps, 4 minibatches, 4 epochs, networks of 2 x 64; this compares the code. *At our settings*:
the defaults of `python -m puffer_min train cartpole`; this compares what one does with the machine. Solved means a mean return of
475 or more over the last 100 episodes. Wall-clock seconds from the first step on, imports and construction excluded.
"""

import argparse
import importlib.util
import json
import os
import statistics
import tempfile
import time
from collections import deque

import gymnasium
import numpy as np
import torch
from torch import nn

import puffer_min
from puffer_min.measure import quantity

SOLVED = 475.0
PLAIN = {"num_envs": 4, "horizon": 128, "minibatch_size": 128, "update_epochs": 4, "learning_rate": 2.5e-4, "anneal_lr": "none",
         "ent_coef": 0.01, "vf_coef": 0.5, "vf_clip_coef": 0.2, "total_steps": 10**9}


def ours(seconds, seed, **settings):
    """(steps, seconds, solved, mean return) of our learner, stopped when solved or after `seconds`."""
    recent = deque(maxlen=100)

    def watch(update):
        if update["episode_return"] is not None:
            recent.extend([update["episode_return"]] * min(100, update["episodes"]))
        if update["seconds"] > seconds:
            raise TimeoutError
    last = {}

    def show(update):
        last.update(update)
        watch(update)
    with tempfile.TemporaryDirectory() as folder:
        try:
            puffer_min.train("cartpole", seed=seed, target_score=SOLVED, dashboard=show, run_dir=folder, **settings)
        except TimeoutError:
            pass
    score = float(np.mean(recent))
    return last["step"], last["seconds"], score >= SOLVED, score


def cleanrl_style(seconds, seed):
    """The same of a plain loop: separate networks of 2 x 64 with tanh, torch.distributions, Gymnasium's vector environment."""
    torch.manual_seed(seed)
    vec = gymnasium.make_vec("CartPole-v1", num_envs=4, vectorization_mode="sync",
                             vector_kwargs={"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP})

    def network(outputs, gain):
        layers = [nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs)]
        for layer, scale in zip(layers[::2], (2**0.5, 2**0.5, gain)):
            nn.init.orthogonal_(layer.weight, scale)
            nn.init.zeros_(layer.bias)
        return nn.Sequential(*layers)
    actor, critic = network(2, 0.01), network(1, 1.0)
    parameters = [*actor.parameters(), *critic.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=2.5e-4, eps=1e-5)
    steps, returns, recent = 0, np.zeros(4), deque(maxlen=100)
    observations, done, start = torch.as_tensor(vec.reset(seed=seed)[0]), torch.zeros(4), time.perf_counter()
    while time.perf_counter() - start < seconds:
        rows = []
        for _ in range(128):
            with torch.no_grad():
                chosen = torch.distributions.Categorical(logits=actor(observations))
                action, value = chosen.sample(), critic(observations).flatten()
            following, reward, terminal, truncation, _ = vec.step(action.numpy())
            rows.append((observations, action, chosen.log_prob(action), value, torch.as_tensor(reward, dtype=torch.float32), done))
            observations, done = torch.as_tensor(following), torch.as_tensor(terminal | truncation, dtype=torch.float32)
            returns += reward
            recent.extend(returns[done.bool().numpy()])
            returns[done.bool().numpy()] = 0
            steps += 4
        seen, actions, log_probs, values, rewards, dones = (torch.stack(column) for column in zip(*rows))
        with torch.no_grad():
            next_value, advantages, running = critic(observations).flatten(), torch.zeros_like(rewards), 0
            for t in reversed(range(128)):
                goes_on = 1 - (done if t == 127 else dones[t + 1])
                after = next_value if t == 127 else values[t + 1]
                running = rewards[t] + 0.99 * after * goes_on - values[t] + 0.99 * 0.95 * goes_on * running
                advantages[t] = running
        flat = [x.flatten(0, 1) for x in (seen, actions, log_probs, values, advantages, advantages + values)]
        for _ in range(4):
            for picked in torch.randperm(512).split(128):
                o, a, old_log_prob, old_value, advantage, target = (x[picked] for x in flat)
                chosen, value = torch.distributions.Categorical(logits=actor(o)), critic(o).flatten()
                ratio = (chosen.log_prob(a) - old_log_prob).exp()
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                policy_loss = -torch.min(advantage * ratio, advantage * ratio.clamp(0.8, 1.2)).mean()
                near = old_value + (value - old_value).clamp(-0.2, 0.2)
                value_loss = 0.5 * torch.max((value - target) ** 2, (near - target) ** 2).mean()
                optimizer.zero_grad()
                (policy_loss - 0.01 * chosen.entropy().mean() + 0.5 * value_loss).backward()
                nn.utils.clip_grad_norm_(parameters, 0.5)
                optimizer.step()
        if len(recent) == 100 and np.mean(recent) >= SOLVED:
            break
    return steps, time.perf_counter() - start, np.mean(recent) >= SOLVED, float(np.mean(recent))


def stable_baselines3(seconds, seed):
    """The same of Stable-Baselines3's PPO."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

    class Watch(BaseCallback):
        def _on_step(self):
            returns = [episode["r"] for episode in self.model.ep_info_buffer]
            self.score = float(np.mean(returns)) if returns else 0.0
            return time.perf_counter() - self.start < seconds and not (len(returns) == 100 and self.score >= SOLVED)
    model = PPO("MlpPolicy", make_vec_env("CartPole-v1", 4, seed=seed), n_steps=128, batch_size=128, n_epochs=4, learning_rate=2.5e-4,
                ent_coef=0.01, clip_range_vf=0.2, seed=seed, device="cpu")
    watch = Watch()
    watch.start = time.perf_counter()
    model.learn(10**9, callback=watch)
    return model.num_timesteps, time.perf_counter() - watch.start, watch.score >= SOLVED, watch.score


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20, help="for each learner at CleanRL's settings (20)")
    parser.add_argument("--seeds", type=int, default=10, help="of ours at our settings (10)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of torch for every learner (all cores)")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    plain = {"CleanRL's way, this file": cleanrl_style, "Stable-Baselines3": stable_baselines3,
             "puffer_min": lambda seconds, seed: ours(seconds, seed, torch_threads=args.threads, **PLAIN)}
    if importlib.util.find_spec("stable_baselines3") is None:
        del plain["Stable-Baselines3"]
        print("Stable-Baselines3 is not installed and is left out: pip install stable-baselines3")
    figures = {"threads": args.threads, "at CleanRL's settings": {}, "at our settings": []}
    print(f"cartpole, {args.threads} threads; at CleanRL's settings, {args.seconds:.0f} s each")
    for name, learner in plain.items():
        steps, seconds, solved, score = learner(args.seconds, 1)
        figures["at CleanRL's settings"][name] = {"steps": steps, "seconds": seconds, "solved": bool(solved), "mean_return": score}
        print(f"  {name:28} {quantity(steps / seconds):>8} steps/s   return {score:5.0f} after {seconds:.0f} s{', solved' * bool(solved)}")

    print(f"at our settings, until solved, {args.seeds} seeds")
    for seed in range(args.seeds):
        steps, seconds, solved, score = ours(60, seed, torch_threads=args.threads)
        figures["at our settings"].append({"seed": seed, "steps": steps, "seconds": seconds, "solved": bool(solved)})
    runs = figures["at our settings"]
    times, speed = sorted(run["seconds"] for run in runs), statistics.median(run["steps"] / run["seconds"] for run in runs)
    print(f"  {'puffer_min':28} {quantity(speed):>8} steps/s   {sum(run['solved'] for run in runs)} of {len(runs)} solved, "
          f"median {statistics.median(times):.2f} s, slowest {times[-1]:.2f} s")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)
    print(f"The figures are in {args.json}." if args.json else "Nothing was written to disk.")


if __name__ == "__main__":
    main()
