"""Runs several tests at a time, and those that measure time one by one when nothing else runs.

    pytest -n auto              a worker for each processor; on a machine with one the tests run in order, in
                                this process

A test with the marker `alone` asserts on time. Such tests, and the chapters, whose cells do the same, form
the last group: one worker runs it after all other workers have ended. The cells of any other notebook form a
group too, because they share a kernel, and so do tests with the same marker `together(name)`, which share an
expensive fixture.

Only the workers collect tests, so each writes the groups to a file that the scheduler reads. (pytest-xdist's
own `xdist_group` writes them into the names of the tests, where pytest 9 does not let it.)
"""

import json
import tempfile
from pathlib import Path

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

from puffer_min.cores import cores

ALONE = "alone"


class AloneLast(LoadScopeScheduling):
    """Hands out groups of tests, and single tests, as workers become free; the group `alone` when all others
    are done.
    """

    def __init__(self, config, log):
        super().__init__(config, log)
        self.groups = {}

    def add_node_collection(self, node, collection):
        self.groups.update(json.loads(Path(node.workerinput["groups"]).read_text()))
        super().add_node_collection(node, collection)

    def remove_node(self, node):
        """The test in which the worker `node` died, or None; the rest of its work goes to others."""
        work = self.assigned_work.pop(node)
        pending = [(unit, test) for unit in work.values() for test, done in unit.items() if not done]
        if not pending:
            return None
        unit, died = pending[0]
        unit[died] = True                                   # or it would kill the next worker too
        self.workqueue.update({scope: unit for scope, unit in work.items() if not all(unit.values())})
        for other in self.nodes:
            self._reschedule(other)
        return died

    def mark_test_complete(self, node, item_index, duration=0):
        super().mark_test_complete(node, item_index, duration)
        for waiting in self.nodes:                          # for the end of this test, perhaps
            self._reschedule(waiting)

    def _split_scope(self, nodeid):
        return self.groups.get(nodeid, nodeid)

    def _assign_work_unit(self, node):
        if ALONE in self.workqueue:
            self.workqueue.move_to_end(ALONE)
        if list(self.workqueue) != [ALONE]:
            super()._assign_work_unit(node)
        elif not any(self._pending_of(self.assigned_work[other]) for other in self.nodes
                     if other is not node):
            super()._assign_work_unit(node)
            node.shutdown()                                 # when it has run what it was given

    def _reschedule(self, node):
        if list(self.workqueue) == [ALONE] and any(
                other is not node and not other.shutting_down for other in self.nodes):
            node.shutdown()                                 # one worker is enough for the rest
        else:
            super()._reschedule(node)


def group(item) -> str | None:
    """The group of a test that must not be handed out by itself."""
    notebook = item.path.suffix == ".ipynb"
    if item.get_closest_marker(ALONE) or notebook and item.path.parent.name == "chapters":
        return ALONE
    together = item.get_closest_marker("together")
    return together.args[0] if together else str(item.path) if notebook else None


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: asserts on time; runs when no other test does")
    config.addinivalue_line("markers", "together(name): shares an expensive fixture with others of that name")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Workers of `-n auto`: one for each processor that this process may use; 0 runs the tests in this
    process.
    """
    return cores() if cores() > 1 else 0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """The scheduler of `-n`; None leaves another `--dist` to xdist."""
    return AloneLast(config, log) if config.getvalue("dist") == "load" else None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    node.workerinput["groups"] = tempfile.mkstemp(suffix=".json", prefix="groups-")[1]


@pytest.hookimpl(tryfirst=True)                             # before xdist says that this worker has collected
def pytest_collection_finish(session):
    if hasattr(session.config, "workerinput"):
        groups = {item.nodeid: group(item) for item in session.items if group(item)}
        Path(session.config.workerinput["groups"]).write_text(json.dumps(groups))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    Path(node.workerinput["groups"]).unlink(missing_ok=True)
