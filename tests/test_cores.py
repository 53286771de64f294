"""The number of processors is the one that this process may use, everywhere where threads or workers are counted."""

import pytest
import torch

from puffer_min import Config, cores
from puffer_min.commands.train import torch_settings


@pytest.fixture
def container(tmp_path, monkeypatch):
    """A function that puts this process into a container on a machine of 64 processors; its argument is the text of cpu.max."""
    def enter(text):
        (tmp_path / "cpu.max").write_text(text)
        monkeypatch.setattr(cores, "CGROUP_LIMIT", tmp_path / "cpu.max")
        monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: range(64), raising=False)
        monkeypatch.setattr(cores.os, "cpu_count", lambda: 64)
    return enter


@pytest.mark.parametrize("text, expected", [("max 100000", 64), ("150000 100000", 2), ("1000 100000", 1), ("9900000 100000", 64), ("", 64)])
def test_cores_are_those_that_a_container_is_given(text, expected, container):
    container(text)
    assert cores.cores() == expected


def test_training_gives_torch_the_processors_of_the_container_and_puts_the_number_back(container):
    container("200000 100000")
    before = torch.get_num_threads()
    with torch_settings(Config()):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before
