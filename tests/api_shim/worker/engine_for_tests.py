"""What children execute in place of Prefect's engine: the code that stands in ``DO``."""

import os

if __name__ == "__main__":
    exec(os.environ["DO"])
