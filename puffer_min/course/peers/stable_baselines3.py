"""Stable-Baselines3's PPO on the terms."""

from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import DummyVecEnv


def train(terms, make_env, seed):
    """Play and learn until the environment says stop."""
    envs = DummyVecEnv([make_env] * terms.num_envs)
    model = PPO("MlpPolicy", envs, n_steps=terms.horizon, batch_size=terms.minibatch_size,
                n_epochs=terms.update_epochs,
                learning_rate=terms.learning_rate, gamma=terms.gamma, gae_lambda=terms.gae_lambda,
                clip_range=terms.clip_coef,
                clip_range_vf=terms.clip_coef, vf_coef=terms.vf_coef, ent_coef=terms.ent_coef,
                max_grad_norm=terms.max_grad_norm, seed=seed, device="cpu")
    model.learn(10**9)


STAGES = {"environment": [DummyVecEnv.step_wait], "policy": [ActorCriticPolicy.forward],
          "update": [PPO.train, RolloutBuffer.compute_returns_and_advantage]}
