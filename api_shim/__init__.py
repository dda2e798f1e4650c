"""Lets people talk to both: the REST API, the command line and the ownership rules, mapped onto Prefect."""
