"""A Prefect worker that starts runs at once: it has imported Prefect and the Jobs, and forks for each run.

``process.py`` is the process, ``prefect_worker.py`` what polls and claims, ``fork_server.py`` asks for children,
``prefect_zygote.py`` is what forks; ``wake.py`` lets it be woken, ``supervisor.py`` keeps it alive.
"""
