"""The pool of threads: how many, who may change it, forks, and silence when there is nothing to do. That each task runs
exactly once under any mixture of callers is csrc/tests/run_tsan.sh's to show."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

from ndiv.backends import threadpool
from ndiv.backends.plans import NativePlan
from ndiv.errors import ConfigError

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from plan_bytes import Plan  # noqa: E402

F32 = np.float32
PREPARE = f"""if True:
    import os, sys, time
    import numpy as np
    sys.path.insert(0, {str(HERE)!r})
    from plan_bytes import Plan
    from ndiv.backends import threadpool
    from ndiv.backends.plans import NativePlan
    p = Plan()
    x, y = p.slot("input", (300, 300)), p.slot("output", (300, 300))
    p.op("gemm", [x, x, None, None], [y, None], [0, np.float64(1).view(np.int64).item()])
    plan = NativePlan(p.bytes())
    x, out = np.random.default_rng(0).normal(size=(300, 300)).astype(np.float32), np.zeros((300, 300), np.float32)
"""


def script(code, **environment):
    """What Python code prints in a process of its own that has a plan with work for several threads."""
    env = {**os.environ, **environment}
    code = PREPARE + "\n".join("    " + line for line in code.splitlines())
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env,
                          timeout=60).stdout.split()


@pytest.fixture(autouse=True)
def same_threads_afterwards():
    before = threadpool.threads()
    yield
    threadpool.set_threads(before)


def test_default(monkeypatch):
    monkeypatch.delenv("NDIV_NUM_THREADS", raising=False)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert threadpool.default_threads() == min(cores, 64)
    monkeypatch.setenv("NDIV_NUM_THREADS", " 3 ")
    assert threadpool.default_threads() == 3
    monkeypatch.setenv("NDIV_NUM_THREADS", "")
    assert threadpool.default_threads() == min(cores, 64)


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "257", "10" * 50, "٣"])
def test_bad_environment(monkeypatch, text):
    monkeypatch.setenv("NDIV_NUM_THREADS", text)
    with pytest.raises(ConfigError, match="NDIV_NUM_THREADS"):
        threadpool.default_threads()


def test_set_threads():
    for n in (1, 5, 256, 2):
        threadpool.set_threads(n)
        assert threadpool.threads() == n
    for bad in (0, -3, 257, 1 << 40, 2.0, "2", True, None):
        with pytest.raises(ConfigError, match="threads"):
            threadpool.set_threads(bad)
    assert threadpool.threads() == 2


def test_the_environment_is_handed_over():
    assert script("print(threadpool.threads())", NDIV_NUM_THREADS="7") == ["7"]


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_threads_are_made_when_needed_and_end_when_not():
    out = script("""
tasks = lambda: len(os.listdir("/proc/self/task"))
before = tasks()
plan.run([x, out])
during = tasks()
threadpool.set_threads(1)
for _ in range(1000):
    if tasks() == before: break
    time.sleep(0.01)
print(during - before, tasks() - before)
""", NDIV_NUM_THREADS="2")
    assert out == ["1", "0"]


def test_quiet_when_idle():
    out = script("""
plan.run([x, out])
time.sleep(0.05)
before = time.process_time()
time.sleep(0.5)
print(time.process_time() - before)
""", NDIV_NUM_THREADS="4")
    assert float(out[0]) < 0.02


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_computes_the_same():
    out = script("""
plan.run([x, out])
expected = out.copy()
for _ in range(5):
    child = os.fork()
    if child == 0:
        out[:] = 0
        plan.run([x, out])
        os._exit(0 if np.array_equal(out, expected) else 1)
    print(os.waitpid(child, 0)[1])
    plan.run([x, out])
""", NDIV_NUM_THREADS="3", PYTHONWARNINGS="ignore")
    assert out == ["0"] * 5


def test_threadpoolctl_sees_and_limits_the_pool():
    NativePlan(Plan().bytes())  # a plan makes the pool known
    threadpool.set_threads(3)

    def seen():
        return [(i["num_threads"], i["internal_api"]) for i in threadpoolctl.threadpool_info() if i["user_api"] == "ndiv"]

    assert seen() == [(3, "ndiv")]
    with threadpoolctl.threadpool_limits(1):
        assert threadpool.threads() == 1
        assert seen() == [(1, "ndiv")]
    assert threadpool.threads() == 3
    with threadpoolctl.threadpool_limits({"ndiv": 2}):
        assert threadpool.threads() == 2
    assert threadpool.register()


def test_without_threadpoolctl():
    assert script("print(threadpool._registered)") == ["True"]
    blocked = PREPARE.replace("import os, sys, time", "import os, sys, time\n    sys.modules['threadpoolctl'] = None")
    code = blocked + "    print(threadpool.register(), threadpool.threads() > 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
