"""Collection overlapped with learning: while the learner learns from some rows, a thread collects the next.

    collecting    rows 1     rows 2     rows 3     rows 4               with the policy after ...
                  start      start      update 1   update 2
    learning                 rows 1     rows 2     rows 3
                             update 1   update 2   update 3

So rows are learned from by a policy one update younger than the one that acted. PPO's probability ratio is of the policy that acted,
whose log-probabilities were recorded; `vtrace=True` corrects the advantages as well. Both sides wait for each other at the end of
every update, and what they share, the weights, changes hands only there: the same seed gives the same run, and a checkpoint has the
rows that were collected ahead.

Where it pays and where it does not is measured in benchmarks/LEARNER.md.
"""

import copy
from concurrent.futures import ThreadPoolExecutor, wait

import torch

from puffer_min.learner.buffer import RolloutBuffer
from puffer_min.learner.ppo import PPO
from puffer_min.clock import StageClock


class OverlappedPPO(PPO):
    """`PPO` with a second thread that collects. `collector` is a copy of the learner with a policy, a buffer and a clock of its own;
    environment, generator and episode statistics are shared, and used by one thread at a time."""

    def __init__(self, env, *arguments, **keywords):
        super().__init__(env, *arguments, **keywords)
        self.collector = copy.copy(self)
        self.collector.policy, self.collector.clock = copy.deepcopy(self.policy), StageClock()
        self.buffer = RolloutBuffer(env.num_agents, self.buffer.segments, self.config.horizon, env.single_observation_space,
                                    env.single_action_space, state_size=self.policy.state_size, reuse_rows=self.config.reuse_rows)
        self.thread = ThreadPoolExecutor(1, "collector")
        self.ahead = None                                       # the future of what is being collected

    def iterate(self):
        """One update, and the rows for the next; the episodes reported are those that ended in the latter."""
        try:
            report = super().iterate()
        except BaseException:
            if self.ahead is not None:
                wait([self.ahead])                              # whoever closes the environment now finds nobody stepping it
            raise
        buffer = self.collector.buffer
        report |= {"density": buffer.density, "waiting": buffer.waiting}
        self.take_rows()
        return report

    def collect(self):
        """Have rows to learn from, and let the thread collect the next with the policy as it is now."""
        if not self.buffer.is_full:                             # the first time
            self.begin()
            self.await_collector()
            self.take_rows()
        self.begin()
        if self.config.vtrace:
            self.measure_ratios()

    def update(self):
        """Learn from the rows, and wait for the collector."""
        losses = super().update()
        self.await_collector()
        return losses

    def begin(self):
        self.clock.lap("misc")
        self.collector.policy.load_state_dict(self.policy.state_dict())
        self.collector.clock.restart()
        self.ahead = self.thread.submit(PPO.collect, self.collector)
        self.clock.lap("copy")

    def await_collector(self):
        """Wait for the collector, and raise what it raised. The time waited is booked as the collector has spent its own."""
        self.ahead.result()
        self.clock.lap_like(self.collector.clock)

    def take_rows(self):
        """Copy the rows that are full into the learner's buffer, and make them free in the collector's."""
        collected, rows = self.collector.buffer, self.collector.buffer.trained_rows
        for name in tables_of(collected):
            torch.index_select(getattr(collected, name), 0, rows, out=getattr(self.buffer, name)[:len(rows)])
        self.mark_full()
        collected.recycle()
        self.clock.lap("copy")

    def mark_full(self):
        segments = self.buffer.segments
        self.buffer.filled[:segments], self.buffer.full_rows = torch.arange(segments), segments

    @torch.no_grad()
    def measure_ratios(self):
        """The probability ratios of the rows, for the V-trace before the first epoch: the policy that acted is not this one."""
        for rows in self.buffer.trained_rows.split(self.minibatch_rows):
            batch = self.buffer.gather(rows)
            seams = None if batch.seams is None else self.to_device(batch.seams)
            outputs, _ = self.policy.replay(*map(self.to_device, (batch.observations, batch.states, batch.ends)), seams)
            log_probs, _ = self.policy.distribution.evaluate(outputs, self.to_device(batch.actions))
            self.buffer.ratios[rows] = (log_probs.cpu() - batch.log_probs).exp().view(len(rows), -1)
        self.clock.lap("advantage")

    # ------------------------------------------------------------------ checkpoints

    def get_state(self):
        segments = self.buffer.segments if self.buffer.is_full else 0
        rows = {name: getattr(self.buffer, name)[:segments].clone() for name in tables_of(self.buffer)}
        return super().get_state() | {"policy_state": self.collector.state.clone(), "buffer": self.collector.buffer.get_state(),
                                      "rows": rows}

    def set_state(self, state):
        super().set_state(state | {"buffer": {"aligned": True}})
        self.collector.state = self.state
        self.collector.buffer.set_state(state["buffer"])
        rows = state.get("rows", {"values": ()})                # none, from a run that did not overlap
        if len(rows["values"]):
            for name, table in rows.items():
                getattr(self.buffer, name)[:len(table)] = table
            self.mark_full()


def tables_of(buffer):
    return [name for name in buffer.TABLES if getattr(buffer, name) is not None]
