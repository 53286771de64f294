"""The peers of gymnasium_tasks.py: Stable-Baselines3 with its zoo's settings, and CleanRL's algorithm.

`curve.add(steps, returns of the last 100 episodes)` says when a run is over.
"""

from collections import deque

import gymnasium
import numpy as np
import torch
from torch import nn

RELU_256 = {
    "ortho_init": False,
    "activation_fn": nn.ReLU,
    "log_std_init": -2,
    "net_arch": {"pi": [256, 256], "vf": [256, 256]},
}
MINIGRID = {
    "normalize": True,
    "n_envs": 8,
    "n_timesteps": 1e5,
    "n_steps": 128,
    "batch_size": 64,
    "gae_lambda": 0.95,
    "gamma": 0.99,
    "n_epochs": 10,
    "ent_coef": 0.0,
    "learning_rate": 2.5e-4,
    "clip_range": 0.2,
}
# DLR-RM/rl-baselines3-zoo, hyperparams/ppo.yml, commit 00128b5d46d497b772f3bd891ae9f520919e8971; ("lin", x)
# falls from x to 0 over n_timesteps. v2 there is v3 here, v3 there v5, DoorKey-5x5 DoorKey-8x8.
ZOO = {
    "CartPole-v1": {
        "n_envs": 8,
        "n_timesteps": 1e5,
        "n_steps": 32,
        "batch_size": 256,
        "gae_lambda": 0.8,
        "gamma": 0.98,
        "n_epochs": 20,
        "ent_coef": 0.0,
        "learning_rate": ("lin", 0.001),
        "clip_range": ("lin", 0.2),
    },
    "LunarLander-v3": {
        "n_envs": 16,
        "n_timesteps": 1e6,
        "n_steps": 1024,
        "batch_size": 64,
        "gae_lambda": 0.98,
        "gamma": 0.999,
        "n_epochs": 4,
        "ent_coef": 0.01,
    },
    "Pendulum-v1": {
        "n_envs": 4,
        "n_timesteps": 1e5,
        "n_steps": 1024,
        "gae_lambda": 0.95,
        "gamma": 0.9,
        "n_epochs": 10,
        "ent_coef": 0.0,
        "learning_rate": 1e-3,
        "clip_range": 0.2,
        "use_sde": True,
        "sde_sample_freq": 4,
    },
    "Acrobot-v1": {
        "normalize": True,
        "n_envs": 16,
        "n_timesteps": 1e6,
        "n_steps": 256,
        "gae_lambda": 0.94,
        "gamma": 0.99,
        "n_epochs": 4,
        "ent_coef": 0.0,
    },
    "MountainCarContinuous-v0": {
        "normalize": True,
        "n_envs": 1,
        "n_timesteps": 20_000,
        "batch_size": 256,
        "n_steps": 8,
        "gamma": 0.9999,
        "learning_rate": 7.77e-5,
        "ent_coef": 0.00429,
        "clip_range": 0.1,
        "n_epochs": 10,
        "gae_lambda": 0.9,
        "max_grad_norm": 5,
        "vf_coef": 0.19,
        "use_sde": True,
        "policy_kwargs": {"log_std_init": -3.29, "ortho_init": False},
    },
    "MountainCar-v0": {
        "normalize": True,
        "n_envs": 16,
        "n_timesteps": 1e6,
        "n_steps": 16,
        "gae_lambda": 0.98,
        "gamma": 0.99,
        "n_epochs": 4,
        "ent_coef": 0.0,
    },
    "MiniGrid-DoorKey-8x8-v0": MINIGRID | {"n_timesteps": 1e6},
    "Hopper-v5": {
        "normalize": True,
        "n_envs": 1,
        "n_timesteps": 1e6,
        "batch_size": 32,
        "n_steps": 512,
        "gamma": 0.999,
        "learning_rate": 9.80828e-5,
        "ent_coef": 0.00229519,
        "clip_range": 0.2,
        "n_epochs": 5,
        "gae_lambda": 0.99,
        "max_grad_norm": 0.7,
        "vf_coef": 0.835671,
        "policy_kwargs": RELU_256,
    },
    "HalfCheetah-v5": {
        "normalize": True,
        "n_envs": 1,
        "n_timesteps": 1e6,
        "batch_size": 64,
        "n_steps": 512,
        "gamma": 0.98,
        "learning_rate": 2.0633e-5,
        "ent_coef": 0.000401762,
        "clip_range": 0.1,
        "n_epochs": 20,
        "gae_lambda": 0.92,
        "max_grad_norm": 0.8,
        "vf_coef": 0.58096,
        "policy_kwargs": RELU_256,
    },
    "BipedalWalker-v3": {
        "normalize": True,
        "n_envs": 32,
        "n_timesteps": 5e6,
        "n_steps": 2048,
        "batch_size": 64,
        "gae_lambda": 0.95,
        "gamma": 0.999,
        "n_epochs": 10,
        "ent_coef": 0.0,
        "learning_rate": 3e-4,
        "clip_range": 0.18,
    },
}
# The defaults of CleanRL's ppo.py and of its ppo_continuous_action.py.
CLEANRL = {
    "num_envs": 4,
    "num_steps": 128,
    "total": 500_000,
    "lr": 2.5e-4,
    "minibatches": 4,
    "epochs": 4,
    "ent": 0.01,
}
CLEANRL_CONTINUOUS = {
    "num_envs": 1,
    "num_steps": 2048,
    "total": 1_000_000,
    "lr": 3e-4,
    "minibatches": 32,
    "epochs": 10,
    "ent": 0.0,
}


