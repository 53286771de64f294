"""`probe`: which part of a learner is broken? Trains on six tasks whose right answers are known.

    python -m puffer_min probe                                      this package's learner, 5 seconds
    python -m puffer_min probe --policy my_net.py:Net --set learning_rate=0.003
    python -m puffer_min probe --learner my_ppo.py:MyPPO discount

    findings = probe(policy=Net, learner=MyPPO)     a network of one's own, a subclass of PPO
    assert findings.ok, findings

`envs/probes.pyx` has the tasks. Each needs one part more than those before it, so the first failure counts.
"""

import contextlib
import dataclasses
import math
from statistics import fmean as mean

import torch

from envs.core.settings import choice
from puffer_min.commands.locate import add_policy, load_object, parse_setting
from puffer_min.commands.run import learner_for
from puffer_min.commands.train import torch_settings
from puffer_min.learner.ppo import NotFinite
from puffer_min.learner.presets import settings_for
from puffer_min.vector import make_vec

GAMMA, ENT_COEF = 0.5, 0.5
SETTINGS = {"total_steps": 80_000, "num_envs": 128, "horizon": 8, "minibatch_size": 512, "hidden_size": 32,
            "learning_rate": 0.02, "torch_threads": 1}
FIXED = {"ent_coef": ENT_COEF, "anneal_ent": False, "norm_adv": False}          # the right answers need these
CHOICE = 1 / (1 + math.exp(-1 / ENT_COEF))      # 0.88: best probability of an action that pays 1
VALUE_WITHIN, SCORE_WITHIN = 0.1, 0.05          # this package's learner misses by 0.01 at most, in ten seeds

VALUE = "the value loss: its target, its sign, whether its gradient reaches the value"
SEEN = "the observation: whether it reaches the network, and which reward belongs to it"
END = "the end of an episode: after a terminal nothing counts, no value and no advantage"
DISCOUNT = "the discount: gamma times the value of the next observation"
CUT = "truncation: gamma times the value of the last observation, not of the next episode's first"
SIGN = "the sign of the advantage, or of the policy loss"
RATIO = "the policy loss: the gradient of the ratio, the old log-probabilities, the actions that were played"
ENTROPY = "the entropy bonus: its sign, its weight"
SIGHT = "the observation: whether the policy sees it, and whether each agent gets the action for its own"
MEMORY = "memory: carried from step to step, zeros after an end, the same for acting and for learning"

ANSWERS = {
    "one_action": {"value(0)": (1, VALUE)},
    "two_values": {"value(0)": (-1, SEEN), "value(1)": (1, SEEN)},
    "discount": {"value(1)": (1, END), "value(0)": (GAMMA, DISCOUNT), "value(2)": (GAMMA, CUT)},
    "choose": {"score": (CHOICE, RATIO)},
    "choose_by_sight": {"score": (CHOICE, SIGHT)},
    "recall": {"score": (CHOICE, MEMORY)},
}
"""Task -> what is measured, in the order of suspicion -> (right answer, the part to suspect of a wrong one).

value(0) is the value of place 0 at the start of an episode; score is the share of right actions in the last
quarter of training.
"""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of one task: verdict ("passed", "failed", "skipped"), and a sentence that says why.

    suspect   the part of the learner to look at first; "" unless the task failed
    """

    task: str
    verdict: str
    sentence: str
    suspect: str = ""

    def __str__(self):
        suspect = f"; suspect {self.suspect}" * bool(self.suspect)
        return f"{self.verdict:8} {self.task:16} {self.sentence}{suspect}"


@dataclasses.dataclass(frozen=True)
class Findings:
    """The outcomes in the order of the tasks; `ok` unless one failed, `print(findings)` for a line each."""

    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Those that failed. The first counts: the others need what it needs."""
        return tuple(outcome for outcome in self.outcomes if outcome.verdict == "failed")

    @property
    def ok(self) -> bool:
        return not self.failed

    def __str__(self):
        last = f"{len(self.failed)} of {len(self.outcomes)} probes failed."
        if self.failed:
            last += f" Begin with {self.failed[0].task}. Slow is not broken: try more total_steps."
        return "\n".join([*map(str, self.outcomes), last])


