"""Two processes that train together, one of which is killed or stopped: the other ends too, and the job goes on."""

import signal
from importlib.util import find_spec

import numpy as np
import pytest
from tests.jobs import Job

from sentinode import load_run

pytestmark = pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed")
EPOCHS = 40


def test_a_job_that_is_stopped_and_killed_goes_on_to_the_weights_of_one_process(tmp_path):
    out, alone = tmp_path / "run", Job(tmp_path / "alone", EPOCHS)
    for asked in (0, 1):
        ended = Job(out, EPOCHS, processes=2).begun().send(asked, signal.SIGTERM).end(within_s=60)
        for status, said in ended:
            assert status == 1
            assert "everything is saved, and the same command goes on" in said
        assert f"{out}: stopped in epoch" in ended[0][1]
    for killed in (0, 1):
        ended = Job(out, EPOCHS, processes=2).begun().send(killed, signal.SIGKILL).end(within_s=60)
        status, said = ended[1 - killed]
        assert ended[killed][0] == -signal.SIGKILL
        assert status not in (0, -signal.SIGKILL)
        # When the process that connects the others dies, JAX may end them before we can say so in one line.
        assert "another process was lost" in said or (killed == 0 and "another task died" in said)
    ended = Job(out, EPOCHS, processes=2).end() + alone.end()
    assert [status for status, _ in ended] == [0, 0, 0], ended
    run, undisturbed = load_run(out), load_run(alone.out)
    assert len(run.history) == EPOCHS
    np.testing.assert_allclose(run.history["loss"], undisturbed.history["loss"], rtol=1e-3)
    pairs = zip(run.load_model("final").get_weights(), undisturbed.load_model("final").get_weights(), strict=True)
    for here, there in pairs:
        np.testing.assert_allclose(here, there, rtol=0.01, atol=1e-3)


def test_a_refusal_of_the_first_process_is_said_once_and_ends_all(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "of-somebody-else").touch()
    ended = Job(tmp_path / "run", processes=2).end(within_s=60)
    assert [status for status, _ in ended] == [1, 1]
    assert "not empty and not a run" in ended[0][1]
    assert "another process of this training was refused" in ended[1][1]
