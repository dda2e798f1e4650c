"""``python -m api_shim.worker``: the worker as a process of its own, told by one argument in JSON what to do."""

import sys

from api_shim.worker.process import WorkerOptions, run

if __name__ == "__main__":
    run(WorkerOptions.from_json(sys.argv[1]))