def probe(*tasks: str, policy=None, learner=None, seed: int = 0, **settings) -> Findings:
    """Train on each of `tasks` (all of envs/probes.pyx without any), and compare with the right answers.

    policy     factory (spec, config) -> nn.Module, as `train` takes it; None: the default network
    learner    a subclass of PPO; None: what `train` takes
    settings   of Config; gamma, ent_coef, anneal_ent and norm_adv are refused, because the answers need them

    The same seed gives the same findings. Raises ValueError for an unknown task or a setting out of
    its range, TypeError for an unknown setting.
    """
    for name in ("gamma", *FIXED):
        if name in settings:
            raise ValueError(f"{name}={settings[name]!r} given, expected none: the right answers need the "
                             "probes' own, so leave it out")
    return Findings(tuple(train_on(choice("task", task, ANSWERS), policy, learner, seed, settings)
                          for task in tasks or ANSWERS))


def train_on(task, policy, learner, seed, settings) -> Outcome:
    """Train on one task, and judge what was learned."""
    own = {"gamma": GAMMA if task == "discount" else 0.0, "recurrent": task == "recall"}
    config = settings_for(None, **SETTINGS | own | FIXED | settings)
    env = make_vec("probes", config.num_envs, config.num_workers, config.backend, seed, config.batch_envs,
                   report_interval=0, task=task)
    with contextlib.closing(env), torch_settings(config):
        learner = (learner or learner_for(env))(env, config, policy, seed=seed)
        if task == "recall" and not learner.policy.initial_state(1).numel():
            return Outcome(task, "skipped", "the policy has no memory")
        try:
            scores = []
            while learner.steps < config.total_steps:
                scores.append(learner.iterate()["score"])
        except NotFinite as error:
            return Outcome(task, "failed", str(error), next(iter(ANSWERS[task].values()))[1])
        return judge(task, measure(learner, scores))


@torch.inference_mode()
def measure(learner, scores) -> dict[str, float]:
    """value(0), value(1), value(2) and score."""
    places = torch.eye(3, dtype=torch.uint8)
    values = learner.values_of(places, learner.policy.initial_state(3).cpu()).tolist()
    late = [score for score in scores[-len(scores) // 4:] if score is not None] or [math.nan]
    return {f"value({place})": value for place, value in enumerate(values)} | {"score": mean(late)}


def judge(task, measured) -> Outcome:
    """Compare with the right answers; the first wrong one names the suspect."""
    answers = ANSWERS[task]
    given = ", ".join(f"{name} {measured[name]:.2f}" for name in answers)
    sentence = f"{given}, expected " + ", ".join(f"{right:.2f}" for right, _ in answers.values())
    for name, (right, suspect) in answers.items():
        if not abs(measured[name] - right) <= (SCORE_WITHIN if name == "score" else VALUE_WITHIN):
            if task == "choose":
                suspect = SIGN if measured[name] < 0.4 else RATIO if measured[name] < right else ENTROPY
            return Outcome(task, "failed", sentence, suspect)
    return Outcome(task, "passed", sentence)


# ---------------------------------------------------------------------- the command line

def add_arguments(parser) -> None:
    """The arguments of `python -m puffer_min probe`."""
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"{', '.join(ANSWERS)} (all of them)")
    add_policy(parser)
    parser.add_argument("--learner", metavar="FILE.py:NAME",
                        help="a subclass of PPO of your own, also module:Name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a setting of the learner; may be repeated")


def run(args) -> int:
    """Print the findings; returns 0, or 1 if a probe failed."""
    policy, learner = (load_object(name) if name else None for name in (args.policy, args.learner))
    findings = probe(*args.tasks, policy=policy, learner=learner, seed=args.seed,
                     **dict(parse_setting(text) for text in args.set))
    print(findings)
    return 0 if findings.ok else 1
