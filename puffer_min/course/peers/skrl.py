"""skrl's PPO on the terms."""

from gymnasium.vector import AutoresetMode, SyncVectorEnv
from skrl.agents.torch.ppo import PPO, PPO_CFG
from skrl.envs.wrappers.torch import wrap_env
from skrl.envs.wrappers.torch.gymnasium_envs import GymnasiumWrapper
from skrl.memories.torch import RandomMemory
from skrl.models.torch import CategoricalMixin, DeterministicMixin, Model
from skrl.trainers.torch import SequentialTrainer
from skrl.utils import set_seed

from puffer_min.course.peers.terms import network


class Actor(CategoricalMixin, Model):
    """Observations to logits."""

    def __init__(self, **spaces):
        Model.__init__(self, **spaces)
        CategoricalMixin.__init__(self)
        self.layers = network(2, gain=0.01)

    def compute(self, inputs, role):
        return self.layers(inputs["observations"]), {}


class Critic(DeterministicMixin, Model):
    """Observations to a value."""

    def __init__(self, **spaces):
        Model.__init__(self, **spaces)
        DeterministicMixin.__init__(self)
        self.layers = network(1, gain=1.0)

    def compute(self, inputs, role):
        return self.layers(inputs["observations"]), {}


def train(terms, make_env, seed):
    """Play and learn until the environment says stop."""
    set_seed(seed)
    envs = wrap_env(SyncVectorEnv([make_env] * terms.num_envs, autoreset_mode=AutoresetMode.SAME_STEP),
                    verbose=False)
    spaces = {"observation_space": envs.observation_space, "action_space": envs.action_space, "device": "cpu"}
    settings = PPO_CFG(rollouts=terms.horizon, mini_batches=terms.num_minibatches,
                       learning_epochs=terms.update_epochs,
                       learning_rate=terms.learning_rate, discount_factor=terms.gamma,
                       gae_lambda=terms.gae_lambda,
                       ratio_clip=terms.clip_coef, value_clip=terms.clip_coef, value_loss_scale=terms.vf_coef,
                       entropy_loss_scale=terms.ent_coef, grad_norm_clip=terms.max_grad_norm,
                       time_limit_bootstrap=True)
    settings.experiment.write_interval = settings.experiment.checkpoint_interval = 0
    agent = PPO(models={"policy": Actor(**spaces), "value": Critic(**spaces)}, cfg=settings, **spaces,
                memory=RandomMemory(memory_size=terms.horizon, num_envs=terms.num_envs, device="cpu"))
    agent.optimizer.param_groups[0]["eps"] = terms.adam_eps
    SequentialTrainer(env=envs, agents=agent,
                      cfg={"timesteps": 10**9, "headless": True, "disable_progressbar": True}).train()


STAGES = {"environment": [GymnasiumWrapper.step], "policy": [PPO.act], "update": [PPO.update]}