# ---------------------------------------------------------------------- Stable-Baselines3


def sb3(make, name, seed, curve):
    """PPO with the zoo's settings."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    class Stop(BaseCallback):
        def _on_step(self):
            if self.num_timesteps // 500 == (self.num_timesteps - self.training_env.num_envs) // 500:
                return True
            recent = [info["r"] for info in self.model.ep_info_buffer]
            return not curve.add(self.num_timesteps, recent)

    settings = dict(ZOO[name])
    num_envs, total = settings.pop("n_envs"), int(settings.pop("n_timesteps"))
    if all(not isinstance(value, tuple) for value in settings.values()):
        total = 10**9                       # nothing falls with the steps, so the limit ends the run
    for key in ("learning_rate", "clip_range"):
        if isinstance(settings.get(key), tuple):
            settings[key] = lambda left, first=settings[key][1]: left * first
    envs = make_vec_env(make(name), n_envs=num_envs, seed=seed)
    if settings.pop("normalize", False):
        envs = VecNormalize(envs, gamma=settings["gamma"])
    PPO("MlpPolicy", envs, seed=seed, device="cpu", **settings).learn(total, callback=Stop())


# ---------------------------------------------------------------------- CleanRL


def cleanrl(make, name, seed, curve):
    """ppo.py, or for Box actions ppo_continuous_action.py: wrappers, network, order and formulas as there."""
    probe = make(name)()
    continuous = isinstance(probe.action_space, gymnasium.spaces.Box)
    probe.close()
    a = CLEANRL_CONTINUOUS if continuous else CLEANRL
    gamma, gae_lambda, clip, vf, grad_norm = 0.99, 0.95, 0.2, 0.5, 0.5

    def one():
        env = make(name)()
        if continuous:
            env = gymnasium.wrappers.FlattenObservation(env)
        env = gymnasium.wrappers.RecordEpisodeStatistics(env)
        if continuous:
            env = gymnasium.wrappers.NormalizeObservation(gymnasium.wrappers.ClipAction(env))
            env = gymnasium.wrappers.TransformObservation(env, lambda seen: np.clip(seen, -10, 10), None)
            env = gymnasium.wrappers.NormalizeReward(env, gamma=gamma)
            env = gymnasium.wrappers.TransformReward(env, lambda reward: np.clip(reward, -10, 10))
        return env

    torch.manual_seed(seed)
    mode = gymnasium.vector.AutoresetMode.SAME_STEP
    envs = gymnasium.vector.SyncVectorEnv([one] * a["num_envs"], autoreset_mode=mode)
    inputs = int(np.prod(envs.single_observation_space.shape))
    outputs = int(np.prod(envs.single_action_space.shape)) if continuous else int(envs.single_action_space.n)

    def layer(n, m, gain=2**0.5):
        made = nn.Linear(n, m)
        nn.init.orthogonal_(made.weight, gain)
        nn.init.zeros_(made.bias)
        return made

    def network(m, gain):
        return nn.Sequential(
            nn.Flatten(), layer(inputs, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, m, gain)
        )

    actor, critic, log_std = network(outputs, 0.01), network(1, 1.0), nn.Parameter(torch.zeros(1, outputs))
    parameters = [*actor.parameters(), *critic.parameters()] + [log_std] * continuous
    adam = torch.optim.Adam(parameters, lr=a["lr"], eps=1e-5)

    def distribution(seen):
        if continuous:
            mean = actor(seen)
            normal = torch.distributions.Normal(mean, log_std.expand_as(mean).exp())
            return torch.distributions.Independent(normal, 1)
        return torch.distributions.Categorical(logits=actor(seen))

    n, horizon, steps, recent = a["num_envs"], a["num_steps"], 0, deque(maxlen=100)
    seen, done = torch.tensor(envs.reset(seed=seed)[0], dtype=torch.float32), torch.zeros(n)
    updates = a["total"] // (n * horizon)
    for update in range(updates):
        adam.param_groups[0]["lr"] = (1 - update / updates) * a["lr"]
        rows = []
        for _ in range(horizon):
            with torch.no_grad():
                policy = distribution(seen)
                action = policy.sample()
                row = [seen, action, policy.log_prob(action), critic(seen).flatten(), done]
            following, reward, terminated, truncated, infos = envs.step(action.numpy())
            rows.append([*row, torch.tensor(reward, dtype=torch.float32)])
            seen, done = (
                torch.tensor(following, dtype=torch.float32),
                torch.tensor(terminated | truncated).float(),
            )
            if done.any():
                episode = infos["final_info"]["episode"]
                recent.extend(episode["r"][np.asarray(episode["_r"])])
            steps += n
        b_seen, b_action, b_log_prob, value, dones, rewards = (
            torch.stack(column) for column in zip(*rows, strict=True)
        )
        with torch.no_grad():
            advantages, last = torch.zeros_like(rewards), 0
            next_value, not_done = critic(seen).flatten(), 1 - done
            for t in reversed(range(horizon)):
                delta = rewards[t] + gamma * next_value * not_done - value[t]
                advantages[t] = last = delta + gamma * gae_lambda * not_done * last
                next_value, not_done = value[t], 1 - dones[t]
        flat = [
            column.flatten(0, 1)
            for column in (b_seen, b_action, b_log_prob, advantages, advantages + value, value)
        ]
        for _ in range(a["epochs"]):
            for chosen in torch.randperm(n * horizon).split(n * horizon // a["minibatches"]):
                s, act, old_log_prob, advantage, target, old_value = (column[chosen] for column in flat)
                policy, new = distribution(s), critic(s).flatten()
                ratio = (policy.log_prob(act) - old_log_prob).exp()
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                policy_loss = torch.max(
                    -advantage * ratio, -advantage * ratio.clamp(1 - clip, 1 + clip)
                ).mean()
                near = old_value + (new - old_value).clamp(-clip, clip)
                value_loss = 0.5 * torch.max((new - target) ** 2, (near - target) ** 2).mean()
                loss = policy_loss - a["ent"] * policy.entropy().mean() + vf * value_loss
                adam.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, grad_norm)
                adam.step()
        if curve.add(steps, recent):
            return
