"""Proof under fire: a seeded load on a real system, while a second process kills, stops and cuts off its parts.

    python -m tests.chaos [--minutes N] [--seed S] [--on sqlite|postgresql]

| module | what it does |
|---|---|
| ``system`` | starts a system and people who use it: one process on SQLite, or seven on PostgreSQL and Redis |
| ``faults`` | the second process: has all others as its children, and does harm to them |
| ``links`` | the connections between them, which can be cut, held up and slowed down |
| ``load`` | what people do, each thing asked again with the same key until it is answered |
| ``facts`` | what can be read afterwards: the public API, Prefect's API, the audit's export, the Jobs' notes |
| ``checker`` | what must hold of these facts, whatever was done to the system |
| ``trial`` | all of these, in turn, and the closing note |
| ``jobs/`` | the Jobs that are run; each notes that it executes in a file that nobody else writes |
"""
