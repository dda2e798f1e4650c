"""The adapter to Prefect, and Prefect's own server within ours; nothing else speaks to Prefect."""
